"""Token windows for both trainings: a pure function of seed and step, so resuming is exact."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from circuitscope_core.errors import TrainingError

THRESHOLD_TOKENS = 128
"""Tokens of a batch from which the thresholds' gradient is taken. Every feature near its threshold
counts in it, active or not, and batches are in random order: a part of one is a fair sample."""


@dataclass(frozen=True)
class BatchPart:
    """A worker's part of a batch. Gradients and losses of all parts add up to the whole's."""

    n_tokens: int
    """Tokens of the whole batch."""
    n_sample: int
    """How many of its first tokens the thresholds' gradient is taken from."""
    n_own_sample: int
    """Those among them that this worker has; they are its first."""
    places: Int[Tensor, " own"]
    """The places of its tokens in the batch, rising."""

    @classmethod
    def whole(cls, n_tokens: int, threshold_tokens: int = THRESHOLD_TOKENS) -> "BatchPart":
        """Return the part that is all."""
        n_sample = min(threshold_tokens, n_tokens)
        return cls(n_tokens, n_sample, n_sample, torch.arange(n_tokens, device="cpu"))

    @classmethod
    def of(
        cls, mine: Bool[Tensor, " batch"], threshold_tokens: int = THRESHOLD_TOKENS
    ) -> "BatchPart":
        """Return the part of the one who has the tokens that ``mine`` marks."""
        n_sample = min(threshold_tokens, len(mine))
        places = mine.nonzero()[:, 0]
        return cls(len(mine), n_sample, int(mine[:n_sample].sum()), places)

    def split(self, n: int) -> tuple["BatchPart", ...]:
        """Divide the part among ``n``: number ``i`` takes each ``n``-th token from ``i`` on."""
        own = (self.places[number::n].contiguous() for number in range(n))
        return tuple(
            replace(self, n_own_sample=int((places < self.n_sample).sum()), places=places)
            for places in own
        )


@dataclass(frozen=True)
class TokenWindows:
    """A long token stream, seen as windows that open with the separator as prompts do."""

    tokens: NDArray[np.integer]
    document_starts: NDArray[np.int64]
    separator_id: int
    n_ctx: int
    counted: NDArray[np.bool_] | None = None
    """Which tokens count in the loss; None: all."""
    token_bytes: NDArray[np.integer] | None = None
    """Length of each token's text in bytes, by its id; None: one byte each."""

    @classmethod
    def of(
        cls,
        tokens: NDArray[np.integer],
        separator_id: int,
        n_ctx: int,
        name: str = "text",
        counted: NDArray[np.bool_] | None = None,
        token_bytes: NDArray[np.integer] | None = None,
    ) -> "TokenWindows":
        """Index a stream; ``name`` is what an error calls it.

        Raises:
            TrainingError: If the stream is shorter than one window and its next token.
        """
        if len(tokens) < n_ctx + 1:
            raise TrainingError(
                f"The {name} has {len(tokens)} tokens; one window needs {n_ctx + 1}. "
                "Use more text, or a model with a smaller n_ctx."
            )
        starts = np.flatnonzero(tokens == separator_id)
        return cls(tokens, starts, separator_id, n_ctx, counted, token_bytes)

    @cached_property
    def bytes_a_counted_token(self) -> float:
        """Mean length of the tokens that count in the loss, in bytes."""
        if self.token_bytes is None:
            return 1.0
        counted = self.tokens if self.counted is None else self.tokens[self.counted]
        uses = np.bincount(counted, minlength=len(self.token_bytes))
        return float((uses * self.token_bytes).sum() / max(1, len(counted)))

    def sample(self, n: int, rng: np.random.Generator) -> Int[Tensor, "n n_ctx_plus_1"]:
        """Draw windows of ``n_ctx + 1`` tokens, the first being the separator.

        Half of them begin where a document does, if one begins within the window: so prompts,
        which open a document, look like training text.
        """
        return self._windows(self._draw_starts(n, rng))

    def sample_counted(
        self, n: int, rng: np.random.Generator
    ) -> tuple[Int[Tensor, "n n_ctx_plus_1"], Bool[Tensor, "n n_ctx"]]:
        """Draw the same windows as ``sample``, and which of their tokens after the first count."""
        starts = self._draw_starts(n, rng)
        if self.counted is None:
            return self._windows(starts), torch.ones(n, self.n_ctx, dtype=torch.bool, device="cpu")
        counted = self.counted[starts[:, None] + np.arange(1, self.n_ctx + 1)]
        return self._windows(starts), torch.from_numpy(counted)

    def _draw_starts(self, n: int, rng: np.random.Generator) -> NDArray[np.integer]:
        last = len(self.tokens) - self.n_ctx - 1
        starts = rng.integers(0, last + 1, size=n)
        if len(self.document_starts):
            slot = np.searchsorted(self.document_starts, starts)
            following = self.document_starts[np.minimum(slot, len(self.document_starts) - 1)]
            near = (following >= starts) & (following - starts < self.n_ctx) & (following <= last)
            starts = np.where(near & (rng.random(n) < 0.5), following, starts)
        return starts

    def consecutive(self, max_tokens: int) -> Int[Tensor, "n n_ctx_plus_1"]:
        """Return windows one after the other from the start, up to ``max_tokens`` in all."""
        n = min(len(self.tokens) - 1, max(max_tokens, self.n_ctx)) // self.n_ctx
        return self._windows(np.arange(n) * self.n_ctx)

    def _windows(self, starts: NDArray[np.integer]) -> Tensor:
        windows = self.tokens[starts[:, None] + np.arange(self.n_ctx + 1)].astype(np.int64)
        windows[:, 0] = self.separator_id
        return torch.from_numpy(windows)


def step_rng(seed: int, stream: int, step: int) -> np.random.Generator:
    """Return the random numbers of one step of one stream.

    Streams: 1 for the language model's windows, 2 for the transcoder's buffers, 3 for the order in
    which a pass goes through its buffer, 7 for the features that interventions remove, 8 for the
    first weights of layers that are trained apart.
    """
    return np.random.default_rng((seed, stream, step))
