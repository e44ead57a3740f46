"""The sizes of a language model that the engine asks for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a language model, the same words for every family of models."""

    n_layers: int
    d_model: int
    n_heads: int
    """Query heads in each layer."""
    d_vocab: int
    """Rows of the embedding; a tokenizer may have fewer ids."""
    n_ctx: int
    """Longest input in tokens."""
    causal: bool = True
    """False: every position attends to all positions."""
    n_opening: int = 1
    """Tokens that open each text, such as the separator. Features and errors there are constants:
    no node of a graph stands at the first ``n_opening`` positions."""
