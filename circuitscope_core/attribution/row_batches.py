"""The rows of feature nodes, computed in batches of targets that lie close to one another."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from circuitscope_core.attribution.effects import Reads, Rows, rows_of
from circuitscope_core.attribution.sources import Sources, cores_for
from circuitscope_core.cores import map_on_cores
from circuitscope_core.errors import GraphError
from circuitscope_core.prompt_pass import PromptPass

Result = TypeVar("Result")


def feature_rows(
    clean: PromptPass, sources: Sources, targets: Int[Tensor, " n"]
) -> Iterator[tuple[Tensor, Rows]]:
    """Yield the rows of feature nodes, a batch at a time, with the batch's node indices.

    Args:
        clean: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        targets: Feature nodes, rising. Within a batch they rise, too.
    """
    return take_feature_rows(clean, sources, targets, lambda nodes, rows: (nodes, rows))


def take_feature_rows(
    clean: PromptPass,
    sources: Sources,
    targets: Int[Tensor, " n"],
    take: Callable[[Tensor, Rows], Result],
) -> Iterator[Result]:
    """Yield what ``take`` makes of a batch's node indices and its rows, a batch at a time.

    A batch has the features of all layers at a few positions. The batches are independent of each
    other, and each core computes and takes its own: no product waits for another core.
    """

    def taken(nodes: Tensor) -> Result:
        return take(nodes, batch_rows(clean, sources, nodes))

    return map_on_cores(taken, split_targets(clean, targets), cores_for(clean, len(targets)))


def split_targets(clean: PromptPass, targets: Int[Tensor, " n"]) -> list[Int[Tensor, " _"]]:
    """Return targets by position, in batches that are carried back together."""
    positions = clean.features[targets, 1]
    order = positions.argsort(stable=True)  # within a position by layer, as they were
    d_model = clean.error_vectors.shape[2]
    at_once = clean.replacement.compute.rows_at_once
    batches, first, ordered = [], 0, positions[order].tolist()
    for last, position in enumerate(ordered):
        n_seen = position + 1 if clean.frozen.causal else clean.n_pos
        if last - first >= at_once(n_seen, d_model):
            batches.append(targets[order[first:last].sort().values])
            first = last
    if first < len(ordered):
        batches.append(targets[order[first:].sort().values])
    return batches


def batch_rows(clean: PromptPass, sources: Sources, nodes: Int[Tensor, " n"]) -> Rows:
    """Return the rows of feature nodes, which rise, in the host's memory.

    Where the memory of the device does not hold all of them on their way back, they go in halves.

    Raises:
        GraphError: If it does not even hold one of them.
    """
    try:
        return _rows_together(clean, sources, nodes)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        if len(nodes) == 1:
            raise GraphError(
                f"The memory of {nodes.device} does not hold the gradient of one feature at "
                f"{clean.n_pos:,} positions. Give a shorter prompt, or use another device."
            ) from error
    if nodes.is_cuda:
        torch.cuda.empty_cache()
    halves = nodes.split(-(-len(nodes) // 2))
    return Rows.joined([batch_rows(clean, sources, half) for half in halves])


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error says that there is no memory left, on the host or on a device."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _rows_together(clean: PromptPass, sources: Sources, nodes: Int[Tensor, " n"]) -> Rows:
    """Return the rows of feature nodes, which rise, in one pass back from the highest."""
    layers, counts = clean.features[nodes, 0].unique_consecutive(return_counts=True)
    ends = [0, *counts.cumsum(0).tolist()]
    reads = []
    for layer, (first, last) in zip(layers.tolist(), pairwise(ends), strict=True):
        own = nodes[first:last]
        reads.append(Reads(layer, clean.features[own, 1], *clean.vectors_of(own)))
    rows = rows_of(clean, sources, reads)
    return Rows(rows.effects.cpu(), rows.bias.cpu(), rows.rest.cpu())
