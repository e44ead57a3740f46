"""The story of the demo's example in docs/concepts.md, computed: prints its two tables.

Usage: python docs/tell_story.py

`tests/unit/test_demo.py` compares the page with them.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.attribution import find_token
from circuitscope_core.interventions import TokenIntervention, change_nodes, intervene_many

PROMPT = "The National Digital Analytics Group ("
ENDINGS = (("(N", "Digital"), ("(ND", "Analytics"), ("(NDA", "Group"))
OTHER_WORD = "Kitchen"
DEMO = Path(__file__).resolve().parent.parent / "models" / "demo"


@dataclass(frozen=True)
class Chapter:
    """The graph's and the model's account of one letter of the acronym."""

    ending: str
    word: str
    """The word whose initial comes next."""
    letter: str
    probability: float
    strongest: str
    """The token with the strongest edge to the output."""
    weight: float
    heads: tuple[tuple[str, float], ...]
    """The two heads that carried most of the edge, with their parts."""
    features: float
    """Share of the output's input that comes from features."""
    without: tuple[tuple[str, float], ...]
    """The likeliest token, and its probability, with the word's features off, with the word's token
    off, and with another word in its place."""


def tell(bundle, ending, word):
    """Trace one letter, and intervene on the model."""
    prompt = PROMPT + ending.removeprefix("(")
    clean = cs.run_prompt(bundle, prompt)
    graph = cs.attribute(clean, prompt)
    output = graph.logit_nodes.start
    edges = graph.adjacency[output]
    strongest = int(edges[graph.token_nodes].argmax())
    source = graph.index_of_token(strongest)
    paths = cs.explain_edge(clean, graph, source, output).paths[:2]
    place = [text.strip() for text in graph.token_texts].index(word)
    own = (graph.features[:, 1] == place).nonzero()[:, 0].tolist()
    other = find_token(OTHER_WORD, bundle.tokenizer)
    sets = (
        change_nodes(graph, own),
        change_nodes(graph, [graph.index_of_token(place)]),
        [TokenIntervention(place, token_id=other)],
    )
    rows = intervene_many(clean, (), sets).logits_after.softmax(dim=1)
    texts = [bundle.tokenizer.token_text(int(row.argmax())) for row in rows]
    sizes = edges.abs()
    return Chapter(
        ending,
        word,
        graph.logit_texts[0],
        float(graph.logit_probabilities[0]),
        graph.token_texts[strongest].strip(),
        float(edges[source]),
        tuple((path.text, float(path.weight)) for path in paths),
        float(sizes[graph.feature_nodes].sum() / sizes.sum()),
        tuple(zip(texts, rows.amax(dim=1).tolist(), strict=True)),
    )


def graph_row(told):
    """Return a row of the table of what the graph says."""
    heads = " and ".join(f"{name} ({part:+.2f})" for name, part in told.heads)
    return (
        f"| `{told.ending}` | `{told.letter}` ({told.probability:.1%}) | “{told.strongest}”, "
        f"{told.weight:+.2f} | heads {heads} | {told.features:.0%} |"
    )


def model_row(told):
    """Return a row of the table of what the model does."""
    cells = (f"`{text.strip()}` ({chance:.1%})" for text, chance in told.without)
    return f"| `{told.ending}` | {' | '.join(cells)} |"


def main():
    bundle = cs.load_bundle(DEMO)
    chapters = [tell(bundle, *ending) for ending in ENDINGS]
    for row in (graph_row, model_row):
        print("\n".join(map(row, chapters)) + "\n")


if __name__ == "__main__":
    main()
