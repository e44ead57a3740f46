"""The rows of feature nodes, computed in batches of targets that lie close to one another."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from circuitscope_core.attribution.effects import Reads, Rows, rows_of
from circuitscope_core.attribution.sources import Sources
from circuitscope_core.cores import map_on_cores
from circuitscope_core.prompt_pass import PromptPass


def feature_rows(
    clean: PromptPass, sources: Sources, targets: Int[Tensor, " n"]
) -> Iterator[tuple[Tensor, Rows]]:
    """Yield the rows of feature nodes, a batch at a time, with the batch's node indices.

    A batch has the features of all layers at a few positions. The batches are independent of each
    other, and each core computes its own: no product waits for another core.

    Args:
        clean: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        targets: Feature nodes, rising. Within a batch they rise, too.
    """
    batches = split_targets(clean, targets)
    yield from map_on_cores(lambda nodes: (nodes, batch_rows(clean, sources, nodes)), batches)


def split_targets(clean: PromptPass, targets: Int[Tensor, " n"]) -> list[Int[Tensor, " _"]]:
    """Return targets by position, in batches that are carried back together."""
    positions = clean.features[targets, 1]
    order = positions.argsort(stable=True)  # within a position by layer, as they were
    d_model = clean.error_vectors.shape[2]
    at_once = clean.replacement.compute.rows_at_once
    batches, first, ordered = [], 0, positions[order].tolist()
    while first < len(ordered):
        n_seen = ordered[first] + 1 if clean.frozen.causal else clean.n_pos
        last = first + at_once(n_seen, d_model)
        batches.append(targets[order[first:last].sort().values])
        first = last
    return batches


def batch_rows(clean: PromptPass, sources: Sources, nodes: Int[Tensor, " n"]) -> Rows:
    """Return the rows of feature nodes, which rise, in one pass back from the highest."""
    layers, counts = clean.features[nodes, 0].unique_consecutive(return_counts=True)
    ends = [0, *counts.cumsum(0).tolist()]
    reads = []
    for layer, (first, last) in zip(layers.tolist(), pairwise(ends), strict=True):
        own = nodes[first:last]
        reads.append(Reads(layer, clean.features[own, 1], *clean.vectors_of(own)))
    with torch.no_grad():  # threads have a mode of their own
        return rows_of(clean, sources, reads)
