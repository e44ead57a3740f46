"""The likely tokens beside a graph's outputs: what the outputs are told from."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.effects import Reads
from circuitscope_core.attribution.targets import LogitTargets
from circuitscope_core.graph import Alternatives
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.values import one_line

N_OUTCOMES = 16
"""Tokens at each explained position, outputs and alternatives together. Measured on the demo, the
graph's ranking gains from more tokens up to about this number (``docs/faithfulness.md``)."""


@one_line
@dataclass(frozen=True)
class OtherTokens:
    """Likely tokens beside the outputs, and the vectors whose products are their logits."""

    token_ids: Int[Tensor, " n"]
    probabilities: Float[Tensor, " n"]
    reads: Reads
    """Their logits less the mean logit, a constant aside."""

    def with_effects(self, effects: Float[Tensor, "n n_columns"]) -> Alternatives:
        """Return the tokens with the effects on their logits, in the host's memory."""
        own = (self.token_ids.cpu(), self.probabilities.cpu(), self.reads.positions.cpu())
        return Alternatives(*own, effects)


def find_alternatives(clean: PromptPass, chosen: LogitTargets) -> OtherTokens | None:
    """Return the likeliest tokens beside the outputs, at each position that has outputs.

    Args:
        clean: The prompt's clean pass.
        chosen: The outputs.

    Returns:
        None where outputs are no tokens, or there is no other token.
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
    reads = Reads(clean.frozen.n_layers, places, directions, directions.new_zeros(len(places)))
    logits = clean.record.logits[0]
    probabilities = clean.replacement.model.shape.probabilities(logits)[places, token_ids]
    return OtherTokens(token_ids, probabilities, reads)


def _likeliest_others(
    clean: PromptPass, position: int, own: Int[Tensor, " n_own"]
) -> Int[Tensor, " n"]:
    """Return the likeliest tokens at a position, those of the outputs left out, best first."""
    # ids that pad a vocabulary have no text
    logits = clean.record.logits[0, position, : clean.replacement.tokenizer.d_vocab].clone()
    logits[own] = float("-inf")
    n = min(max(0, N_OUTCOMES - len(own)), len(logits) - len(own))
    return logits.topk(n).indices


def alternatives_of(
    found: OtherTokens, effects: Float[Tensor, "n n_columns"], n_nodes: int
) -> Alternatives:
    """Return alternatives as a part of a graph, in the host's memory.

    Args:
        found: The tokens.
        effects: Direct effects of features, errors and tokens on their logits.
        n_nodes: Nodes of the graph; the last are its outputs, which have no effects.
    """
    rows = torch.zeros(len(effects), n_nodes, device="cpu", dtype=torch.float32)
    rows[:, : effects.shape[1]] = effects
    return found.with_effects(rows)
