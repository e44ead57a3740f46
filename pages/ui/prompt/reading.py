"""The prompt as the model reads it: its tokens, what stands in front, and what may surprise."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.tokenizer import has_chat_template
from pages.ui.shared.component import draw_tokens
from pages.ui.shared.prompts import Reading, read_prompt
from pages.ui.shared.session import change_state
from pages.ui.shared.state import State
from pages.ui.shared.text import plain


def ask_for_form(state: State, bundle: cs.Bundle) -> State:
    """Let the visitor give the prompt as a message, where the model was tuned on messages."""
    if not has_chat_template(bundle.tokenizer):
        return state
    st.session_state.setdefault("prompt_chat", state.form == "chat")
    chat = st.toggle(
        "As a chat message",
        key="prompt_chat",
        help="Write the prompt as the model's chat template does, up to where its answer begins.",
    )
    return change_state(form="chat" if chat else "text")


def draw_reading(state: State, bundle: cs.Bundle) -> None:
    """Draw the tokens as the model reads them, and how many there may be.

    Raises:
        PromptError: If there are none.
    """
    n_ctx = bundle.model.shape.n_ctx
    reading = read_prompt(state, bundle)
    draw_tokens(reading.texts, kinds=reading.kinds)
    counted = f"{reading.n_tokens} of at most {n_ctx} tokens, the start of the text included."
    st.caption(plain(f"{counted} {reading.opener}".strip()))
    for warning in warnings_for(state.prompt, reading):
        st.info(warning)


def warnings_for(prompt: str, reading: Reading) -> list[str]:
    """Return hints about surprising prompts; errors are the core's to raise."""
    found = []
    if prompt != prompt.rstrip() and not any("template" in kind for kind in reading.kinds):
        found.append(
            "The prompt ends with white space, so the model predicts what follows the space and "
            "not the space itself. Where words carry their space, as the tokens above show, leave "
            "it out: no text that was trained on has such a token before a word."
        )
    if reading.n_split:
        named = "1 character is" if reading.n_split == 1 else f"{reading.n_split} characters are"
        found.append(
            f"{named} read as several tokens each, numbered 1/2 and 2/2 above: that many columns "
            "of the graph."
        )
    return found
