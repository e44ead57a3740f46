"""The numbers that say how far to trust a picture."""

from collections.abc import Iterator

from circuitscope_core.glossary import FIGURES
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.pruning import PrunedGraph, graph_scores
from circuitscope_core.supernodes import Supernodes
from circuitscope_core.tokenizer import output_name
from circuitscope_core.view.model import Fact

GROUPED_BY = {
    "role": "Groups of features that are alike in their inputs and outputs in this graph.",
    "decoders": "Groups of features that write the same way.",
    None: "Groups made by hand.",
}
"""The meaning of supernodes, by the property that they were suggested by."""


def _score(key: str, value: float) -> Fact:
    figure = FIGURES[key]
    return Fact(figure.name, figure.write(value), figure.meaning)


def trust_in(graph: AttributionGraph) -> Iterator[Fact]:
    """Yield the scores of a graph.

    Of a model's own neurons they say nothing, since neurons make MLP outputs without an error:
    these graphs are as good as the choice of their nodes.
    """
    choice = graph.choice
    if choice is None:
        scores = graph_scores(graph)
        yield _score("replacement_score", scores.replacement)
        yield _score("completeness_score", scores.completeness)
        return
    yield Fact(
        "Neurons",
        f"{graph.n_features:,} of {choice.n_candidates:,}",
        "The neurons that favour the output most, of all that have an effect on it.",
    )
    squares = FIGURES["share_of_squares"]
    yield Fact(squares.name, squares.write(choice.share_of_squares), squares.meaning)


def facts_of(pruned: PrunedGraph, supernodes: Supernodes | None) -> tuple[Fact, ...]:
    """Return the numbers that say how far to trust the picture."""
    graph = pruned.graph
    is_token = int(graph.logit_token_ids[0]) >= 0
    best = output_name(graph.logit_texts[0], is_token=is_token)
    probability = float(graph.logit_probabilities[0]) if is_token else None
    meaning = "What the graph explains."
    if probability is not None:
        best = f"{best} {probability:.1%}"
        meaning = "The first output node and its probability in the model."
    facts = [
        Fact("Output", best, meaning),
        *trust_in(graph),
        Fact(
            "Nodes kept",
            f"{pruned.n_nodes:,} of {graph.n_nodes:,}",
            f"Those that hold {pruned.config.node_threshold:.0%} of the nodes’ score; tokens and "
            "outputs always stay.",
        ),
        Fact(
            "Edges kept",
            f"{pruned.n_edges:,} of {graph.n_edges:,}",
            f"Those that carry {pruned.config.edge_threshold:.0%} of the influence on edges.",
        ),
    ]
    if supernodes:
        n_grouped = sum(len(group.members) for group in supernodes.merged)
        word = "features" if graph.choice is None else "neurons"
        value = f"{len(supernodes.merged)} of {n_grouped} {word}" if n_grouped else "none"
        facts.append(Fact("Supernodes", value, GROUPED_BY[supernodes.likeness]))
    return tuple(facts)
