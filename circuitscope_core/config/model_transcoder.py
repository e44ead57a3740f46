"""The settings of a training of transcoders for a model that is there already."""

import re
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from circuitscope_core.config.base import JsonConfig, require, require_one_of, require_positive
from circuitscope_core.config.settings import (
    CorpusConfig,
    FeatureCardConfig,
    TranscoderTraining,
)
from circuitscope_core.config.transcoder import (
    Activation,
    ReadPoint,
    TranscoderConfig,
    WritePoint,
)
from circuitscope_core.errors import ConfigError

BufferDtype = Literal["bfloat16", "float32"]
"""The precision in which activations wait to be used."""
BufferPlace = Literal["memory", "disk"]
"""The place where they wait: memory, or files beside the checkpoints."""
MIDDLE_LAYERS = 3
"""Layers in the middle of a model that ``middle`` names."""
LEAST_TEXT = 1_000_000
"""Tokens of text that are read at least, so that there is something to hold out."""
_RANGE = re.compile(r"\s*([0-9]{1,6})\s*(?:[-–]\s*([0-9]{1,6})\s*)?")


@dataclass(frozen=True)
class TranscoderTrainConfig(JsonConfig):
    """Everything that decides a transcoder's training for a Hugging Face model, the seed included.

    The default is a first look: three layers in the middle of the model.
    """

    layers: str = "middle"
    """The layers that get features: ``middle`` (three of them), ``all``, or numbers and ranges such
    as ``10,12-14``. MLP outputs of the others are errors in every graph."""
    d_transcoder: int = 2048
    """Features in each layer."""
    read_point: ReadPoint = "in"
    write_point: WritePoint = "added"
    cross_layer: bool = False
    """True: a feature writes to its own and all later chosen layers; False: to its own alone."""
    skip_connection: bool = False
    activation: Activation = "jump_relu"
    k: int | None = None
    """Active features of each token and layer, where the activation is a top-k."""
    n_ctx: int = 128
    """Tokens of a window, the one that opens it included."""
    transcoder_training: TranscoderTraining = field(
        default_factory=lambda: TranscoderTraining(
            n_tokens=500_000, buffer_sequences=4096, target_l0=32.0
        )
    )
    corpus: CorpusConfig = field(default_factory=lambda: CorpusConfig(skill_share=0.0))
    """``max_tokens`` is a bound: no more text is read than the training needs."""
    feature_cards: FeatureCardConfig = field(
        default_factory=lambda: FeatureCardConfig(n_tokens=100_000)
    )
    metric_tokens: int = 20_000
    """Held-out tokens on which model and replacement are compared, at most."""
    score_prompts: int = 8
    """Held-out prompts of 32 tokens whose graphs are scored; 0 for none."""
    buffer_bytes: int = 2**30
    """Bound of the activations that are shuffled together."""
    buffer_dtype: BufferDtype = "bfloat16"
    buffer_place: BufferPlace = "memory"
    group_layers: int = 0
    """Layers of per-layer transcoders that are trained at once, one group after the other; 0: as
    many as fit into the free memory."""
    seed: int = 0
    checkpoint_seconds: float = 60.0
    """Time between checkpoints; one is also written on cancel and between the phases."""
    event_steps: int = 10
    """Steps between two progress events."""

    @classmethod
    def for_topk(cls, k: int) -> "TranscoderTrainConfig":
        """Return the default settings of top-k features."""
        plain = cls()
        training = replace(plain.transcoder_training, target_l0=0.0, sparsity_coefficient=0.0)
        return replace(plain, activation="topk", k=k, transcoder_training=training)

    def __post_init__(self) -> None:
        require_positive(self, "n_ctx", "d_transcoder", "buffer_bytes", "metric_tokens")
        require_positive(self, "checkpoint_seconds", "event_steps")
        require(self.n_ctx >= 2, f"n_ctx is {self.n_ctx}; a window needs 2 tokens or more.")
        require_one_of("buffer_dtype", self.buffer_dtype, get_args(BufferDtype))
        require_one_of("buffer_place", self.buffer_place, get_args(BufferPlace))
        for name in ("score_prompts", "group_layers"):
            value = getattr(self, name)
            require(value >= 0, f"{name} is {value}; it must be 0 or more.")
        require(
            self.layers in ("middle", "all") or bool(_numbers(self.layers)),
            "layers is empty; name layers such as 10,12-14, middle or all.",
        )
        self.transcoder(1, 1)
        self._check_activation()
        self._check_interventions()
        require(
            self.corpus.skill_share == 0,
            f"corpus.skill_share is {self.corpus.skill_share}; sentences that teach skills are for "
            "models that are trained here, so set it to 0.",
        )
        require(
            not (self.cross_layer and self.group_layers),
            f"group_layers is {self.group_layers}, and features of a cross-layer transcoder write "
            "to later layers, so that its layers are trained together; set group_layers to 0, or "
            "cross_layer to false.",
        )

    def _check_activation(self) -> None:
        training = self.transcoder_training
        if self.activation == "jump_relu":
            return
        for name in ("target_l0", "sparsity_coefficient"):
            value = getattr(training, name)
            require(
                value == 0,
                f"transcoder_training.{name} is {value} and activation is {self.activation!r}: of "
                f"a top-k, k = {self.k} features are active whatever the penalty, so set "
                f"{name} to 0.",
            )

    def _check_interventions(self) -> None:
        weight = self.transcoder_training.causal_weight
        require(
            not weight or self.read_point != "pre",
            f"transcoder_training.causal_weight is {weight}, and a transcoder that reads before "
            "attention (read_point pre) cannot be compared with MLPs, which read after it; set "
            "causal_weight to 0, or read_point to in, mid or unit.",
        )

    def transcoder(self, n_layers: int, d_model: int) -> TranscoderConfig:
        """Return the settings of a transcoder of some layers of a model.

        Args:
            n_layers: How many.
            d_model: Width of the model's stream.
        """
        return TranscoderConfig(
            n_layers=n_layers,
            d_model=d_model,
            d_transcoder=self.d_transcoder,
            read_point=self.read_point,
            write_point=self.write_point,
            cross_layer=self.cross_layer,
            skip_connection=self.skip_connection,
            activation=self.activation,
            k=self.k,
        )

    @property
    def fresh_tokens(self) -> int:
        """Tokens of text that the training looks at."""
        training = self.transcoder_training
        return -(-training.n_tokens // training.buffer_passes)

    @property
    def text(self) -> CorpusConfig:
        """How much text is read: twice what the training looks at, within the bound."""
        most = max(2 * self.fresh_tokens, LEAST_TEXT)
        return replace(self.corpus, max_tokens=min(self.corpus.max_tokens, most))

    def chosen_layers(self, n_layers: int) -> tuple[int, ...]:
        """Return the layers that get features, rising.

        Args:
            n_layers: Layers of the model.

        Raises:
            ConfigError: If one does not exist, or they are too few for the loss on interventions.

        Example:
            >>> TranscoderTrainConfig(layers="1,4-6").chosen_layers(12)
            (1, 4, 5, 6)
            >>> TranscoderTrainConfig().chosen_layers(12)
            (5, 6, 7)
        """
        if self.layers == "all":
            chosen = list(range(n_layers))
        elif self.layers == "middle":
            first = max(0, (n_layers - MIDDLE_LAYERS + 1) // 2)
            chosen = list(range(first, min(first + MIDDLE_LAYERS, n_layers)))
        else:
            chosen = _numbers(self.layers)
        missing = [layer for layer in chosen if layer >= n_layers]
        require(
            not missing,
            f"layers is {self.layers!r}, and there is no layer {(missing or [0])[0]}; the model "
            f"has layers 0 to {n_layers - 1}.",
        )
        weight = self.transcoder_training.causal_weight
        require(
            not weight or len(chosen) > 1,
            f"transcoder_training.causal_weight is {weight}, and layers names one layer: the loss "
            "on interventions compares what later layers answer. Choose two layers or more, or set "
            "causal_weight to 0.",
        )
        return tuple(chosen)


def _numbers(text: str) -> list[int]:
    """Return the layers that a text names, rising, each once."""
    found: set[int] = set()
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        match = _RANGE.fullmatch(item)
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else -1
        if last < first:
            raise ConfigError(
                f"layers is {text!r}; {item!r} is neither a layer nor a range of layers. Write for "
                "example 10,12-14, middle or all."
            )
        found |= set(range(first, last + 1))
    return sorted(found)
