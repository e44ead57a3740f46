"""Prompts to try: for what a model was taught here, or for models that were trained elsewhere."""

from collections.abc import Callable
from functools import partial

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.evals.exam import prompt_text
from circuitscope_core.skills import SKILLS, exam
from circuitscope_core.tokenizer import TokenIds, Tokenizer

NEUTRAL = {
    "a capital": "The capital of France is",
    "a story": "Once upon a time, there was a little girl named",
    "numbers": "1, 2, 3, 4, 5,",
    "an opposite": "The opposite of hot is",
    "two people": "Mary and John went to the store. John gave a book to",
    "code": "def add(a, b):\n    return a +",
}
"""Beginnings that any model of English has a guess for."""


def offer_examples(bundle: cs.Bundle) -> None:
    """Offer prompts: the exam's for a model that was trained here, neutral ones for others."""
    if isinstance(bundle.tokenizer, TokenIds):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Or try", width="content")
        if isinstance(bundle.model, cs.PretrainedModel):
            for name, prompt in NEUTRAL.items():
                offer(name, prompt, lambda text: text, prompt)
        else:
            for name, skill in SKILLS.items():
                offer(name, skill.meaning, partial(example_of, bundle.tokenizer), name)


def example_of(tokenizer: Tokenizer, skill: str) -> str:
    """Return the first exam question of a skill, up to the token that it asks for."""
    return prompt_text(tokenizer, exam(skill, 1)[0])


def offer(name: str, meaning: str, prompt_for: Callable[[str], str], of: str) -> None:
    """Draw the button of one example."""
    st.button(
        name,
        key=f"prompt_example_{name.replace(' ', '_')}",
        type="tertiary",
        help=meaning,
        on_click=st.session_state.update,
        args=({"prompt_text": prompt_for(of)},),
    )
