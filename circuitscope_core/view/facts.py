"""The numbers that say how far to trust a picture."""

from collections.abc import Iterator

from circuitscope_core.glossary import FIGURES
from circuitscope_core.graph import AttributionGraph, ExplainedAnswer
from circuitscope_core.pruning import PrunedGraph, graph_scores
from circuitscope_core.supernodes import Supernodes
from circuitscope_core.tokenizer import output_name
from circuitscope_core.view.graph_view import Fact

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

    Graphs of a model's own neurons have none, since neurons make MLP outputs without an error:
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


def output_fact(graph: AttributionGraph) -> Fact:
    """Return what a graph explains, with its probability where it is made of tokens."""
    if graph.answer is not None:
        return answer_fact(graph.answer)
    is_token = int(graph.logit_token_ids[0]) >= 0
    best = output_name(graph.logit_texts[0], is_token=is_token)
    if not is_token:
        return Fact("Output", best, "The output that the graph explains.")
    probability = float(graph.logit_probabilities[0])
    meaning = "The first output node and its probability in the model."
    return Fact("Output", f"{best} {probability:.1%}", meaning)


def answer_fact(answer: ExplainedAnswer) -> Fact:
    """Return the answer of several tokens that a graph explains."""
    return Fact(
        "Answer",
        f"{output_name(answer.text, is_token=True)} {answer.probability:.1%}",
        "The tokens that the graph explains, each an output over the token before it, and the "
        "probability of all of them one after another.",
    )


def facts_of(pruned: PrunedGraph, supernodes: Supernodes | None) -> tuple[Fact, ...]:
    """Return the numbers that say how far to trust the picture."""
    graph = pruned.graph
    facts = [
        output_fact(graph),
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
