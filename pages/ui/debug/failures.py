"""The choice of a failure on the Debug page: one of the exam, or one that is typed."""

import streamlit as st

from circuitscope_core.evals.debugging import Failure, find_failures
from circuitscope_core.skills import SKILLS, exam
from circuitscope_core.tokenizer import Tokenizer, encode_words
from pages.ui.shared.models import ModelKey, load_model, model_key
from pages.ui.shared.session import change_state, get_state
from pages.ui.shared.text import plain

WAYS = ("A failure in the exam", "A prompt of your own")
QUESTIONS = 100
"""Questions asked of each skill; the wrong answers among them are offered."""


def ask_for_failure() -> tuple[str, int] | None:
    """Return a prompt and the id of the token that should follow; None while there is none."""
    way = st.segmented_control("Look into", WAYS, default=WAYS[0], key="debug_way")
    if way == WAYS[1]:
        return ask_for_prompt()
    key = model_key(get_state().model)
    found = {name: failures_of(key, name) for name in SKILLS}
    wrong = {name: failures for name, failures in found.items() if failures}
    if not wrong:
        st.success(f"Of {QUESTIONS} questions of each skill this model answers all rightly.")
        return None
    left, right = st.columns([1, 2.4])
    skill = left.selectbox(
        "Skill",
        list(wrong),
        format_func=lambda name: f"{name.capitalize()}: {len(wrong[name])} of {QUESTIONS} wrong",
        key="debug_skill",
    )
    tokenizer = load_model(key).tokenizer
    index = right.selectbox(
        "Question",
        range(len(wrong[skill])),
        format_func=lambda index: describe_failure(wrong[skill][index], tokenizer),
        key=f"debug_question_{skill}",
    )
    failure = wrong[skill][index]
    return failure.prompt, failure.wanted


def describe_failure(failure: Failure, tokenizer: Tokenizer) -> str:
    """Return a failure as one line."""
    said, wanted = (tokenizer.token_text(token) for token in (failure.said, failure.wanted))
    return f"…{failure.prompt[-50:]}  said “{said}”, should say “{wanted}”".replace("\n", "⏎")


def ask_for_prompt() -> tuple[str, int] | None:
    """Ask for a prompt and what should have followed."""
    state = get_state()
    left, right = st.columns([3, 1])
    prompt = left.text_area("Prompt", state.prompt, key="debug_prompt", height=90)
    wanted = right.text_input("It should go on with", key="debug_wanted", max_chars=40)
    if not prompt or not wanted:
        st.info("Type the prompt, and the token that should have followed it.")
        return None
    change_state(prompt=prompt)
    tokenizer = load_model(model_key(state.model)).tokenizer
    first, *rest = encode_words(tokenizer, wanted)
    if rest:
        st.info(
            plain(
                f"“{wanted}” is {1 + len(rest)} tokens. The first of them is what should come "
                f"next: “{tokenizer.token_text(first)}”."
            )
        )
    return prompt, int(first)


@st.cache_data(max_entries=64, show_spinner="Asking the model …")
def failures_of(key: ModelKey, skill: str) -> tuple[Failure, ...]:
    """Return the exam questions of a skill that a model gets wrong."""
    return find_failures(load_model(key).replacement, exam(skill, QUESTIONS))
