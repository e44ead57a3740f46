"""Names of what two graphs on shared axes are made of."""

from dataclasses import dataclass
from functools import cached_property

from circuitscope_core.circuit import Circuit, place_of
from circuitscope_core.comparison import ComparedNode, Comparison, Side, compared_circuit
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import NodeKind
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.view.card_views import card_key

NOT_IN_OTHER = {NodeKind.FEATURE: "not active", NodeKind.LOGIT: "not an output"}
"""Why a node is missing from the other graph; of other kinds, it is not there."""
NUMBERS = {"probability": "{:.1%}", "activation": "{:.2f}", "influence": "{:.1%}"}
"""The numbers of a node in each graph, and how they are written."""


@dataclass(frozen=True)
class Naming:
    """The source of names and cards of one graph's features."""

    tokenizer: Tokenizer
    cards: FeatureCards | None = None


@dataclass(frozen=True)
class ComparedNames:
    """Names of a comparison's nodes and columns."""

    comparison: Comparison
    a: Naming
    b: Naming

    @cached_property
    def circuit(self) -> Circuit:
        """The comparison's nodes and changes as one table, with the features' labels."""
        return compared_circuit(self.comparison, self.a.cards, self.b.cards)

    def naming(self, node: ComparedNode) -> Naming:
        """Return the names of the graph that a node takes its own from."""
        return self.a if node.owner is Side.A else self.b

    def column_label(self, column: int) -> str:
        """Return a column's token, or, where the prompts differ, a line for each of them."""
        in_a, in_b = self.comparison.column_texts(column)
        return in_a if in_a == in_b else f"{in_a}\n{in_b}"

    def _place(self, column: int) -> str:
        place = self.comparison.columns[column]
        if place.a == place.b:
            return f"token {place.a}"
        parts = [f"{n} of {name}" for n, name in ((place.a, "A"), (place.b, "B")) if n is not None]
        return f"token {' and '.join(parts)}"

    def detail(self, row: int) -> str:
        """Return where a node is."""
        found, place = self.circuit.node(row), self._place(self.comparison.nodes[row].column)
        if found.kind is NodeKind.TOKEN:
            return place
        return place_of(found, self.circuit.token_texts[found.position], place)

    def full_name(self, row: int) -> str:
        """Return label and place in one line, for tables."""
        node, name = self.comparison.nodes[row], self.circuit.names[row]
        if node.kind is NodeKind.LOGIT:
            return f"output {name}"
        place = f"({self._place(node.column)})"
        if node.kind is NodeKind.FEATURE:
            place = f"at “{self.circuit.token_texts[node.column]}” {place}"
        layer = "" if node.kind is NodeKind.TOKEN else f"L{node.layer} "
        return f"{layer}{name} {place}"

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

    def card_key(self, row: int) -> str | None:
        """Return the name of a feature's card; None for other nodes and without cards."""
        node, found = self.comparison.nodes[row], self.circuit.node(row)
        if node.kind is not NodeKind.FEATURE or self.naming(node).cards is None:
            return None
        key = card_key(node.layer, found.feature)
        return key if self.comparison.same_features else f"{node.owner}/{key}"
