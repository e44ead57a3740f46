"""Settings: frozen dataclasses that check themselves.

A config is a value: two equal configs are interchangeable, so a config is also a cache key.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from circuitscope_core.arguments import CheckedFields
from circuitscope_core.errors import ConfigError

ReadPoint = Literal["mid", "unit", "in", "pre"]
"""The place that features read: the stream that the MLP's norm reads (``mid``), the same normalised
without gain and bias (``unit``), the MLP's input behind both (``in``), or the stream before the
layer and its attention (``pre``)."""
WritePoint = Literal["added", "raw"]
"""The place that features write to: what a layer's MLP adds to the stream, behind the norm that
some families have there (``added``), or the MLP's own output (``raw``)."""
Activation = Literal["jump_relu", "topk", "topk_relu"]
"""The features that are active: those above their threshold; or the ``k`` with the largest
pre-activations of each token, whatever these are, or as far as they are above 0 (``topk_relu``)."""
FORMER_POINTS = {
    "mlp.hook_in": "in",
    "hook_resid_mid": "mid",
    "ln2.hook_normalized": "in",
    "mlp.hook_out": "added",
    "hook_mlp_out": "added",
}
"""Names that settings saved by earlier releases have for the same points."""
Likeness = Literal["role", "decoders"]
"""The property that makes features alike: their inputs and outputs in a graph, or the vectors that
they write."""
ExcerptPolicy = Literal["all", "open", "none"]


ConfigT = TypeVar("ConfigT", bound="_JsonConfig")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _require_positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(value > 0, f"{name} is {value}; it must be above 0.")


def _require_fraction(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(0 <= value <= 1, f"{name} is {value}; it must be from 0 to 1.")


def _require_one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    choices = ", ".join(repr(item) for item in allowed)
    _require(value in allowed, f"{name} is {value!r}; it must be one of {choices}.")


def _require_type(name: str, value: object, hint: Any) -> None:
    """Refuse JSON of the wrong type before it is compared with a number."""
    allowed = {int: (int,), float: (int, float), bool: (bool,), str: (str,)}.get(hint)
    if allowed is None:
        if isinstance(hint, type) and is_dataclass(hint):
            _require(isinstance(value, hint), f"{name} is {value!r}; it must be an object.")
        return  # literals check themselves
    right = isinstance(value, allowed) and (hint is bool or not isinstance(value, bool))
    _require(right, f"{name} is {value!r}; it must be of type {hint.__name__}.")


class _JsonConfig(CheckedFields):
    """``to_json`` and ``from_json`` for the frozen dataclasses below."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data that ``from_json`` turns back into an equal config."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]  # only dataclasses inherit

    @classmethod
    def from_json(cls: type[ConfigT], data: Mapping[str, Any]) -> ConfigT:
        """Build the config from plain data.

        Raises:
            ConfigError: If a field is unknown or missing, or a value is outside its range.
        """
        known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
        if unknown := sorted(set(data) - set(known)):
            raise ConfigError(f"{cls.__name__} has no field {unknown[0]!r}; remove it.")
        hints = get_type_hints(cls)
        values = {}
        for name, item in known.items():
            if name not in data:
                if item.default is MISSING and item.default_factory is MISSING:
                    raise ConfigError(f"{cls.__name__} lacks the field {name!r}; add it.")
                continue
            hint = hints[name]
            nested = is_dataclass(hint) and isinstance(data[name], Mapping)
            values[name] = hint.from_json(data[name]) if nested else data[name]
            _require_type(f"{cls.__name__}.{name}", values[name], hint)
            if hint is float:  # JSON may write 2.0 as 2
                values[name] = float(values[name])
        return cls(**values)


@dataclass(frozen=True)
class ModelConfig(_JsonConfig):
    """Sizes and kind of a pre-LN transformer, in TransformerLens' terms."""

    n_layers: int = 3
    d_model: int = 96
    n_heads: int = 3
    d_head: int = 32
    d_mlp: int = 384
    n_ctx: int = 256
    """Longest input in tokens, the opening separator included."""
    d_vocab: int = 257
    activation: Literal["gelu", "gelu_new", "relu"] = "gelu"
    normalization: Literal["LN"] | None = "LN"
    """None: the model has no normalisation at all (compiled models)."""
    positions: Literal["rotary", "learned"] = "rotary"
    tied_embeddings: bool = False
    """True: the unembedding is the transposed embedding."""
    causal: bool = True
    ln_eps: float = 1e-5
    rotary_base: float = 1000.0

    def __post_init__(self) -> None:
        sizes = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "n_ctx", "d_vocab")
        _require_positive(self, *sizes, "ln_eps", "rotary_base")
        _require_one_of("activation", self.activation, ("gelu", "gelu_new", "relu"))
        _require_one_of("normalization", self.normalization, ("LN", None))
        _require_one_of("positions", self.positions, ("rotary", "learned"))
        if self.positions == "rotary":
            _require(
                self.d_head % 2 == 0,
                f"d_head is {self.d_head}; rotary positions need an even d_head.",
            )

    def count_parameters(self) -> int:
        """Count trained parameters (a zero unembedding bias is not trained)."""
        heads = 4 * self.d_model * self.n_heads * self.d_head + 3 * self.n_heads * self.d_head
        mlp = 2 * self.d_model * self.d_mlp + self.d_mlp + self.d_model
        norms = 4 * self.d_model if self.normalization else 0
        block = heads + self.d_model + mlp + norms
        final = 2 * self.d_model if self.normalization else 0
        embeddings = self.d_vocab * self.d_model * (1 if self.tied_embeddings else 2)
        learned = self.n_ctx * self.d_model if self.positions == "learned" else 0
        return self.n_layers * block + final + embeddings + learned


@dataclass(frozen=True)
class TranscoderConfig(_JsonConfig):
    """Sizes and places of a cross-layer transcoder (CLT)."""

    n_layers: int = 3
    d_model: int = 96
    d_transcoder: int = 2048
    """Features in each layer."""
    read_point: ReadPoint = "in"
    write_point: WritePoint = "added"
    cross_layer: bool = True
    """False: features write to their own layer only (per-layer transcoders)."""
    skip_connection: bool = False
    """True: what a layer reads also goes to its MLP output through one matrix of weights."""
    activation: Activation = "jump_relu"
    k: int | None = None
    """Active features of each token and layer, where the activation is a top-k."""

    def __post_init__(self) -> None:
        _require_positive(self, "n_layers", "d_model", "d_transcoder")
        _require_one_of("read_point", self.read_point, get_args(ReadPoint))
        _require_one_of("write_point", self.write_point, get_args(WritePoint))
        _require_one_of("activation", self.activation, get_args(Activation))
        if self.activation == "jump_relu":
            _require(self.k is None, f"k is {self.k}; a JumpReLU has none, so leave it out.")
        else:
            _require(
                self.k is not None and 0 < self.k <= self.d_transcoder,
                f"k is {self.k}; {self.activation} needs a k from 1 to {self.d_transcoder}.",
            )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TranscoderConfig":
        """Build the config from plain data, which may name its points as earlier releases did."""
        points = {
            name: FORMER_POINTS.get(str(data[name]), data[name])
            for name in ("read_point", "write_point")
            if name in data
        }
        return super().from_json({**data, **points})

    def count_parameters(self) -> int:
        """Count encoder, decoder, bias, threshold and skip parameters."""
        layers = self.n_layers
        writes = layers * (layers + 1) // 2 if self.cross_layer else layers
        encoder = layers * self.d_transcoder * (self.d_model + 2)
        skips = layers * self.d_model**2 if self.skip_connection else 0
        decoder = writes * self.d_transcoder * self.d_model
        return encoder + decoder + layers * self.d_model + skips


@dataclass(frozen=True)
class CorpusConfig(_JsonConfig):
    """How documents become training and held-out tokens."""

    text_column: str = "text"
    validation_every: int = 50
    """Every so many documents one is held out and never trained on."""
    max_document_bytes: int = 1_000_000
    """A longer document is cut here, and counted."""
    max_tokens: int = 24_000_000
    """Reading stops at so many tokens: they are kept in memory, two bytes each."""
    skill_share: float = 0.3
    """Share of the training tokens that the skill generators write."""

    def __post_init__(self) -> None:
        _require_positive(self, "validation_every", "max_document_bytes", "max_tokens")
        _require(
            self.validation_every >= 2,
            f"validation_every is {self.validation_every}; at 1 nothing is left to train on.",
        )
        _require(
            0 <= self.skill_share < 1,
            f"skill_share is {self.skill_share}; it must be from 0 to below 1.",
        )
        _require(bool(self.text_column), "text_column is empty; name the column with the text.")


@dataclass(frozen=True)
class LanguageModelTraining(_JsonConfig):
    """How the transformer is trained."""

    n_tokens: int = 18_500_000
    batch_size: int = 8
    """Sequences of n_ctx tokens in one step."""
    short_share: float = 0.75
    """Share of the steps, from the first on, whose sequences have half the length and twice the
    number: attention costs less there, and little is to be learned from far back."""
    learning_rate: float = 0.02
    """AdamW's rate, for embeddings, gains and biases."""
    matrix_optimizer: Literal["muon", "adamw"] = "muon"
    """What trains the matrices inside the blocks."""
    muon_learning_rate: float = 0.01
    muon_weight_decay: float = 0.1
    warmup_steps: int = 60
    decay_fraction: float = 0.6
    """Share of the steps at the end over which both rates fall linearly to 0."""

    def __post_init__(self) -> None:
        _require_positive(self, "n_tokens", "batch_size", "learning_rate", "muon_learning_rate")
        _require_fraction(self, "short_share", "decay_fraction")
        _require_one_of("matrix_optimizer", self.matrix_optimizer, ("muon", "adamw"))
        _require(
            self.muon_weight_decay >= 0,
            f"muon_weight_decay is {self.muon_weight_decay}; use 0 or more.",
        )
        _require(self.warmup_steps >= 0, f"warmup_steps is {self.warmup_steps}; use 0 or more.")


@dataclass(frozen=True)
class TranscoderTraining(_JsonConfig):
    """How the transcoder is trained."""

    n_tokens: int = 4_000_000
    batch_size: int = 1024
    """Tokens in one step, drawn in random order from the shuffle buffer."""
    buffer_sequences: int = 256
    """Sequences whose activations are shuffled together."""
    buffer_passes: int = 2
    """How often each activation is used, in another order each time: harvesting takes a third of
    the time of a step."""
    learning_rate: float = 0.008
    """At 1,024 features a layer; scaled by sqrt(1024 / d_transcoder)."""
    threshold_rate_factor: float = 0.05
    """The thresholds' learning rate as a share of the others'. Adam moves ``log(threshold)`` by
    about its rate a step however small the gradient: at the full rate thresholds run away and a
    third of the features die within 4 million tokens."""
    target_l0: float = 13.4
    """Active features per token and layer to end with; 0 keeps ``sparsity_coefficient`` as it is.
    The weight of the tanh penalty is turned up or down until they are as many."""
    sparsity_coefficient: float = 0.45
    """Weight of the tanh penalty at the end of its linear ramp from 0; with ``target_l0`` where the
    search for it begins."""
    preactivation_coefficient: float = 3e-4
    """Weight of the penalty that keeps features alive."""
    tanh_scale: float = 4.0
    bandwidth: float = 1.0
    """Width of the window in which a threshold receives gradient."""
    initial_threshold: float = 0.03
    initial_rate: float = 0.02
    """Share of tokens on which a new feature fires; sets the first b_enc."""
    decay_fraction: float = 0.4

    def __post_init__(self) -> None:
        _require_positive(self, "n_tokens", "batch_size", "buffer_sequences", "buffer_passes")
        _require_positive(self, "learning_rate")
        _require_positive(self, "tanh_scale", "bandwidth", "initial_threshold")
        _require_fraction(self, "threshold_rate_factor")
        _require_fraction(self, "decay_fraction")
        _require(
            0 < self.initial_rate < 1,
            f"initial_rate is {self.initial_rate}; it must be between 0 and 1.",
        )
        for name in ("target_l0", "sparsity_coefficient", "preactivation_coefficient"):
            value = getattr(self, name)
            _require(value >= 0, f"{name} is {value}; it must be 0 or more.")


@dataclass(frozen=True)
class FeatureCardConfig(_JsonConfig):
    """What is collected about each feature."""

    n_tokens: int = 1_000_000
    """Tokens of the pass that measures densities and finds examples."""
    n_top_examples: int = 8
    n_interval_examples: int = 3
    """Examples from each of two weaker intervals of the activation."""
    context: int = 24
    """Tokens kept before and after an example's peak."""
    excerpts: ExcerptPolicy = "all"
    """``open``: only text that may be passed on; ``none``: no text travels with the model."""

    def __post_init__(self) -> None:
        _require_positive(self, "n_tokens", "n_top_examples", "n_interval_examples", "context")
        _require_one_of("excerpts", self.excerpts, ("all", "open", "none"))


@dataclass(frozen=True)
class TrainConfig(_JsonConfig):
    """Everything that decides a training, its seed included."""

    model: ModelConfig = field(default_factory=ModelConfig)
    transcoder: TranscoderConfig = field(default_factory=TranscoderConfig)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    language_model_training: LanguageModelTraining = field(default_factory=LanguageModelTraining)
    transcoder_training: TranscoderTraining = field(default_factory=TranscoderTraining)
    feature_cards: FeatureCardConfig = field(default_factory=FeatureCardConfig)
    seed: int = 0
    checkpoint_seconds: float = 30.0
    """Time between checkpoints; one is also written on cancel and between the phases."""
    event_steps: int = 10
    """Steps between two progress events."""

    def __post_init__(self) -> None:
        _require_positive(self, "checkpoint_seconds", "event_steps")
        for name in ("n_layers", "d_model"):
            ours, theirs = getattr(self.transcoder, name), getattr(self.model, name)
            _require(
                ours == theirs,
                f"transcoder.{name} is {ours} and model.{name} is {theirs}; they must be equal.",
            )
        _require(
            self.transcoder.activation == "jump_relu",
            f"transcoder.activation is {self.transcoder.activation!r}; transcoders that are "
            "trained here have jump_relu.",
        )


@dataclass(frozen=True)
class AttributionConfig(_JsonConfig):
    """How much of a prediction a graph explains."""

    max_logits: int = 10
    """Most output tokens to explain."""
    logit_probability: float = 0.95
    """Output tokens are taken, best first, until they have this probability together."""
    max_feature_nodes: int | None = None
    """Most features to keep; None keeps all that are active."""

    def __post_init__(self) -> None:
        _require_positive(self, "max_logits", "logit_probability")
        _require_fraction(self, "logit_probability")
        budget = self.max_feature_nodes
        _require(
            budget is None or budget >= 0,
            f"max_feature_nodes is {budget}; it must be 0 or more, or None for all.",
        )


@dataclass(frozen=True)
class PruneConfig(_JsonConfig):
    """How much of a graph is kept."""

    node_threshold: float = 0.8
    """Share of the node influence to keep."""
    edge_threshold: float = 0.98
    """Share of the edge influence to keep."""

    def __post_init__(self) -> None:
        _require_fraction(self, "node_threshold", "edge_threshold")


@dataclass(frozen=True)
class GroupingConfig(_JsonConfig):
    """How similar features are grouped."""

    similarity_threshold: float = 0.7
    """Cosine similarity from which features join a group, -1 to 1."""
    likeness: Likeness = "role"
    """The property that makes features alike; see ``cluster_features``."""
    across_positions: bool = False
    """True also groups features at different tokens."""

    def __post_init__(self) -> None:
        _require_one_of("likeness", self.likeness, ("role", "decoders"))
        _require(
            -1 <= self.similarity_threshold <= 1,
            f"similarity_threshold is {self.similarity_threshold}; it must be from -1 to 1.",
        )


@dataclass(frozen=True)
class TraceConfig(_JsonConfig):
    """How much of a prediction is explained, kept and grouped: one set of defaults for all."""

    attribution: AttributionConfig = field(default_factory=AttributionConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    grouping: GroupingConfig = field(default_factory=GroupingConfig)
