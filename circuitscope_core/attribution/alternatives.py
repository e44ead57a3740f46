"""The likely tokens beside a graph's outputs: what the outputs are told from."""

import torch
from jaxtyping import Int
from torch import Tensor

from circuitscope_core.attribution.effects import direction_rows
from circuitscope_core.attribution.sources import Sources
from circuitscope_core.attribution.targets import LogitTargets
from circuitscope_core.graph import Alternatives, AttributionGraph
from circuitscope_core.prompt_pass import PromptPass

N_OUTCOMES = 16
"""Tokens at each explained position, outputs and alternatives together. Measured on the demo, the
graph's ranking gains until about so many (``docs/faithfulness.md``)."""


def find_alternatives(
    clean: PromptPass, sources: Sources, chosen: LogitTargets
) -> Alternatives | None:
    """Return the likeliest tokens beside the outputs, at each position that has outputs.

    Args:
        clean: The prompt's clean pass.
        sources: From ``lay_out_sources``.
        chosen: The outputs.

    Returns:
        Tokens with effects of all sources, ``[n, n_columns]``; None where outputs are no tokens, or
        there is no other token.
    """
    if bool((chosen.token_ids < 0).any()):
        return None
    tokens, positions = [], []
    for position in chosen.positions.unique().tolist():
        own = chosen.token_ids[chosen.positions == position]
        found = _likeliest_others(clean, position, own)
        tokens.append(found)
        positions.append(torch.full_like(found, position))
    token_ids, places = torch.cat(tokens), torch.cat(positions)
    if not len(token_ids):
        return None
    directions = clean.replacement.model.unembedding(token_ids)[0] - clean.mean_unembedding[0]
    no_bias = directions.new_zeros(len(directions))
    last = clean.frozen.n_layers
    rows = direction_rows(clean, sources, last, places, directions, no_bias)
    logits = clean.record.logits[0]
    probabilities = clean.replacement.model.shape.probabilities(logits)[places, token_ids]
    return Alternatives(token_ids.cpu(), probabilities.cpu(), places.cpu(), rows.effects.cpu())


def _likeliest_others(
    clean: PromptPass, position: int, own: Int[Tensor, " n_own"]
) -> Int[Tensor, " n"]:
    """Return the likeliest tokens at a position, those of the outputs left out, best first."""
    # ids that pad a vocabulary have no text
    logits = clean.record.logits[0, position, : clean.replacement.tokenizer.d_vocab].clone()
    logits[own] = float("-inf")
    n = min(max(0, N_OUTCOMES - len(own)), len(logits) - len(own))
    return logits.topk(n).indices


def beside_nodes(
    found: Alternatives, graph: AttributionGraph, kept: Int[Tensor, " n_kept"], n_all: int
) -> Alternatives:
    """Return alternatives with a column for each node of the graph.

    Args:
        found: With a column for each source of the prompt.
        graph: The graph.
        kept: The features that are nodes.
        n_all: Features that are active on the prompt.
    """
    effects = found.effects.new_zeros(len(found), graph.n_nodes, dtype=graph.adjacency.dtype)
    n_features, first_logit = graph.n_features, graph.logit_nodes.start
    effects[:, :n_features] = found.effects[:, kept.sort().values]
    effects[:, n_features:first_logit] = found.effects[:, n_all:]
    return Alternatives(found.token_ids, found.probabilities, found.positions, effects)
