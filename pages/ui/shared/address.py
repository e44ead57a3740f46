"""A state as parameters of an address, and back: anyone may have written the address."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from circuitscope_core.supernodes import LIKENESSES
from pages.ui.shared.groups import Group, Groups, clean
from pages.ui.shared.packing import pack, unpack
from pages.ui.shared.state import (
    ABLATIONS,
    FORMS,
    HOWS,
    MODES,
    MOST_ANSWER_TOKENS,
    STATE_DEFAULTS,
    TABS,
    TARGETS,
    VIEWS,
    WORDS,
    State,
    Step,
)
from pages.ui.shared.walk import MOST_STEPS, read_walk

IN_ADDRESS = {
    "model": "model",
    "prompt": "prompt",
    "form": "form",
    "target": "target",
    "tokens": "tokens",
    "answer": "answer",
    "answer_tokens": "answer_tokens",
    "minus": "minus",
    "feature": "feature",
    "against": "against",
    "logits": "max_logits",
    "probability": "logit_probability",
    "budget": "max_features",
    "nodes": "node_threshold",
    "edges": "edge_threshold",
    "similarity": "similarity",
    "likeness": "likeness",
    "ablation": "ablation",
    "many": "many",
    "view": "view",
    "tab": "tab",
    "words": "words",
    "walk": "walk",
    "step": "walk_step",
    "node": "selected",
    "with": "with_prompt",
    "with_model": "with_model",
    "reacts": "mode",
}
"""Names in the address and the fields they stand for."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    "form": FORMS,
    "target": TARGETS,
    "view": VIEWS,
    "tab": TABS,
    "words": WORDS,
    "likeness": LIKENESSES,
    "ablation": ABLATIONS,
    "mode": MODES,
}
WHOLE_NUMBERS = {
    "answer_tokens": (1, MOST_ANSWER_TOKENS),
    "max_logits": (1, 100),
    "max_features": (0, 100_000),
    "walk_step": (0, MOST_STEPS - 1),
}
"""Fields that are counts, and what they may be."""
SUBGRAPH = "subgraph"
"""Parameter that holds a person's pins, supernodes, positions and changes in the model."""


def read_address(parameters: Mapping[str, str]) -> tuple[State, tuple[str, ...]]:
    """Return the state that an address asks for, and the names in it that make no sense."""
    values: dict[str, Any] = {}
    dropped = []
    for name, field in IN_ADDRESS.items():
        if name not in parameters:
            continue
        value = _parse(field, parameters[name])
        if value is None:
            dropped.append(name)
        else:
            values[field] = value
    state = replace(STATE_DEFAULTS, **values)
    if SUBGRAPH in parameters:
        found = read_subgraph(parameters[SUBGRAPH], state)
        if found is None:
            dropped.append(SUBGRAPH)
        else:
            state = found
    return state, tuple(dropped)


def _parse(field: str, text: str) -> str | float | None:
    """Return a field's value, or None where the text is none."""
    if field in WHOLE_NUMBERS:
        least, most = WHOLE_NUMBERS[field]
        is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
        return int(text) if is_number and least <= int(text) <= most else None
    if isinstance(getattr(STATE_DEFAULTS, field), float):
        try:
            number = float(text)
        except ValueError:
            return None
        return number if 0 <= number <= 1 else None
    if field == "walk":
        return text if not text or read_walk(text) else None
    return text if field not in CHOICES or text in CHOICES[field] else None


def address_of(state: State) -> dict[str, str]:
    """Return the parameters that lead back to a state: model, prompt and what is not as usual."""
    always = ("model", "prompt")
    values = {name: getattr(state, field) for name, field in IN_ADDRESS.items()}
    address = {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
        if value != getattr(STATE_DEFAULTS, IN_ADDRESS[name]) or (name in always and value)
    }
    subgraph = write_subgraph(state)
    return {**address, SUBGRAPH: subgraph} if subgraph else address


def write_subgraph(state: State) -> str:
    """Return pins, groups, positions and changes as one parameter; empty if there are none."""
    data: dict[str, Any] = {}
    if state.pinned:
        data["pinned"] = list(state.pinned)
    if state.groups is not None:
        data["groups"] = [[group.label, *group.members] for group in state.groups]
    if state.unfolded:
        data["unfolded"] = list(state.unfolded)
    if state.places:
        data["places"] = [[name, round(x, 1), round(y, 1)] for name, x, y in state.places]
    if state.steps:
        data["steps"] = [[step.how, step.strength, *step.nodes] for step in state.steps]
    if not data:
        return ""
    return pack(data)


def read_subgraph(text: str, state: State) -> State | None:
    """Return a state with what a person made of the graph; None if the parameter is none."""
    data = unpack(text)
    if not isinstance(data, dict):
        return None
    try:
        pinned = tuple(_name(item) for item in data.get("pinned", []))
        places = tuple(_place(item) for item in data.get("places", []))
        groups = _groups(data["groups"]) if "groups" in data else None
        steps = tuple(_step(row) for row in data.get("steps", []))
        unfolded = tuple(_position(item) for item in data.get("unfolded", []))
    except (TypeError, ValueError, OverflowError):
        return None
    return replace(
        state, pinned=pinned, places=places, groups=groups, steps=steps, unfolded=unfolded
    )


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _position(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


def _groups(rows: Any) -> Groups:
    found = []
    for label, *members in rows:
        found.append(Group(clean(_name(label)), tuple(sorted({_name(item) for item in members}))))
    return tuple(group for group in found if len(group.members) > 1)


def _step(row: Any) -> Step:
    how, strength, *nodes = row
    strength = float(strength)
    if how not in HOWS or not math.isfinite(strength) or not nodes:
        raise ValueError(row)
    return Step(tuple(_name(node) for node in nodes), how, strength)


def _place(row: Any) -> tuple[str, float, float]:
    name, x, y = row
    x, y = float(x), float(y)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(row)
    return _name(name), x, y
