"""The faithfulness report: every figure, beside its bar and what was published."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from circuitscope_core.evals.faithfulness.figures import Figure
from circuitscope_core.values import one_line


@dataclass(frozen=True)
class Measure:
    """One line of the report."""

    title: str
    bar: float | None = None
    """The value that it must reach; None where there is no such bar."""
    published: float | None = None
    """The figure of Ameisen et al. (2025) for a far larger model."""
    low_is_good: bool = False


MEASURES: Mapping[str, Measure] = {
    "states.mlp.2.cosine": Measure("Changed MLP output two layers on: cosine"),
    "states.mlp.2.error": Measure(
        "Changed MLP output two layers on: normalised error", low_is_good=True
    ),
    "states.mlp.1.cosine": Measure("Changed MLP output one layer on: cosine"),
    "states.mlp.1.error": Measure(
        "Changed MLP output one layer on: normalised error", low_is_good=True
    ),
    "states.stream.2.cosine": Measure("Changed stream two layers on: cosine"),
    "states.stream.2.error": Measure(
        "Changed stream two layers on: normalised error", low_is_good=True
    ),
    "states.stream.1.cosine": Measure("Changed stream one layer on: cosine", 0.9, 0.8),
    "states.stream.1.error": Measure(
        "Changed stream one layer on: normalised error", None, 0.4, low_is_good=True
    ),
    "jacobians.whole": Measure("Jacobian through all layers: cosine"),
    "jacobians.layer": Measure("Jacobian of layer {}: cosine"),
    "flips.happened": Measure("Predicted flips that happen: share"),
    "flips.overshoot": Measure(
        "Flips that happen where the margin is predicted to be overshot by a quarter: share"
    ),
    "flips.overshoot.predicted": Measure("Prompts with such a set of at most five features: share"),
    "flips.passed": Measure("Predicted flips in which the runner-up passes the top token: share"),
    "flips.ratio": Measure("What the margin loses, as a share of what is predicted"),
    "flips.local": Measure("Predicted flips that happen in the local replacement model: share"),
    "flips.local.ratio": Measure("What the margin loses there, as a share of what is predicted"),
    "flips.predicted": Measure("Prompts with a predicted flip of at most five features: share"),
    "flips.size": Measure("Features of a predicted flip"),
    "pairs.kept": Measure("Feature on feature, kept targets: rank correlation"),
    "pairs.reached": Measure("Feature on feature, all reached targets: rank correlation"),
    "nodes.kept": Measure("Rank and effect, kept features: rank correlation", 0.8, 0.72),
    "nodes.kept.influence": Measure(
        "Rank and effect, features that influence would keep: rank correlation", 0.8, 0.72
    ),
    "nodes.place": Measure("Rank and effect within a layer and position: rank correlation"),
    "nodes.reaching": Measure(
        "Rank and effect, features that reach the output: rank correlation", 0.8, 0.72
    ),
    "nodes.all": Measure("Rank and effect, all active features: rank correlation", 0.8, 0.72),
    "nodes.logits.kept": Measure("Rank and change of logits, kept features: rank correlation"),
    "nodes.logits.reaching": Measure(
        "Rank and change of logits, features that reach the output: rank correlation"
    ),
    "nodes.logits.all": Measure("Rank and change of logits, all active features: rank correlation"),
}
"""The measures in the order in which they are shown, the hardest first."""

METHODS: Mapping[str, str] = {
    "graph": "graph",
    "confirmed": "graph, confirmed in the replacement",
    "score": "graph, the score of pruning",
    "replacement": "ablated in the replacement",
    "linear": "graph, signed sums",
    "divergence": "graph, signed sums as a divergence",
    "gradient": "gradient × input",
    "gradient divergence": "gradient × input as a divergence",
    "writes": "the feature's own later writes alone",
    "carried": "no answer at all",
    "shuffled": "shuffled decoders",
    "random": "random features",
}
"""The methods that are measured, and those that they are compared with."""


@dataclass(frozen=True)
class DirectEffects:
    """How exact edges are: largest relative errors of whole columns."""

    n_graphs: int
    n_columns: int
    """Features, errors and tokens that have edges."""
    largest: float
    """The graph's column against a model in double precision."""
    largest_single: float
    """Against the model as it is: where a column is nearly empty, the rounding of the run."""
    share_above_bar_single: float
    """The share of columns, in single precision, with an error above the bar."""
    bar: float = 1e-4


@one_line
@dataclass(frozen=True)
class FaithfulnessReport:
    """The faithfulness of a bundle's graphs on some prompts."""

    n_prompts: int
    seed: int
    figures: Mapping[str, Mapping[str, Figure]]
    """Figures by measure (a key of ``MEASURES``; ``jacobians.layer 0`` and so on) and method (a key
    of ``METHODS``), in the order of ``MEASURES``."""
    direct: DirectEffects | None
    """None where no graph was asked for."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data: numbers, texts, dictionaries."""
        return asdict(self)


@dataclass(frozen=True)
class FaithfulnessProgress:
    """How far it is: ``done`` of ``total`` prompts."""

    step: str
    done: int
    total: int


def describe_measure(name: str) -> Measure:
    """Return the line of a measure, also of one layer's."""
    kind, space, layer = name.partition(" ")
    found = MEASURES[kind]
    return Measure(found.title.format(layer), found.bar, found.published) if space else found


def order_of(key: tuple[str, str]) -> tuple[int, str, int]:
    """Return what sorts measures and methods as they are shown."""
    name, method = key
    return list(MEASURES).index(name.partition(" ")[0]), name, list(METHODS).index(method)
