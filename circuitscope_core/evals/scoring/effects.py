"""The effects of a file's nodes and links in the model itself, where the model is given."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from circuitscope_core.errors import ScoreError
from circuitscope_core.evals.faithfulness.figures import spearman
from circuitscope_core.evals.scoring.flow import FileFlow, file_flow
from circuitscope_core.export.graph_json import viewer_text
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file import GraphFile
from circuitscope_core.interventions import (
    Change,
    ErrorIntervention,
    Intervention,
    TokenIntervention,
    intervene_on,
    logits_at,
)
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.replacement import Explainable

MAX_SOURCES = 200
"""Sources whose links are measured, the ones with most influence first: one run each."""
MAX_DIFFERENCE = 0.01
"""The relative tolerance on an activation in the file against the model's."""


@dataclass(frozen=True)
class FileEffects:
    """A file against measurements in the model."""

    features: int
    """Feature nodes, each ablated."""
    spearman: float | None
    """Rank correlation of their influence in the file and what ablating them does to the next
    token, or to those of an answer (KL divergence, constrained patching); None for fewer than
    three, or all alike."""
    links: int
    """Links measured."""
    max_link_error: float | None
    """Largest difference between a link's weight and the measured direct effect, as a share of the
    target's largest link; None where nothing was measured."""


def score_effects(file: GraphFile, bundle: Explainable) -> FileEffects:
    """Ablate a file's nodes in the model that they are said to be of.

    Raises:
        ScoreError: If the prompt or the features are not the bundle's.
        PromptError: If the model cannot read the prompt.
    """
    clean = _clean_pass(file, bundle)
    _check_features(file, clean)
    flow = file_flow(file)
    nodes = flow.circuit.rows_of(NodeKind.FEATURE).tolist()
    places = sorted({item.node.position for item in file.nodes if item.node.kind is NodeKind.LOGIT})
    sets = [[_ablation(file, node)] for node in nodes]
    capped = clean.replacement.model.shape.capped
    before = capped(clean.record.logits[0, places].cpu().double())
    after = capped(logits_at(clean, sets, places, "constrained").double())
    log_before, log_after = before.log_softmax(-1), after.log_softmax(-1)
    measured = (log_before.exp() * (log_before - log_after)).sum(dim=-1).mean(dim=-1)
    correlation = rank_correlation(flow.influence[nodes].double(), measured)
    n_links, error = _measure_links(file, flow, clean)
    return FileEffects(len(nodes), correlation, n_links, error)


def rank_correlation(one: Float[Tensor, " n"], other: Float[Tensor, " n"]) -> float | None:
    """Return Spearman's correlation, ties sharing their mean rank; None where it is not defined."""
    found = spearman(one, other)
    return None if math.isnan(found) else found


def _clean_pass(file: GraphFile, bundle: Explainable) -> PromptPass:
    clean = run_prompt(bundle, file.prompt)
    ours = list(clean.token_texts)
    shown = [viewer_text(text) for text in ours]
    if list(file.token_texts) not in (ours, shown):
        raise ScoreError(
            f"The file's {len(file.token_texts)} tokens are not the {len(ours)} that the bundle "
            f"makes of {file.prompt!r:.80}; score it with the bundle that it was made from."
        )
    return clean


def _check_features(file: GraphFile, clean: PromptPass) -> None:
    """Refuse features that the bundle does not have, or that are not active as the file says."""
    shape = clean.replacement.transcoder.shape
    for item in file.nodes:
        node = item.node
        if node.kind is NodeKind.ERROR and node.layer >= shape.n_layers:
            raise ScoreError(f"The bundle has no error node {item.id!r}; is it the right one?")
        if node.kind is not NodeKind.FEATURE:
            continue
        inside = node.layer < shape.n_layers and 0 <= node.feature < shape.n_features
        active = 0.0
        if inside and node.position in clean.explained:
            active = float(clean.dense_activations[node.layer, node.position, node.feature])
        wrong = item.activation is not None and (
            abs(item.activation - active) > MAX_DIFFERENCE * abs(active)
        )
        if active == 0 or wrong:
            said = "active" if item.activation is None else f"{item.activation:.4g}"
            raise ScoreError(
                f"The file says that the feature {item.id!r} is {said}; in the bundle it is "
                f"{active:.4g}. The file's features are those of another transcoder."
            )


def _ablation(file: GraphFile, node: int) -> Change:
    item = file.nodes[node].node
    if item.kind is NodeKind.FEATURE:
        return Intervention(item.layer, item.position, item.feature, 0.0)
    if item.kind is NodeKind.ERROR:
        return ErrorIntervention(item.layer, item.position)
    return TokenIntervention(item.position)


def _measure_links(file: GraphFile, flow: FileFlow, clean: PromptPass) -> tuple[int, float | None]:
    """Take sources away, all else frozen, and compare what their targets lose with the links."""
    by_source: dict[int, list[int]] = {}
    for link in file.links:
        reads = file.nodes[link.target].node
        if reads.kind is NodeKind.FEATURE or reads.feature >= 0:
            by_source.setdefault(link.source, []).append(link.target)
    influence = flow.influence.tolist()
    chosen = sorted(by_source, key=lambda node: (-influence[node], node))[:MAX_SOURCES]
    edges = flow.circuit.edges
    largest = edges.weights.new_full((len(file.nodes),), 1e-30)
    largest = largest.scatter_reduce(0, edges.targets, edges.weights.abs(), "amax")
    given = dict(
        zip(
            zip(edges.targets.tolist(), edges.sources.tolist(), strict=True),
            edges.weights.tolist(),
            strict=True,
        )
    )
    n_links, worst = 0, 0.0
    for source in chosen:
        result = intervene_on(clean, [_ablation(file, source)], mode="direct")
        moved = result.logits_before - result.logits_after
        lost = result.pre_activations_before - result.pre_activations_after
        for target in sorted(set(by_source[source])):
            node = file.nodes[target].node
            if node.kind is NodeKind.FEATURE:
                measured = float(lost[node.layer, node.position, node.feature])
            elif node.feature < moved.shape[1]:
                logits = moved[node.position]
                measured = float(logits[node.feature] - logits.mean())
            else:
                raise ScoreError(f"The bundle has no token {node.feature}; is it the right one?")
            difference = abs(measured - given[target, source])
            n_links, worst = n_links + 1, max(worst, difference / float(largest[target]))
    return n_links, worst if n_links else None
