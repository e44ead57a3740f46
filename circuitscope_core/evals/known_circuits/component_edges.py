"""The names of edges between components."""

from dataclasses import dataclass

SLOTS = ("q", "k", "v", "mlp_in", "unembed")
"""The ways in which a component reads: a head's query, key or value, an MLP, the unembedding."""

EMBED, POSITIONS, OUTPUT = "embed", "pos_embed", "output"


@dataclass(frozen=True, order=True)
class ComponentEdge:
    """An edge from a component that writes to one that reads it."""

    src: str
    """``embed``, ``pos_embed``, ``L0H1`` (layer 0, head 1) or ``L0MLP``."""
    dst: str
    """A head, an MLP, or ``output``."""
    slot: str
    """One of ``SLOTS``."""

    @property
    def text(self) -> str:
        """The edge in one line."""
        return f"{self.src} → {self.dst}.{self.slot}"


def head_name(layer: int, head: int) -> str:
    """Return what a head is called."""
    return f"L{layer}H{head}"


def mlp_name(layer: int) -> str:
    """Return what an MLP is called."""
    return f"L{layer}MLP"
