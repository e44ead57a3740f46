"""The size of a graph, stated before it is built."""

from dataclasses import dataclass

import torch

from circuitscope_core.attribution.sources import tokens_go_up
from circuitscope_core.cores import n_cores
from circuitscope_core.errors import GraphError
from circuitscope_core.language_model import Compute
from circuitscope_core.prompt_pass import PromptPass


@dataclass(frozen=True)
class AttributionPlan:
    """The size of a graph and its memory, known once the prompt has run."""

    n_active: int
    """Features active on the prompt."""
    n_rows: int
    """Features whose rows are computed: all, or as many as ``max_feature_nodes`` allows."""
    n_logits: int
    """Targets."""
    n_nodes: int
    n_bytes: int
    """Memory at the peak beyond the loaded model, estimated; most of it the graph itself."""
    working_bytes: int
    """The part of it that lies where the model runs: sources, and gradients on their way."""
    neurons: bool = False
    """True where the features are neurons of the model itself, of which a graph has a choice."""

    def __str__(self) -> str:
        """Return the plan in words."""
        if self.neurons:
            found = f"{self.n_active:,} neurons were chosen"
        elif self.n_rows < self.n_active:
            found = f"{self.n_rows:,} of {self.n_active:,} active features are nodes"
        else:
            found = f"{self.n_active:,} features are active"
        return f"{found}; the graph takes about {self.n_bytes / 1e6:,.0f} MB"


def plan_attribution(clean: PromptPass, n_active: int, n_logits: int) -> AttributionPlan:
    """Return what a graph will take.

    Args:
        clean: The prompt's pass, its features being the nodes.
        n_active: Features that are active on the prompt.
        n_logits: Targets.
    """
    n_layers, n_pos, d_model = clean.error_vectors.shape
    layers = clean.features[:, 0].contiguous()
    n_rows, others = len(layers), n_layers * n_pos + n_pos
    n_nodes = n_rows + others + n_logits
    edges = int(torch.searchsorted(layers, layers).sum())  # each from all features of lower layers
    graph = edges + n_rows * others + n_logits * n_nodes
    shape, more = (
        clean.replacement.transcoder.shape,
        n_rows < n_active and not clean.replacement.transcoder.shape.exact,
    )
    if more:
        graph += n_rows * n_layers * n_pos // 2
    n_writes = int((n_layers - layers).sum()) if shape.cross_layer else n_rows
    n_slots = n_layers * (n_layers + 1) // 2 if shape.cross_layer else n_layers
    n_others = (3 if more else 1) * n_slots * n_pos  # errors, and the rest, which is kept twice
    working = 1.2 * (n_writes + n_others) * d_model
    if tokens_go_up(clean):
        working += 3 * n_pos**2 * d_model
    at_once = clean.replacement.compute.rows_at_once(n_pos, d_model)
    working += n_cores() * at_once * (4 * n_pos * d_model + 3 * (1.2 * n_rows + n_others + n_pos))
    if shape.exact:  # every neuron's activation, and its shares of what it reads
        working += 4 * n_layers * n_pos * shape.n_features
    size = clean.error_vectors.itemsize
    n_bytes = int(4 * graph + size * working)
    return AttributionPlan(n_active, n_rows, n_logits, n_nodes, n_bytes, int(size * working))


def check_memory(plan: AttributionPlan, compute: Compute) -> None:
    """Refuse what will not fit into the memory that is free, on the host or where the model runs.

    Raises:
        GraphError: Saying how much there is and what to do.
    """
    places = [("memory", plan.n_bytes, compute.free_bytes())]
    if compute.device.type != "cpu":
        graph = plan.n_bytes - plan.working_bytes
        places = [
            ("memory", graph, compute.free_bytes()),
            (f"memory of {compute.device}", plan.working_bytes, compute.device_free_bytes()),
        ]
    for name, needed, free in places:
        if needed > free:
            raise GraphError(
                f"The graph of {plan.n_nodes:,} nodes needs about {needed / 1e9:.1f} GB of {name}; "
                f"{free / 1e9:.1f} GB are free. Give a shorter prompt, or keep fewer than "
                f"{plan.n_rows:,} features (max_feature_nodes)."
            )
