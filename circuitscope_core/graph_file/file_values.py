"""The contents of a graph file, once it has been checked."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from circuitscope_core.graph import Node, NodeKind
from circuitscope_core.values import one_line


@dataclass(frozen=True)
class FileNode:
    """One node and what the file says of it."""

    id: str
    node: Node
    """The node, whose ``feature`` is -1 where the file names none."""
    label: str
    """The file's ``clerp``, as it is; empty where there is none."""
    reached: float | None
    """The file's ``influence``: share of the whole graph's influence that is reached when this node
    enters, strongest first. None where the file does not say."""
    activation: float | None
    probability: float | None
    """The probability of an output; None for other nodes, and where the file does not say."""
    score: float | None = None
    """The number by which the file's program ranked nodes; None where the file does not say."""
    ablation_bits: float | None = None
    """The bits by which the answer moves without a feature; None where the file does not say."""


@dataclass(frozen=True, slots=True)
class FileLink:
    """One direct effect, between nodes given by their place in the file."""

    source: int
    target: int
    weight: float


@dataclass(frozen=True)
class FileGroup:
    """A supernode of the file: a name, and at least two of its nodes by their place."""

    label: str
    members: tuple[int, ...]


@one_line
@dataclass(frozen=True)
class GraphFile:
    """A checked graph file: every link joins two nodes, and leads to a higher layer."""

    prompt: str
    token_texts: tuple[str, ...]
    n_layers: int
    generator: str
    """Name and version of the program that made the file; empty where it does not say."""
    nodes: tuple[FileNode, ...]
    links: tuple[FileLink, ...]
    groups: tuple[FileGroup, ...]
    """No node is in two of them."""
    pinned: tuple[str, ...]
    """Ids of nodes."""
    n_renamed: int = 0
    """Errors that had the id of a feature and were given one of their own."""
    scan: str = ""
    """Name of the transcoder, or the place of its cards, by the file's own words."""
    selected: str = ""
    """Id of the node that the file opens with; empty for none."""

    def count(self, kind: NodeKind) -> int:
        """Return how many nodes are of one kind."""
        return sum(node.node.kind is kind for node in self.nodes)

    def summary(self) -> dict[str, Any]:
        """Return what the file holds as JSON-able data."""
        kinds = Counter(str(node.node.kind) for node in self.nodes)
        return {
            "prompt": self.prompt,
            "generator": self.generator,
            "tokens": len(self.token_texts),
            "layers": self.n_layers,
            "nodes": {str(kind): kinds[str(kind)] for kind in NodeKind},
            "links": len(self.links),
            "supernodes": len(self.groups),
            "pinned": len(self.pinned),
        }

    def describe(self) -> str:
        """Return the summary as lines of text, in which nothing can command a terminal."""
        held = self.summary()
        counts = ", ".join(f"{n:,} {kind}s" for kind, n in held["nodes"].items())
        lines = [
            f"Prompt      {self.prompt!r}",
            f"Made by     {repr(self.generator) if self.generator else 'unknown'}",
            f"Nodes       {len(self.nodes):,}: {counts}",
            f"Links       {len(self.links):,} over {self.n_layers} layers",
            f"Supernodes  {len(self.groups)}",
        ]
        return "\n".join(lines)
