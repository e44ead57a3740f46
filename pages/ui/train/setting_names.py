"""The settings of a training in words, by the names that bundles keep them under."""

from collections.abc import Mapping
from types import MappingProxyType

_SECTIONS = {
    "model": "Model",
    "transcoder": "Transcoder",
    "corpus": "Text",
    "language_model_training": "Training of the model",
    "transcoder_training": "Training of the transcoder",
    "feature_cards": "Feature cards",
    "": "Training",
}
_WORDS = {
    "activation": "activation function",
    "bandwidth": "window in which thresholds learn",
    "batch_size": "size of a batch",
    "buffer_bytes": "memory for activations",
    "buffer_dtype": "precision of kept activations",
    "buffer_passes": "uses of each activation",
    "buffer_place": "place of kept activations",
    "buffer_sequences": "windows shuffled together",
    "causal": "reads to the left only",
    "causal_share": "share of tokens with interventions",
    "causal_weight": "weight of the loss on interventions",
    "checkpoint_seconds": "seconds between checkpoints",
    "context": "tokens around an example's peak",
    "cross_layer": "features write to later layers",
    "d_head": "width of a head",
    "d_mlp": "width of the MLP",
    "d_model": "width of the residual stream",
    "d_transcoder": "features a layer",
    "d_vocab": "size of the vocabulary",
    "decay_fraction": "share of steps with a falling rate",
    "event_steps": "steps between reports",
    "excerpts": "quoted text",
    "group_layers": "layers trained together",
    "initial_rate": "firing rate of a new feature",
    "initial_threshold": "threshold of a new feature",
    "k": "active features of a top-k",
    "layers": "layers with features",
    "learning_rate": "learning rate",
    "ln_eps": "smallest variance in a norm",
    "matrix_optimizer": "optimiser of matrices",
    "max_document_bytes": "longest document in bytes",
    "max_tokens": "most tokens read",
    "metric_tokens": "tokens of the final figures",
    "muon_learning_rate": "learning rate of Muon",
    "muon_weight_decay": "weight decay of Muon",
    "n_ctx": "longest input in tokens",
    "n_heads": "heads",
    "n_interval_examples": "weaker examples on a card",
    "n_layers": "layers",
    "n_tokens": "tokens",
    "n_top_examples": "strongest examples on a card",
    "normalization": "normalisation",
    "positions": "positions",
    "preactivation_coefficient": "weight that keeps features alive",
    "read_point": "place that features read",
    "rotary_base": "base of rotary positions",
    "score_prompts": "prompts of the final scores",
    "seed": "seed",
    "short_share": "share of steps with short windows",
    "skill_share": "share of sentences that teach skills",
    "skip_connection": "skip connection",
    "sparsity_coefficient": "weight of sparsity",
    "tanh_scale": "bend of the sparsity penalty",
    "target_l0": "wanted active features a token and layer",
    "text_column": "column of the text",
    "threshold_rate_factor": "learning rate of thresholds, as a share",
    "tied_embeddings": "embedding and unembedding are one",
    "trained_layers": "layers with features",
    "validation_every": "documents for each held-out one",
    "warmup_steps": "steps of warming up",
    "write_point": "place that features write to",
}
SECTIONS: Mapping[str, str] = MappingProxyType(_SECTIONS)
WORDS: Mapping[str, str] = MappingProxyType(_WORDS)


def name_setting(key: str) -> str:
    """Return a setting's name in words; one that is unknown here keeps its own.

    Example:
        >>> name_setting("language_model_training.n_tokens")
        'Training of the model: tokens'
    """
    section, _, name = key.rpartition(".")
    if name not in WORDS or section not in SECTIONS:
        return key
    return f"{SECTIONS[section]}: {WORDS[name]}"


def write_setting(value: object) -> str:
    """Return a setting's value for people."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)
