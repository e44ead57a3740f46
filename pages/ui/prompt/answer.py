"""The answer that a graph explains as a whole: given as a text, or the model's own."""

from dataclasses import replace

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.tokenizer import read_tokens
from pages.ui.shared.component import draw_tokens
from pages.ui.shared.state import MOST_ANSWER_TOKENS, State
from pages.ui.shared.text import plain
from pages.ui.shared.tracing import answered_of


def ask_for_answer(state: State, page: str) -> State:
    """Let the visitor give an answer, or the number of tokens that the model is to give."""
    given, own = st.columns([3, 2])
    st.session_state.setdefault(f"{page}_answer", state.answer)
    st.session_state.setdefault(f"{page}_answer_tokens", state.answer_tokens)
    text = given.text_input(
        "The whole answer",
        key=f"{page}_answer",
        placeholder="Empty: the model's own continuation",
        help="Each of its tokens gets an output, over the token before it, in one graph.",
    )
    n_tokens = own.number_input(
        "or tokens of the model's own",
        1,
        MOST_ANSWER_TOKENS,
        key=f"{page}_answer_tokens",
        disabled=bool(text),
        help="Where no answer is given: the likeliest tokens, one after another.",
    )
    return replace(state, answer=text, answer_tokens=int(n_tokens))


def draw_answer(state: State, bundle: cs.Bundle) -> None:
    """Draw the tokens of the answer that is explained.

    Raises:
        PromptError: If there is none, or prompt and answer are too long.
        ModelError: If the model does not continue texts.
    """
    if state.target != "answer":
        return
    found = answered_of(state)
    read = read_tokens(bundle.tokenizer, found.answer_ids)
    texts, kinds = [token.text for token in read], [str(token.kind) for token in read]
    draw_tokens(texts, kinds=kinds, key="prompt_answer_shown")
    whose = "given" if state.answer else "the model's own"
    st.caption(plain(f"The answer, {whose}: {len(read)} tokens, each an output of the graph."))
