"""The parts of a graph's drawing: frozen values that turn into plain data."""

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

from circuitscope_core.values import one_line

SIGNIFICANT_DIGITS = 5
"""The digits of numbers in a drawing; more would only make it larger."""
SELDOM = (
    *("side", "side_facts", "compared", "neurons", "filled", "ablation"),
    *(
        "story",
        "n_words",
        "folded",
        "below",
        "label_below",
        "frequency_below",
        "min_activation",
        "histogram_below",
    ),
)
"""Fields that say nothing in most drawings, and are left out of the data there."""


def plain(value: Any) -> Any:
    """Return JSON-able data with short numbers; dataclasses become objects in field order."""
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    if isinstance(value, EdgeView):
        row = [value.source, value.target, plain(value.weight), plain(value.share)]
        return [*row, value.side, plain(value.size)] if value.side else row
    if hasattr(value, "__dataclass_fields__"):
        named = ((item.name, getattr(value, item.name)) for item in fields(value))
        return {name: plain(part) for name, part in named if part or name not in SELDOM}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


@dataclass(frozen=True)
class NodeView:
    """One glyph. Coordinates grow to the right and downwards."""

    id: str
    """The same as ``node_id`` in the exported graph JSON; ``group_…`` for supernodes."""
    kind: str
    """A ``NodeKind``, or ``group``."""
    x: float
    y: float
    label: str
    detail: str
    layer: int
    position: int
    influence: float
    """Share of the output that passes through it, 0 to 1."""
    activation: float | None = None
    percentile: float | None = None
    """Share of the feature's own activations that lie below this one, 0 to 1."""
    probability: float | None = None
    dropped: float = 0.0
    """Share of its input that pruning left out, 0 to 1; shares of edges are of the rest."""
    error_share: float = 0.0
    """Share of its kept input that comes from errors, 0 to 1."""
    card: str | None = None
    members: tuple[str, ...] = ()
    """Ids of the nodes behind a supernode or tile."""
    side: str = ""
    """The graph that keeps it, where two are compared: ``a``, ``b`` or ``both``."""
    side_facts: tuple[tuple[str, str], ...] = ()
    """Names and values of the node in each graph, where two are compared."""
    filled: bool = False
    """Whether it is a neuron that is active above 0; those below 0 are drawn hollow."""
    folded: bool = False
    """Whether it stands for the tokens of a word, which are its members."""
    ablation: float | None = None
    """Bits by which the answer moves when this feature alone is switched off; None where that was
    not computed."""


@dataclass(frozen=True)
class EdgeView:
    """One direct effect between two nodes of a picture, given by their place in its list."""

    source: int
    target: int
    weight: float
    """Raw and signed, in the target's pre-activation or logit."""
    share: float
    """Signed share of the target's kept input, -1 to 1. Where two graphs are compared, this and
    the weight are changes."""
    side: str = ""
    """The graph that keeps it, where two are compared: ``a``, ``b`` or ``both``."""
    size: float = 0.0
    """The larger of its absolute shares, where two graphs are compared."""


@dataclass(frozen=True)
class Band:
    """A row (a layer) or a column (a token): from, to, and its name.

    The name of a column in which two compared prompts differ has a line for each of them.
    """

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class Picture:
    """One way to look at a graph."""

    nodes: tuple[NodeView, ...]
    edges: tuple[EdgeView, ...]
    """Strongest share last, so that strong edges are drawn on top."""
    n_edges_left_out: int
    """Weakest edges that are kept in the graph but not drawn, to stay fast."""
    others: tuple[EdgeView, ...]
    """The edges that are not drawn, strongest share last: lists of inputs and outputs have them."""
    rows: tuple[Band, ...]
    """The rows from the outputs at the top to the tokens."""
    columns: tuple[Band, ...]


@dataclass(frozen=True)
class ExampleView:
    """Text on which a feature fires; ``heat`` pairs a token's place with its activation."""

    kind: str
    source: str
    tokens: tuple[str, ...]
    heat: tuple[tuple[int, float], ...]
    peak: int
    below: bool = False
    """Whether it shows where a neuron is active below 0."""


@dataclass(frozen=True)
class PartnerView:
    """A feature that acts on another over the corpus, or is acted on."""

    card: str
    """Name of its card, whether the drawing has it or not."""
    layer: int
    label: str
    twera: float
    """Mean effect, weighted by the target's activation; in units of its pre-activation."""


@dataclass(frozen=True)
class CardView:
    """The card of a feature, as text."""

    title: str
    label: str
    by_hand: bool
    """Whether a person wrote the label."""
    frequency: float
    max_activation: float
    histogram: tuple[int, ...]
    promoted: tuple[str, ...]
    suppressed: tuple[str, ...]
    examples: tuple[ExampleView, ...]
    inputs: tuple[PartnerView, ...] = ()
    """The features that act on it most strongly over the corpus."""
    outputs: tuple[PartnerView, ...] = ()
    label_below: str = ""
    """The label of a neuron where it is active below 0."""
    frequency_below: float = 0.0
    min_activation: float = 0.0
    histogram_below: tuple[int, ...] = ()


@dataclass(frozen=True)
class PathView:
    """One of the strongest paths, by the ids of its nodes."""

    nodes: tuple[str, ...]
    strength: float
    text: str


@dataclass(frozen=True)
class Fact:
    """A number about the whole graph, with one sentence on what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class EdgeHeads:
    """The attention heads that carried an edge, by the ids of its ends."""

    source: str
    target: str
    text: str
    """Heads as ``layer.head``, the strongest first."""


@dataclass(frozen=True)
class Outcome:
    """The probability of a token, and what it becomes."""

    token: str
    before: float
    after: float


@dataclass(frozen=True)
class Story:
    """One sentence on what made the likeliest output, and what shows it."""

    text: str
    output: str
    """Id of the output."""
    source: str
    """Id of the node that raises it most; empty where none does."""
    heads: tuple[EdgeHeads, ...]
    """Heads on the edges of the strongest paths."""
    switched_off: str = ""
    """The name of the source, as part of a sentence."""
    outcomes: tuple[Outcome, ...] = ()
    """Probabilities in the model with the source and without it, the output's first; none where the
    graph explains no token."""


@one_line
@dataclass(frozen=True)
class GraphView:
    """Everything that a drawing needs, and nothing that a drawing library would have to know."""

    prompt: str
    full: Picture
    groups: Picture | None
    """The same with supernodes merged; None where no supernodes were given."""
    cards: dict[str, CardView]
    paths: tuple[PathView, ...]
    facts: tuple[Fact, ...]
    compared: bool = False
    """Whether it shows two graphs on shared axes."""
    neurons: bool = False
    """Whether features are neurons of the model itself, and errors the other neurons."""
    story: Story | None = None
    n_words: int = 0
    """Words of several tokens, which can be folded."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data, equal for equal inputs."""
        data: dict[str, Any] = plain(self)
        return data

    def to_text(self) -> str:
        """Return the data as one line of JSON, byte for byte equal for equal inputs."""
        return json.dumps(self.to_json(), separators=(",", ":"))

    @property
    def digest(self) -> str:
        """Return a short name for exactly this drawing."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()[:16]
