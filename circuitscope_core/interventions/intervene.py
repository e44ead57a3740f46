"""Set features by hand and see what the model does: does the graph predict it?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.answers import PromptLike
from circuitscope_core.arguments import checked
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.interventions.changes import (
    Change,
    TokenIntervention,
    check_changes,
    deltas_of,
)
from circuitscope_core.interventions.neurons import linear_activations
from circuitscope_core.interventions.outputs import output_values
from circuitscope_core.interventions.runs import run_clamped, run_iterative
from circuitscope_core.language_model import ModelShape, Record
from circuitscope_core.prompt_pass import PromptPass, dense_pre_activations, run_prompt
from circuitscope_core.replacement import Explainable
from circuitscope_core.values import one_line

Mode = Literal["direct", "constrained", "iterative"]
"""The parts of the model that react to an intervention; ``intervene`` describes each."""


@one_line
@dataclass(frozen=True)
class InterventionResult:
    """The model before and after, for the same tokens."""

    mode: Mode
    token_ids: tuple[int, ...]
    logits_before: Float[Tensor, "n_pos d_vocab"]
    logits_after: Float[Tensor, "n_pos d_vocab"]
    pre_activations_before: Float[Tensor, "n_layers n_pos d_transcoder"]
    pre_activations_after: Float[Tensor, "n_layers n_pos d_transcoder"]
    resid_before: Float[Tensor, "n_layers_plus_1 n_pos d_model"]
    """Residual stream after attention of each layer, and at the end."""
    resid_after: Float[Tensor, "n_layers_plus_1 n_pos d_model"]
    asked: int
    """The position whose logits are explained."""
    shape: ModelShape
    """Sizes of the model, and the soft cap between its logits and its probabilities."""

    @property
    def probabilities_before(self) -> Float[Tensor, " d_vocab"]:
        """Next-token probabilities without the intervention."""
        return self.shape.probabilities(self.logits_before[self.asked])

    @property
    def probabilities_after(self) -> Float[Tensor, " d_vocab"]:
        """Next-token probabilities with it."""
        return self.shape.probabilities(self.logits_after[self.asked])

    def output_changes(self, graph: AttributionGraph) -> Float[Tensor, " n_logits"]:
        """Return what was added to each output of a graph, read at its own position.

        Beside it stands the graph's prediction: the entries of ``predict_direct`` or
        ``predict_total`` for its logit nodes. NaN for outputs that are no token.

        Args:
            graph: Of the same tokens, of one next token or of a whole answer.

        Raises:
            GraphError: If the graph is one of other tokens.
        """
        if self.token_ids != tuple(graph.token_ids.tolist()):
            raise GraphError(
                f"The graph is one of {graph.n_pos} tokens, {graph.prompt!r:.60}, and the model "
                f"ran on {len(self.token_ids)} others; give intervene() the graph's token_ids."
            )
        return output_values(graph, self.logits_after - self.logits_before)


@checked
def intervene(
    bundle: Explainable | PromptPass,
    prompt: PromptLike,
    interventions: Sequence[Change],
    *,
    mode: Mode = "direct",
    constrained_layer: int | None = None,
) -> InterventionResult:
    """Change features, errors or tokens and run the model.

    Each changed feature adds ``(value - activation) * W_dec`` to the MLP outputs it writes to, each
    changed error a part of itself, and a changed token moves its embedding.

    * ``direct``: attention patterns, norm denominators and MLP outputs stay as they were. Every
      node moves by exactly its graph edge from the changed one, times the relative change.
    * ``constrained``: up to ``constrained_layer`` MLP outputs are clamped to their clean value plus
      the change; above it the model's own MLPs and norms run on, with patterns frozen.
    * ``iterative``: nothing is frozen; features are encoded again on the changed stream, and the
      clean reconstruction errors are added. A model's own neurons are set while it runs.

    Args:
        bundle: A bundle or a replacement model.
        prompt: As for ``attribute``.
        interventions: What to set; each place once.
        mode: See above.
        constrained_layer: The last clamped layer; the highest changed layer where None, which is
            none at all where only tokens change.

    Raises:
        GraphError: If a layer, position, feature or token does not exist, is named twice, or lies
            at position 0, where features and errors are no nodes; or if ``constrained_layer`` lies
            below a changed layer.
        PromptError: If the prompt is empty, too long, or has unknown ids.
    """
    return intervene_on(
        run_prompt(bundle, prompt), interventions, mode=mode, constrained_layer=constrained_layer
    )


def intervene_on(
    clean: PromptPass,
    interventions: Sequence[Change],
    *,
    mode: Mode = "direct",
    constrained_layer: int | None = None,
) -> InterventionResult:
    """Like ``intervene``, reusing a clean pass."""
    changes = check_changes(interventions, clean)
    with torch.no_grad():
        deltas = deltas_of(clean, [changes])
        if mode == "iterative":
            changed = run_iterative(clean, [changes], deltas)
        else:
            last = last_clamped_layer(clean, changes, mode, constrained_layer)
            changed = run_clamped(clean, deltas, last, freeze_norms=mode == "direct")
        if mode == "direct" and clean.replacement.transcoder.shape.exact:
            after = linear_activations(clean, changed)
        else:
            after = dense_pre_activations(clean.replacement, changed)[0].detach()
    return InterventionResult(
        mode,
        clean.token_ids,
        clean.record.logits[0].cpu(),
        changed.logits[0].cpu(),
        clean.dense_pre_activations.cpu(),
        after.cpu(),
        residual_streams(clean.record).cpu(),
        residual_streams(changed).cpu(),
        clean.asked,
        clean.replacement.model.shape,
    )


def last_clamped_layer(
    clean: PromptPass, changes: Sequence[Change], mode: Mode, constrained_layer: int | None
) -> int:
    """Return the last layer whose MLP output is clamped; -1: none is.

    Raises:
        GraphError: If ``constrained_layer`` lies below a changed layer, whose change would be lost.
    """
    if mode == "direct":
        return clean.replacement.model.shape.n_layers - 1
    layers = [item.layer for item in changes if not isinstance(item, TokenIntervention)]
    highest = max(layers, default=-1)
    n_layers = clean.replacement.model.shape.n_layers
    if constrained_layer is not None and not -1 <= constrained_layer < n_layers:
        raise GraphError(
            f"constrained_layer is {constrained_layer}; it must be from -1, for none, to "
            f"{n_layers - 1}."
        )
    if constrained_layer is not None and constrained_layer < highest:
        raise GraphError(
            f"constrained_layer is {constrained_layer}, and layer {highest} is changed; clamp up "
            "to that layer at least."
        )
    return highest if constrained_layer is None else constrained_layer


def residual_streams(record: Record) -> Float[Tensor, "n_layers_plus_1 n_pos d_model"]:
    """Return the stream before each MLP and after the last layer."""
    return torch.stack([*(site.resid_mid[0] for site in record.sites), record.streams[-1][0]])
