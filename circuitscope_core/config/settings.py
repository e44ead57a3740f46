"""All settings but a transcoder's, with their defaults and limits."""

from dataclasses import dataclass, field
from typing import Literal

from circuitscope_core.config.base import (
    JsonConfig,
    require,
    require_fraction,
    require_one_of,
    require_positive,
)
from circuitscope_core.config.transcoder import TranscoderConfig

OtherNeurons = Literal["auto", "folded", "nodes"]
"""The place of the neurons that are no nodes of a graph of a model's own neurons."""
Likeness = Literal["role", "decoders"]
"""The property that makes features alike: their inputs and outputs in a graph, or the vectors that
they write."""
NodeScore = Literal["answer", "influence"]
"""The measure that ranks the nodes of a graph: their effect on the probabilities of the tokens that
may come, or circuit-tracer's influence."""
Ablation = Literal["auto", "always", "never"]
"""Whether the kept features are switched off one by one: where that takes a few seconds at most,
always, or never."""
CAUSAL_WEIGHT = 0.25
"""The weight in the default training; see ``TranscoderTraining.causal_weight``."""
ExcerptPolicy = Literal["all", "open", "none"]


@dataclass(frozen=True)
class ModelConfig(JsonConfig):
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
        require_positive(self, *sizes, "ln_eps", "rotary_base")
        require_one_of("activation", self.activation, ("gelu", "gelu_new", "relu"))
        require_one_of("normalization", self.normalization, ("LN", None))
        require_one_of("positions", self.positions, ("rotary", "learned"))
        if self.positions == "rotary":
            require(
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
class CorpusConfig(JsonConfig):
    """How documents become training and held-out tokens."""

    text_column: str = "text"
    validation_every: int = 50
    """One document in this many is held out and never trained on."""
    max_document_bytes: int = 1_000_000
    """A longer document is cut here, and counted."""
    max_tokens: int = 24_000_000
    """The number of tokens at which reading stops: they are kept in memory, two bytes each."""
    skill_share: float = 0.3
    """Share of the training tokens that the skill generators write."""

    def __post_init__(self) -> None:
        require_positive(self, "validation_every", "max_document_bytes", "max_tokens")
        require(
            self.validation_every >= 2,
            f"validation_every is {self.validation_every}; at 1 nothing is left to train on.",
        )
        require(
            0 <= self.skill_share < 1,
            f"skill_share is {self.skill_share}; it must be from 0 to below 1.",
        )
        require(bool(self.text_column), "text_column is empty; name the column with the text.")


@dataclass(frozen=True)
class LanguageModelTraining(JsonConfig):
    """How the transformer is trained."""

    n_tokens: int = 8_200_000
    batch_size: int = 8
    """Sequences of n_ctx tokens in one step."""
    short_share: float = 0.75
    """Share of the steps, from the first on, whose sequences have half the length and twice the
    number: attention costs less there, and little is to be learned from far back."""
    learning_rate: float = 0.02
    """AdamW's rate, for embeddings, gains and biases."""
    matrix_optimizer: Literal["muon", "adamw"] = "muon"
    """The optimizer of the matrices inside the blocks."""
    muon_learning_rate: float = 0.01
    muon_weight_decay: float = 0.1
    warmup_steps: int = 60
    decay_fraction: float = 0.6
    """Share of the steps at the end over which both rates fall linearly to 0."""

    def __post_init__(self) -> None:
        require_positive(self, "n_tokens", "batch_size", "learning_rate", "muon_learning_rate")
        require_fraction(self, "short_share", "decay_fraction")
        require_one_of("matrix_optimizer", self.matrix_optimizer, ("muon", "adamw"))
        require(
            self.muon_weight_decay >= 0,
            f"muon_weight_decay is {self.muon_weight_decay}; use 0 or more.",
        )
        require(self.warmup_steps >= 0, f"warmup_steps is {self.warmup_steps}; use 0 or more.")


@dataclass(frozen=True)
class TranscoderTraining(JsonConfig):
    """How the transcoder is trained."""

    n_tokens: int = 4_000_000
    batch_size: int = 1024
    """Tokens in one step, drawn in random order from the shuffle buffer."""
    buffer_sequences: int = 512
    """Sequences whose activations are shuffled together."""
    buffer_passes: int = 2
    """How often each activation is used, in another order each time: harvesting takes a third of
    the time of a step."""
    learning_rate: float = 0.008
    """The rate at 1,024 features a layer; scaled by sqrt(1024 / d_transcoder)."""
    threshold_rate_factor: float = 0.05
    """The thresholds' learning rate as a share of the others'. Adam moves ``log(threshold)`` by
    about its rate a step however small the gradient: at the full rate thresholds run away and a
    third of the features die within 4 million tokens."""
    target_l0: float = 11.4
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
    causal_weight: float = 0.0
    """Weight of the loss on interventions, which removes features and holds the transcoder's
    answers to the model's own; 0 trains without it. The default training has 0.25.
    Models whose MLPs write to a stream that the next ones read as it is can be asked."""
    causal_share: float = 0.25
    """Share of a batch's tokens at which features of one layer are removed; every layer has other
    tokens, and less of them where the batch is too small for all layers."""
    initial_rate: float = 0.02
    """Share of tokens on which a new feature fires; sets the first b_enc."""
    decay_fraction: float = 0.4

    def __post_init__(self) -> None:
        require_positive(self, "n_tokens", "batch_size", "buffer_sequences", "buffer_passes")
        require_positive(self, "learning_rate")
        require_positive(self, "tanh_scale", "bandwidth", "initial_threshold")
        require_fraction(self, "threshold_rate_factor")
        require_fraction(self, "decay_fraction")
        require(
            0 < self.initial_rate < 1,
            f"initial_rate is {self.initial_rate}; it must be between 0 and 1.",
        )
        require_fraction(self, "causal_share")
        for name in (
            "target_l0",
            "sparsity_coefficient",
            "preactivation_coefficient",
            "causal_weight",
        ):
            value = getattr(self, name)
            require(value >= 0, f"{name} is {value}; it must be 0 or more.")


@dataclass(frozen=True)
class FeatureCardConfig(JsonConfig):
    """Settings of feature cards: their examples, statistics and text."""

    n_tokens: int = 500_000
    """Tokens of the pass that measures densities and finds examples."""
    n_top_examples: int = 8
    n_interval_examples: int = 3
    """Examples from each of two weaker intervals of the activation."""
    context: int = 16
    """Tokens kept before and after an example's peak."""
    excerpts: ExcerptPolicy = "all"
    """``open``: only text that may be passed on; ``none``: no text travels with the model."""

    def __post_init__(self) -> None:
        require_positive(self, "n_tokens", "n_top_examples", "n_interval_examples", "context")
        require_one_of("excerpts", self.excerpts, ("all", "open", "none"))


@dataclass(frozen=True)
class TrainConfig(JsonConfig):
    """Everything that decides a training, its seed included.

    The default is a model of words: 4,096 words and pieces of words, learned from the text.
    """

    model: ModelConfig = field(default_factory=lambda: ModelConfig(n_ctx=128, d_vocab=4096))
    """The model: with 257 tokens it reads bytes, with more, words learned from the text."""
    transcoder: TranscoderConfig = field(
        default_factory=lambda: TranscoderConfig(skip_connection=True)
    )
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    language_model_training: LanguageModelTraining = field(default_factory=LanguageModelTraining)
    transcoder_training: TranscoderTraining = field(
        default_factory=lambda: TranscoderTraining(causal_weight=CAUSAL_WEIGHT)
    )
    feature_cards: FeatureCardConfig = field(default_factory=FeatureCardConfig)
    seed: int = 0
    checkpoint_seconds: float = 30.0
    """Time between checkpoints; one is also written on cancel and between the phases."""
    event_steps: int = 10
    """Steps between two progress events."""

    @classmethod
    def for_bytes(cls, seed: int = 0) -> "TrainConfig":
        """Return the default settings of a model that reads single bytes.

        Such a model can spell every word, and its graphs have a column for each letter.
        """
        return cls(
            model=ModelConfig(),
            language_model_training=LanguageModelTraining(n_tokens=18_500_000),
            transcoder_training=TranscoderTraining(
                buffer_sequences=256, target_l0=13.4, causal_weight=CAUSAL_WEIGHT
            ),
            feature_cards=FeatureCardConfig(n_tokens=1_000_000, context=24),
            seed=seed,
        )

    def __post_init__(self) -> None:
        require_positive(self, "checkpoint_seconds", "event_steps")
        for name in ("n_layers", "d_model"):
            ours, theirs = getattr(self.transcoder, name), getattr(self.model, name)
            require(
                ours == theirs,
                f"transcoder.{name} is {ours} and model.{name} is {theirs}; they must be equal.",
            )
        require(
            self.transcoder.activation == "jump_relu",
            f"transcoder.activation is {self.transcoder.activation!r}; transcoders that are "
            "trained here have jump_relu.",
        )


@dataclass(frozen=True)
class AttributionConfig(JsonConfig):
    """How much of a prediction a graph explains."""

    max_logits: int = 10
    """Most output tokens to explain."""
    logit_probability: float = 0.95
    """Output tokens are taken, best first, until they have this probability together."""
    max_feature_nodes: int | None = None
    """Most features to keep; None keeps all that are active. For a model's own neurons, the
    number that become nodes; None: 200."""
    other_neurons: OtherNeurons = "auto"
    """The place of a model's own neurons that are no nodes: ``folded`` lets them through
    as they are, ``nodes`` makes one node of them at each layer and position, ``auto`` folds where
    that takes no more than about ten seconds of one core."""

    def __post_init__(self) -> None:
        require_positive(self, "max_logits", "logit_probability")
        require_one_of("other_neurons", self.other_neurons, ("auto", "folded", "nodes"))
        require_fraction(self, "logit_probability")
        budget = self.max_feature_nodes
        require(
            budget is None or budget >= 0,
            f"max_feature_nodes is {budget}; it must be 0 or more, or None for all.",
        )


@dataclass(frozen=True)
class PruneConfig(JsonConfig):
    """How much of a graph is kept."""

    node_threshold: float = 0.8
    """Share of the nodes' score to keep."""
    edge_threshold: float = 0.98
    """Share of the edge influence to keep."""
    score: NodeScore = "answer"
    """The number that ranks nodes; see ``prune_graph``."""

    def __post_init__(self) -> None:
        require_fraction(self, "node_threshold", "edge_threshold")
        require_one_of("score", self.score, ("answer", "influence"))


@dataclass(frozen=True)
class GroupingConfig(JsonConfig):
    """How similar features are grouped."""

    similarity_threshold: float = 0.7
    """Cosine similarity from which features join a group, -1 to 1."""
    likeness: Likeness = "role"
    """The property that makes features alike; see ``cluster_features``."""
    across_positions: bool = False
    """True also groups features at different tokens."""

    def __post_init__(self) -> None:
        require_one_of("likeness", self.likeness, ("role", "decoders"))
        require(
            -1 <= self.similarity_threshold <= 1,
            f"similarity_threshold is {self.similarity_threshold}; it must be from -1 to 1.",
        )


@dataclass(frozen=True)
class TraceConfig(JsonConfig):
    """How much of a prediction is explained, kept and grouped: one set of defaults for all."""

    attribution: AttributionConfig = field(default_factory=AttributionConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    grouping: GroupingConfig = field(default_factory=GroupingConfig)
    ablation: Ablation = "auto"
    """Whether the kept features are ranked by switching each off; see ``ablate_in_replacement``."""

    def __post_init__(self) -> None:
        require_one_of("ablation", self.ablation, ("auto", "always", "never"))
