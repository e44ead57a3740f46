"""The second prompt that a model's own neurons are chosen against."""

from dataclasses import replace

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.tokenizer import encode_text
from pages.ui.shared.models import ModelKey
from pages.ui.shared.prediction import draw_prediction
from pages.ui.shared.prompts import prompt_of
from pages.ui.shared.session import change_state
from pages.ui.shared.state import State


def ask_for_second_prompt(state: State, bundle: cs.Bundle) -> State:
    """Let the visitor give a prompt that leads to another answer."""
    st.session_state.setdefault("prompt_against", state.against)
    text = st.text_input(
        "A second prompt with another answer",
        key="prompt_against",
        placeholder="The same sentence with the word changed that makes the answer",
        help="Neurons become nodes that make the difference between the two. Without it, the "
        "likeliest token is explained against the next likely one.",
    )
    st.caption(
        "This model has no transcoder: its graph is made of its own neurons, those that favour the "
        "answer most. They are best at a contrast, and a second prompt also tests them."
    )
    if text:
        st.caption(describe_alignment(bundle, state.prompt, text))
    return change_state(against=text)


def describe_alignment(bundle: cs.Bundle, prompt: str, against: str) -> str:
    """Return how the tokens of two prompts stand beside each other."""
    own, other = (
        len(encode_text(bundle.tokenizer, text, closed=False)) - 1 for text in (prompt, against)
    )
    if own == other:
        return f"Both have {own} tokens, which are compared one by one."
    return (
        f"{own} tokens and {other}: those that both have in the same order are compared, and "
        "the last ones."
    )


def draw_second_prediction(key: ModelKey, state: State, bundle: cs.Bundle) -> None:
    """Draw the likeliest tokens after the second prompt, where there is one."""
    if state.against:
        st.header("After the second prompt")
        second = prompt_of(replace(state, prompt=state.against), bundle)
        draw_prediction(key, second, name="prompt_likely_against")
