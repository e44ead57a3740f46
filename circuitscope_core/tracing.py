"""``trace``: the one way from a prompt to its circuit, for app, shell, batch and notebook."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from circuitscope_core.answers import Answer, PromptLike
from circuitscope_core.arguments import checked
from circuitscope_core.attribution import (
    AttributionPlan,
    AttributionProgress,
    Target,
    attribution_steps,
)
from circuitscope_core.attribution.answered import with_answer
from circuitscope_core.attribution.edges import pass_of
from circuitscope_core.circuit import Circuit, Kept, circuit_of
from circuitscope_core.config import TraceConfig
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.feature_cards.lens import lens_cards
from circuitscope_core.graph import AttributionGraph, NodeKind
from circuitscope_core.interventions.ablation import (
    ablate_in_replacement,
    ablation_seconds,
    is_quick,
    questions_of,
)
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.pruning import GraphScores, PrunedGraph, graph_scores, prune_graph
from circuitscope_core.replacement import Explainable, ReplacementModel, replacement_of
from circuitscope_core.supernodes import Supernodes, cluster_features


@dataclass(frozen=True, eq=False)
class Trace:
    """A prompt's graph, the circuit that is kept of it, its groups and its scores."""

    config: TraceConfig
    pruned: PrunedGraph
    circuit: Circuit
    """The kept part, features named by the bundle's cards."""
    supernodes: Supernodes
    """The suggested groups."""
    scores: GraphScores
    cards: FeatureCards | None = None
    """The cards that features are named by; None where there are none."""
    not_ablated: str = ""
    """Why ``circuit.ablation_bits`` was not computed, as a sentence; empty where it was."""

    @property
    def graph(self) -> AttributionGraph:
        """The exact graph, unpruned."""
        return self.pruned.graph

    def __repr__(self) -> str:
        graph, circuit = self.graph, self.circuit
        return (
            f"Trace({graph.prompt!r}, {len(circuit):,} of {graph.n_nodes:,} nodes kept, "
            f"replacement {self.scores.replacement:.2f})"
        )


@checked
def trace(
    bundle: Explainable | PromptPass,
    prompt: PromptLike,
    config: TraceConfig = TraceConfig(),  # noqa: B008  # a frozen value
    targets: Sequence[Target] | None = None,
    against: str | Sequence[int] | None = None,
    answer: Answer | None = None,
) -> Trace:
    """Build a prompt's graph, prune it, group similar features and score it.

    Args:
        bundle: A bundle or a replacement model, or the prompt's pass from ``run_prompt``.
        prompt: Text, which is opened with the separator, token ids, which are taken as they are, or
            a prompt with its answer from ``answer_prompt``.
        config: How much is explained, kept and grouped.
        targets: As for ``attribute``; None: the likeliest tokens.
        against: For a model's own neurons: a second prompt, which differs from the first in what
            makes the answer; see ``attribution_steps``.
        answer: In the place of ``targets`` a whole answer, one output for each of its tokens: its
            text, its tokens, or how many the model is to give itself; see ``attribute``.

    Raises:
        PromptError: If the prompt or the answer is empty, too long, or has unknown ids.
        GraphError: If a target does not exist, targets are given together with an answer, or the
            graph does not fit into memory.
        ModelError: If an answer is given and the model does not continue texts.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> trace = cs.trace(bundle, "The National Digital Group (N")
        >>> path = cs.strongest_paths(trace, 1)[0]
        >>> whole = cs.trace(bundle, "The National Digital Group (N", answer=2)
        >>> whole.graph.n_logits
        2
    """
    *_, found = trace_steps(bundle, prompt, config, targets, against, answer)
    assert isinstance(found, Trace)
    return found


@checked
def trace_steps(
    bundle: Explainable | PromptPass,
    prompt: PromptLike,
    config: TraceConfig,
    targets: Sequence[Target] | None = None,
    against: str | Sequence[int] | None = None,
    answer: Answer | None = None,
) -> Iterator[AttributionProgress | AttributionPlan | Trace]:
    """Like ``trace``, but yields progress and the graph's plan, then the trace.

    Stop asking to cancel.
    """
    owner, prompt = with_answer(bundle, prompt, targets, answer)
    yield AttributionProgress("Run the model")
    clean = run_prompt(owner, prompt)  # the model runs once, for the graph and for what follows
    for event in attribution_steps(clean, prompt, config.attribution, targets, against):
        if isinstance(event, AttributionGraph):
            yield AttributionProgress("Prune the graph and group similar features")
            yield trace_graph(clean, event, config, cards=_cards_of(owner))
        else:
            yield event


@checked
def trace_graph(
    bundle: Explainable | PromptPass,
    graph: AttributionGraph,
    config: TraceConfig,
    *,
    cards: FeatureCards | None = None,
) -> Trace:
    """Prune, group and score a graph that is there already.

    Args:
        bundle: The bundle or replacement model that the graph was made with, or its prompt's pass.
        graph: From ``attribute``.
        config: How much is kept and grouped.
        cards: Give the features their labels; the bundle's where None. A model's own neurons
            without a card are named by the tokens that they raise.
    """
    given = bundle.replacement if isinstance(bundle, PromptPass) else bundle
    cards = _cards_of(bundle) if cards is None else cards
    prune = config.prune
    pruned = prune_graph(graph, prune.node_threshold, prune.edge_threshold, score=prune.score)
    if graph.choice is not None:
        cards = _with_lens(bundle, pruned, cards)
    circuit, not_ablated = _with_ablation(bundle, graph, circuit_of(pruned, cards), config)
    grouping = config.grouping
    groups = cluster_features(
        circuit,
        replacement_of(given).transcoder,
        grouping.similarity_threshold,
        likeness=grouping.likeness,
        across_positions=grouping.across_positions,
    )
    return Trace(config, pruned, circuit, groups, graph_scores(graph), cards, not_ablated)


def _cards_of(bundle: Explainable | PromptPass) -> FeatureCards | None:
    """Return the feature cards of a bundle; None where it is no bundle."""
    if isinstance(bundle, PromptPass | ReplacementModel):
        return None
    return getattr(bundle, "feature_cards", None)


def _with_ablation(
    bundle: Explainable | PromptPass, graph: AttributionGraph, circuit: Circuit, config: TraceConfig
) -> tuple[Circuit, str]:
    """Switch each kept feature off alone; return the circuit, or why that was not done."""
    rows = circuit.rows_of(NodeKind.FEATURE)
    if config.ablation == "never":
        return circuit, "Features were not switched off one by one: the settings say never."
    if not questions_of(graph):
        return circuit, (
            "Features were not switched off one by one: the graph explains no token, so there is "
            "no answer that could change."
        )
    clean = pass_of(bundle, graph)[0]
    if config.ablation == "auto" and not is_quick(clean, len(rows)):
        seconds = ablation_seconds(clean, len(rows))
        return circuit, (
            f"Features were not switched off one by one: {len(rows):,} runs of this model take "
            f"about {seconds:,.0f} s of one core."
        )
    bits = ablate_in_replacement(clean, graph, circuit.index[rows].tolist())
    column = circuit.ablation_bits.clone()
    column[rows] = bits.to(column)
    return replace(circuit, ablation_bits=column), ""


def _with_lens(
    bundle: Explainable | PromptPass, pruned: PrunedGraph, cards: FeatureCards | None
) -> FeatureCards:
    """Add a card of the tokens that it raises for each kept neuron without a card."""
    graph = pruned.graph
    known = FeatureCards.of([], 0) if cards is None else cards
    kept = pruned.kept_nodes[pruned.kept_nodes < graph.n_features]
    bare = [not known.has_card(layer, number) for layer, _, number in graph.features[kept].tolist()]
    missing = graph.features[kept[torch.tensor(bare, dtype=torch.bool)]]
    if not len(missing):
        return known
    return known.with_more(lens_cards(pass_of(bundle, graph)[0], missing))


@checked
def places_of(graphs: Iterable[AttributionGraph | Kept]) -> tuple[tuple[int, int], ...]:
    """Return layer and number of each feature or neuron in some graphs, sorted, each once.

    Args:
        graphs: Whole graphs, or the kept parts of graphs: pruned graphs, circuits or traces.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> graph = cs.attribute(bundle, "The National Digital Group (N")
        >>> len(cs.places_of([graph])) <= graph.n_features
        True
    """
    found: set[tuple[int, int]] = set()
    for graph in graphs:
        if isinstance(graph, AttributionGraph):
            found |= {(layer, number) for layer, _, number in graph.features.tolist()}
        else:
            circuit = circuit_of(graph)
            rows = circuit.rows_of(NodeKind.FEATURE)
            pairs = (circuit.layers[rows].tolist(), circuit.features[rows].tolist())
            found |= set(zip(*pairs, strict=True))
    return tuple(sorted(found))
