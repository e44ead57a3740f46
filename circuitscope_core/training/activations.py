"""Activations that a transcoder is trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import ReadPoint
from circuitscope_core.language_model import LanguageModel, MlpSite, RunsLayers
from circuitscope_core.transcoder import ActivationScales

MOST_SEQUENCES = 16
"""Sequences that a model is run on at once."""
WORKING_BYTES = 256 * 2**20
"""Memory of the activations of one run, which bounds how many sequences are run at once."""


@dataclass(frozen=True)
class Activations:
    """Activations of some tokens, or of a batch of them."""

    inputs: Float[Tensor, "n_layers n d_model"]
    """The values that a transcoder reads."""
    targets: Float[Tensor, "n_layers n d_model"]
    """The MLP outputs, which it should write."""
    resid_mid: Float[Tensor, "n_layers n d_model"] | None = None
    """The stream before each MLP, where interventions need it."""

    @property
    def n_tokens(self) -> int:
        """Number of tokens."""
        return int(self.inputs.shape[1])

    def scaled(self, scales: ActivationScales) -> "Activations":
        """Return inputs and targets in the transcoder's units; changed in place."""
        self.inputs.mul_(scales.inputs[:, None, None])
        self.targets.mul_(scales.targets[:, None, None])
        return self

    def every(self, n: int, first: int) -> "Activations":
        """Return each ``n``-th token from a first one on; all tokens are these themselves."""
        if n == 1:
            return self
        return self.at(torch.arange(first, self.n_tokens, n, device="cpu"))

    def at(self, tokens: Int[Tensor, " own"], like: Tensor | None = None) -> "Activations":
        """Return some tokens, in the precision of ``like`` and where it is."""
        place = tokens.to(self.inputs.device)

        def taken(values: Tensor) -> Tensor:
            found = values[:, place]
            return found if like is None else found.to(like)

        middle = None
        if self.resid_mid is not None:  # a copy: the inputs are scaled, and the stream is not
            middle = taken(self.resid_mid)
        return Activations(taken(self.inputs), taken(self.targets), middle)


@torch.no_grad()
def harvest(
    model: LanguageModel,
    token_ids: Int[Tensor, "batch n_pos"],
    read_point: ReadPoint,
    *,
    with_stream: bool = False,
) -> Activations:
    """Run a model and keep its MLPs' activations, opening positions left out, sequences joined.

    Args:
        model: The model.
        token_ids: Sequences.
        read_point: The place where the transcoder reads.
        with_stream: Whether the stream before each MLP is kept, too.
    """
    layers = tuple(range(model.shape.n_layers))
    parts = list(harvested(model, token_ids, read_point, layers, with_stream=with_stream))
    inputs, targets = (torch.cat([part[n] for part in parts], dim=1) for n in (0, 1))
    resid_mid = torch.cat([part[2] for part in parts], dim=1) if with_stream else None
    return Activations(inputs, targets, resid_mid)


@torch.no_grad()
def harvested(
    model: LanguageModel,
    token_ids: Int[Tensor, "batch n_pos"],
    read_point: ReadPoint,
    layers: Sequence[int],
    *,
    with_stream: bool = False,
) -> Iterator[tuple[Tensor, ...]]:
    """Run a model on a few sequences after the other; yields what is kept of each run.

    Yields inputs, targets and, where it is asked for, the stream: ``[n_layers, n, d_model]`` each.

    Args:
        model: The model.
        token_ids: Sequences.
        read_point: The place where the transcoder reads.
        layers: Those that are kept, rising.
        with_stream: Whether the stream before each MLP is kept, too.
    """
    opening, device = model.shape.n_opening, model.tokens([0]).device

    def joined(values: Tensor) -> Tensor:
        return values[:, opening:].flatten(0, 1)

    for batch in token_ids.split(sequences_at_once(model, token_ids.shape[1], len(layers))):
        sites = sites_of(model, batch.to(device), layers)
        kept = [
            torch.stack([joined(site.read(read_point)) for site in sites]),
            torch.stack([joined(site.mlp_out) for site in sites]),
        ]
        if with_stream:
            kept.append(torch.stack([joined(site.resid_mid) for site in sites]))
        yield tuple(kept)


def sequences_at_once(model: LanguageModel, n_pos: int, n_layers: int) -> int:
    """Return how many sequences a model is run on at once, so that the memory has a bound."""
    one = 4 * 4 * n_layers * n_pos * model.shape.d_model  # four tensors of float32 a layer
    return max(1, min(MOST_SEQUENCES, WORKING_BYTES // one))


def sites_of(model: LanguageModel, token_ids: Tensor, layers: Sequence[int]) -> tuple[MlpSite, ...]:
    """Return MLP inputs and outputs of some layers; the others need not run."""
    if isinstance(model, RunsLayers):
        return model.mlp_sites(token_ids, layers)
    sites = model.mlp_pass(token_ids).sites
    return tuple(sites[layer] for layer in layers)
