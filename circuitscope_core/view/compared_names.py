"""Names of what two graphs on shared axes are made of."""

from dataclasses import dataclass

from circuitscope_core.comparison import ComparedNode, Comparison, Side
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import AttributionGraph, NodeKind
from circuitscope_core.tokenizer import Tokenizer, token_label
from circuitscope_core.view.cards import card_key
from circuitscope_core.view.text import node_label

NOT_IN_OTHER = {NodeKind.FEATURE: "not active", NodeKind.LOGIT: "not an output"}
"""Why a node is missing from the other graph; of other kinds, it is not there."""
NUMBERS = {"probability": "{:.1%}", "activation": "{:.2f}", "influence": "{:.1%}"}
"""What is known of a node in each graph, and how it is written."""


@dataclass(frozen=True)
class Naming:
    """What gives one graph's features their names and cards."""

    tokenizer: Tokenizer
    cards: FeatureCards | None = None


@dataclass(frozen=True)
class Home:
    """The graph that a node takes its name from."""

    owner: str
    """``a`` or ``b``."""
    graph: AttributionGraph
    index: int
    naming: Naming

    @property
    def feature(self) -> int:
        """The number of a feature in its layer."""
        return int(self.graph.features[self.index, 2])


@dataclass(frozen=True)
class ComparedNames:
    """Names of a comparison's nodes and columns."""

    comparison: Comparison
    a: Naming
    b: Naming

    @property
    def graphs(self) -> tuple[AttributionGraph, AttributionGraph]:
        """A's graph and B's."""
        return self.comparison.a.graph, self.comparison.b.graph

    def column_text(self, column: int) -> str:
        """Return a column's token, or both where the prompts differ in it."""
        return "|".join(dict.fromkeys(filter(None, self._tokens(column))))

    def column_label(self, column: int) -> str:
        """Return a column's token, or, where the prompts differ, a line for each of them."""
        in_a, in_b = self._tokens(column)
        return in_a if in_a == in_b else f"{in_a}\n{in_b}"

    def _tokens(self, column: int) -> tuple[str, str]:
        place = self.comparison.columns[column]
        in_a, in_b = (
            "" if position is None else token_label(graph.token_texts[position])
            for graph, position in zip(self.graphs, (place.a, place.b), strict=True)
        )
        return in_a, in_b

    def _place(self, column: int) -> str:
        place = self.comparison.columns[column]
        if place.a == place.b:
            return f"token {place.a}"
        parts = [f"{n} of {name}" for n, name in ((place.a, "A"), (place.b, "B")) if n is not None]
        return f"token {' and '.join(parts)}"

    def home(self, node: ComparedNode) -> Home:
        """Return where a node takes its name from: A, or B where it is not in A."""
        if node.a:
            return Home("a", self.graphs[0], node.a.index, self.a)
        assert node.b is not None
        return Home("b", self.graphs[1], node.b.index, self.b)

    def label(self, node: ComparedNode) -> str:
        """Return what a node is called."""
        if node.kind is NodeKind.TOKEN:
            return f"“{self.column_text(node.column)}”"
        if node.kind is NodeKind.ERROR:
            return f"error at “{self.column_text(node.column)}”"
        home = self.home(node)
        return node_label(home.graph, home.index, home.naming.cards)

    def detail(self, node: ComparedNode) -> str:
        """Return where a node is."""
        if node.kind is NodeKind.LOGIT:
            return "output"
        place = self._place(node.column)
        if node.kind is NodeKind.TOKEN:
            return place
        where = f"at “{self.column_text(node.column)}”, {place}"
        if node.kind is NodeKind.ERROR:
            return f"layer {node.layer}, {where}: what the transcoder leaves unexplained"
        return f"layer {node.layer}, feature {self.home(node).feature}, {where}"

    def full_name(self, node: ComparedNode) -> str:
        """Return label and place in one line, for tables."""
        if node.kind is NodeKind.LOGIT:
            return f"output {self.label(node)}"
        place = f"({self._place(node.column)})"
        if node.kind is NodeKind.FEATURE:
            place = f"at “{self.column_text(node.column)}” {place}"
        row = "" if node.kind is NodeKind.TOKEN else f"L{node.layer} "
        return f"{row}{self.label(node)} {place}"

    def other(self, node: ComparedNode) -> str:
        """Return what a node is in the graph that does not keep it."""
        if node.side is Side.BOTH:
            return ""
        if node.in_other:
            return "active, but pruned" if node.kind is NodeKind.FEATURE else "there, but pruned"
        if node.kind is NodeKind.FEATURE and not self.comparison.same_features:
            return "has features of its own"
        return NOT_IN_OTHER.get(node.kind, "not there")

    def facts(self, node: ComparedNode) -> tuple[tuple[str, str], ...]:
        """Return what a node is in each graph, for its card."""
        kept = "in A and in B"
        if node.side is not Side.BOTH:
            here, there = ("A", "B") if node.side is Side.A else ("B", "A")
            kept = f"only in {here}; in {there}: {self.other(node)}"
        found = [("Kept", kept)]
        for name, form in NUMBERS.items():
            if node.kind is NodeKind.LOGIT and name == "influence":
                continue  # nothing passes through an output
            values = [getattr(half, name) if half else None for half in (node.a, node.b)]
            if any(value is not None for value in values):
                a, b = ("–" if value is None else form.format(value) for value in values)
                found.append((name.capitalize(), f"{a} in A, {b} in B"))
        return tuple(found)

    def card_key(self, node: ComparedNode) -> str | None:
        """Return the name of a feature's card; None for other nodes and without cards."""
        home = self.home(node)
        if node.kind is not NodeKind.FEATURE or home.naming.cards is None:
            return None
        key = card_key(node.layer, home.feature)
        return key if self.comparison.same_features else f"{home.owner}/{key}"
