"""The visitor's choices as one immutable value."""

from dataclasses import dataclass
from typing import Any

import circuitscope_core as cs
from circuitscope_core.config import Ablation, Likeness
from circuitscope_core.interventions import How, Mode
from circuitscope_core.tokenizer import encode_words
from circuitscope_core.view import Folding
from pages.ui.shared.groups import Groups

DEFAULTS = cs.TraceConfig()
DEMO_PROMPT = "The National Digital Analytics Group (N"
ADDED_BUDGET = 4_000
"""Features in a graph of a Hugging Face model where the visitor sets no other number."""
TARGETS = ("automatic", "answer", "tokens", "difference", "feature")
MOST_ANSWER_TOKENS = 64
"""Tokens of an answer that the model is asked for, at most."""
FORMS = ("text", "chat")
ABLATIONS: tuple[Ablation, ...] = ("auto", "always")
VIEWS = ("full", "groups", "pinned")
WORDS = ("auto", "words", "tokens")
TABS = ("card", "links", "heads", "intervene", "table")
SIDE = 340
"""Pixels of the column beside the graph, as long as nobody drags its edge."""
MODES: tuple[Mode, ...] = ("direct", "constrained", "iterative")
HOWS: tuple[How, ...] = ("ablate", "scale", "set")
Places = tuple[tuple[str, float, float], ...]
"""Positions of dragged nodes: the id of a node, or of a supernode's first member, and x, y."""


@dataclass(frozen=True)
class Step:
    """One change that the visitor makes in the model."""

    nodes: tuple[str, ...]
    how: How
    strength: float = 0.0


@dataclass(frozen=True)
class State:
    """Everything that decides what the pages show."""

    model: str = ""
    prompt: str = DEMO_PROMPT
    form: str = "text"
    """One of ``FORMS``: whether the prompt is a message, where the model has a chat template."""
    target: str = "automatic"
    """One of ``TARGETS``."""
    tokens: str = ""
    """The tokens to explain, if the target is not automatic."""
    answer: str = ""
    """The text to explain, where the target is an answer; empty: the model's own."""
    answer_tokens: int = 4
    """Tokens of the model's own answer, where none is given."""
    minus: str = ""
    """The token to compare with, if the target is a difference."""
    feature: str = ""
    """Layer, token and number of a feature, with dots between, where the target is a feature."""
    against: str = ""
    """The second prompt that a model's own neurons are chosen against; empty for none."""
    max_logits: int = DEFAULTS.attribution.max_logits
    logit_probability: float = DEFAULTS.attribution.logit_probability
    max_features: int = 0
    """Most features in the graph; 0 for all that are active, in a Hugging Face model for
    ``ADDED_BUDGET`` of them."""
    node_threshold: float = DEFAULTS.prune.node_threshold
    edge_threshold: float = DEFAULTS.prune.edge_threshold
    similarity: float = DEFAULTS.grouping.similarity_threshold
    likeness: Likeness = DEFAULTS.grouping.likeness
    """The kind of similarity within suggested supernodes; see ``cs.cluster_features``."""
    ablation: Ablation = "auto"
    """One of ``ABLATIONS``: ``always`` switches features off one by one also where that is slow."""
    with_prompt: str = ""
    """The prompt to compare with; empty for a suggestion."""
    with_model: str = ""
    """The model of that prompt; empty for the same one."""
    many: str = ""
    """Prompts to compare features of, one a line; empty for suggested ones."""
    view: str = "full"
    """One of ``VIEWS``."""
    tab: str = "card"
    """One of ``TABS``: the tab of the column beside the graph."""
    side: int = SIDE
    """Pixels of that column."""
    words: str = "auto"
    """One of ``WORDS``: whether the tokens of a word share a column."""
    unfolded: tuple[int, ...] = ()
    """First positions of the words that are shown as tokens all the same."""
    selected: str = ""
    edge: tuple[str, ...] = ()
    """Source and target of the edge that was clicked; nothing where none was."""
    pinned: tuple[str, ...] = ()
    groups: Groups | None = None
    """The visitor's own supernodes; None as long as the suggested ones are looked at."""
    places: Places = ()
    steps: tuple[Step, ...] = ()
    """Changes in the model, the latest last."""
    mode: Mode = "constrained"
    """The parts of the model that react to the changes; see ``cs.intervene``."""
    walk: str = ""
    """The walk-through that is on, as ``write_walk`` writes it; empty where none is."""
    walk_step: int = 0
    """The number of its step, from 0."""
    serial: int = 0
    """Counts the changes that the page made to what the canvas shows."""
    seen: str = ""
    """The last canvas event that was dealt with."""


STATE_DEFAULTS = State()


def feature_target(text: str) -> cs.FeatureTarget:
    """Return the feature that a text like ``2.39.639`` names.

    Raises:
        GraphError: If it is no layer, token and number.
    """
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise cs.GraphError(
            f"{text!r} names no feature. Give layer, token and number with dots between, like "
            "2.39.639, or choose a feature in a graph."
        )
    layer, position, number = map(int, parts)
    return cs.FeatureTarget(layer, position, number)


def attribution_of(state: State) -> cs.AttributionConfig:
    """Return the settings of the attribution."""
    return cs.AttributionConfig(
        max_logits=state.max_logits,
        logit_probability=state.logit_probability,
        max_feature_nodes=state.max_features or None,
    )


def trace_config_of(state: State) -> cs.TraceConfig:
    """Return how much of the graph is kept, and how its features are grouped."""
    return cs.TraceConfig(
        attribution_of(state),
        cs.PruneConfig(state.node_threshold, state.edge_threshold),
        cs.GroupingConfig(state.similarity, state.likeness),
        state.ablation,
    )


def folding_of(state: State) -> Folding:
    """Return which words have their tokens in one column."""
    by_words = {"auto": None, "words": True, "tokens": False}[state.words]
    return Folding(by_words, frozenset(state.unfolded))


def targets_of(
    state: State, tokenizer: Any
) -> tuple[int | str | cs.TokenDifference | cs.FeatureTarget, ...] | None:
    """Return the targets of the graph, as ``cs.attribute`` takes them; an answer is part of the
    prompt.

    Raises:
        GraphError: If the target is a feature and its name is none.
    """
    if state.target == "feature":
        return (feature_target(state.feature),)
    if state.target == "difference":
        return (cs.TokenDifference(state.tokens, state.minus),)
    if state.target == "tokens":
        return tuple(dict.fromkeys(encode_words(tokenizer, state.tokens)))
    return None
