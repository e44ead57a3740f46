"""The Prompt page's form: the prompt, what to explain, and how much of it."""

from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import circuitscope_core as cs
from pages.ui.prompt.answer import ask_for_answer
from pages.ui.shared.session import change_state
from pages.ui.shared.state import ADDED_BUDGET, TARGETS, State

TARGET_TEXT = {
    "automatic": "The likeliest tokens",
    "answer": "The whole answer",
    "tokens": "Tokens of my choice",
    "difference": "Why one token and not another",
    "feature": "Why a feature is active",
}


def ask_for_prompt(state: State) -> State:
    """Let the visitor type a prompt."""
    st.session_state.setdefault("prompt_text", state.prompt)
    text = st.text_area(
        "Prompt",
        key="prompt_text",
        height=100,
        help="The start of a text. The model predicts what comes next. Ctrl-Enter reads it.",
    )
    return change_state(prompt=text)


NEURON_TARGET_TEXT = {
    "automatic": "The likeliest token, against another",
    "feature": "Why a neuron is active",
}
"""The words of a model's own neurons, where they differ."""


def ask_for_target(state: State, *, neurons: bool = False, page: str = "prompt") -> State:
    """Let the visitor choose what a graph explains; return the state with the choice.

    Args:
        state: What was chosen before.
        neurons: Whether the model's own neurons are its features.
        page: Tells the fields of one page from those of another.
    """
    texts = TARGET_TEXT | NEURON_TARGET_TEXT if neurons else TARGET_TEXT
    st.session_state.setdefault(f"{page}_target", state.target)
    target = st.radio("Explain", TARGETS, format_func=texts.__getitem__, key=f"{page}_target")
    state = replace(state, target=target)
    if target == "answer":
        return ask_for_answer(state, page)
    if target == "tokens":
        st.session_state.setdefault(f"{page}_tokens_wanted", state.tokens)
        text = st.text_input(
            "Tokens", key=f"{page}_tokens_wanted", help="Each token of this text gets an output."
        )
        return replace(state, tokens=text)
    if target == "difference":
        one, two = st.columns(2)
        st.session_state.setdefault(f"{page}_token", state.tokens)
        st.session_state.setdefault(f"{page}_minus", state.minus)
        token = one.text_input("Why this token", key=f"{page}_token")
        minus = two.text_input("and not this one", key=f"{page}_minus")
        return replace(state, tokens=token, minus=minus)
    if target == "feature":
        st.session_state.setdefault(f"{page}_feature", state.feature)
        text = st.text_input(
            f"Layer.token.{'neuron' if neurons else 'feature'}",
            key=f"{page}_feature",
            placeholder="2.39.639",
            help="In a graph, select a feature and press “Explain this feature”; or type it.",
        )
        return replace(state, feature=text.strip())
    return state


def ask_for_settings(state: State) -> State:
    """Let the visitor choose how much of the prediction the graph explains."""
    # field, label, least and most and step, meaning
    fields: tuple[tuple[str, str, tuple[float, float, float], str], ...] = (
        (
            "max_logits",
            "Outputs at most",
            (1, 100, 1),
            "Likely next tokens, best first, until they have the probability beside.",
        ),
        (
            "logit_probability",
            "Probability to explain",
            (0.01, 1.0, 0.01),
            "Outputs are taken until they are this likely together.",
        ),
        (
            "max_features",
            "Features at most",
            (0, 100_000, 100),
            "The most influential ones; 0 keeps all that are active, in a Hugging Face model "
            f"{ADDED_BUDGET:,} of them, or 200 of its own neurons. A long prompt takes less time "
            "and memory with fewer.",
        ),
    )
    answers: dict[str, float] = {}
    with st.expander("Settings of the graph"):
        for place, (field, label, (least, most, step), meaning) in zip(
            st.columns(3), fields, strict=True
        ):
            key = f"prompt_{field}"
            st.session_state.setdefault(key, max(least, getattr(state, field)))
            answers[field] = place.number_input(
                label, least, most, step=step, key=key, help=meaning
            )
    return change_state(**answers)


def check_target(state: State) -> None:
    """Refuse a target that is not filled in.

    Raises:
        GraphError: If a token is missing.
    """
    if state.target == "tokens" and not state.tokens:
        raise cs.GraphError("No target was given. Type at least one token to explain.")
    if state.target == "difference" and not (state.tokens and state.minus):
        raise cs.GraphError("A difference needs two tokens. Type both.")


class StepReport:
    """Writes each step as it begins, with a bar where it can be counted."""

    def __init__(self) -> None:
        self._step = ""
        self._bar: DeltaGenerator | None = None

    def __call__(self, event: cs.AttributionProgress | cs.AttributionPlan) -> None:
        """Show one event."""
        if isinstance(event, cs.AttributionPlan):
            st.write(str(event))
            return
        if event.step != self._step:
            self._step = event.step
            st.write(event.step)
            self._bar = st.progress(0.0) if event.total else None
        elif self._bar and event.total:
            self._bar.progress(event.done / event.total)
