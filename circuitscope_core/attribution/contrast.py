"""A second prompt beside the first: which of its positions stands for which."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.values import one_line


@one_line
@dataclass(frozen=True)
class Contrast:
    """Another prompt, position by position beside the one that is explained."""

    other: PromptPass
    positions: Int[Tensor, " n_pos"]
    """The other prompt's position that stands for each one; -1 where none does."""

    def activations(
        self, own: Float[Tensor, "n_layers n_pos n_neurons"]
    ) -> Float[Tensor, "n_layers n_pos n_neurons"]:
        """Return the other prompt's activations at the first one's positions.

        Where no position stands for one, its own activations are given: nothing differs there.
        """
        there = self.positions >= 0
        found = own.clone()
        found[:, there] = self.other.dense_activations[:, self.positions[there]]
        return found


def align(clean: PromptPass, other: PromptPass, n_read: int = 1) -> Contrast:
    """Put another prompt beside a prompt.

    Prompts of one length stand beside each other as they are. Otherwise tokens that both have in
    the same order stand beside each other, and so do as many different ones between two of them;
    the last tokens, and those where the answer is read, always do.

    Args:
        clean: The prompt's clean pass.
        other: The other prompt's.
        n_read: Number of positions at the end at which an answer is read, the same in both.
    """
    places = align_tokens(clean.token_ids, other.token_ids)
    for back in range(1, n_read + 1):
        places[-back] = other.n_pos - back
    places[clean.asked] = other.asked
    return Contrast(other, torch.tensor(places, device=clean.features.device))


def align_tokens(own: Sequence[int], other: Sequence[int]) -> list[int]:
    """Return the place in ``other`` that stands for each place in ``own``; -1 where none does."""
    if len(own) == len(other):
        return list(range(len(own)))
    found = [-1] * len(own)
    matcher = SequenceMatcher(None, own[:-1], other[:-1], autojunk=False)
    for tag, start, end, there, there_end in matcher.get_opcodes():
        if tag == "equal" or (tag == "replace" and end - start == there_end - there):
            found[start:end] = range(there, there_end)
    found[-1] = len(other) - 1
    return found
