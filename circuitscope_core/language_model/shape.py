"""The sizes of a language model that the engine asks for."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from circuitscope_core.errors import PromptError


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
    logit_cap: float | None = None
    """Bound of a soft cap that the model puts on its logits (Gemma-2); None where it has none."""

    mask_id: int | None = None
    """The token in whose place a masked model is asked for another; None for a model that is asked
    for the token after the last."""

    def asked(self, token_ids: Int[Tensor, " n_pos"]) -> int:
        """Return the position whose logits are explained: the mask's, or else the last.

        Raises:
            PromptError: If a masked model is given no mask, or several.
        """
        if self.mask_id is None:
            return len(token_ids) - 1
        places: list[int] = (token_ids == self.mask_id).nonzero()[:, 0].tolist()
        if len(places) != 1:
            raise PromptError(
                f"The prompt has {len(places)} tokens that ask for a word; put exactly one mask, "
                f"[MASK] or token {self.mask_id}, where this model is to find the word."
            )
        return places[0]

    def capped(self, logits: Tensor) -> Tensor:
        """Return logits behind the soft cap: those that probabilities are made of.

        Graphs explain the logits before it, since it is not linear; it changes no token's rank.
        """
        cap = self.logit_cap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the next token's probabilities, over the last axis of logits before a cap."""
        return self.capped(logits).softmax(dim=-1)
