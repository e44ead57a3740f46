"""The Gallery's exhibits: a skill, its prompt, its graph, and what to look for."""

import streamlit as st

from circuitscope_core.evals.exam import encode_question, prompt_text
from circuitscope_core.export import render_svg
from circuitscope_core.graph import node_id
from circuitscope_core.skills import SKILLS, exam
from circuitscope_core.tokenizer import show as show_token
from pages.ui.shared.models import load_model, model_key
from pages.ui.shared.session import get_state, go_to_graph, leave_graph
from pages.ui.shared.state import State
from pages.ui.shared.text import plain
from pages.ui.shared.tracing import Shown, show, tracing_of

PER_ROW = 3


def picture_of(shown: Shown) -> str:
    """Return a graph's picture with what feeds its first output in colour."""
    graph = shown.pruned.graph
    output = node_id(graph, graph.logit_nodes.start)
    return render_svg(shown.view, selected=output, dark=st.context.theme.type == "dark")


def draw_exhibits() -> None:
    """Draw one exhibit for every skill, in rows."""
    names = list(SKILLS)
    for first in range(0, len(names), PER_ROW):
        row = names[first : first + PER_ROW]
        for place, name in zip(st.columns(PER_ROW, gap="medium"), row, strict=False):
            with place:
                draw_exhibit(name)


def draw_exhibit(name: str) -> None:
    """Draw one skill's prompt and graph, with a way into it."""
    question, model = exam(name, 1)[0], get_state().model
    tokenizer = load_model(model_key(model)).tokenizer
    asked = encode_question(tokenizer, question)
    prompt = prompt_text(tokenizer, question)
    state = State(model=model, prompt=prompt)
    with st.container(border=True, height="stretch"):
        st.subheader(name.capitalize())
        st.caption(SKILLS[name].meaning)
        st.code(prompt, language=None, wrap_lines=True)
        shown = show(tracing_of(state), state)
        st.image(picture_of(shown), width="stretch")
        graph = shown.pruned.graph
        said, right = graph.logit_texts[0], tokenizer.token_text(asked.answer[asked.decided])
        is_right = said == right
        verdict = "right" if is_right else f"the right answer is “{plain(show_token(right))}”"
        probability = float(graph.logit_probabilities[0])
        st.markdown(
            f"The model says **“{plain(show_token(said))}”** ({probability:.0%}): {verdict}."
        )
        if is_right:
            st.markdown(SKILLS[name].look_for)
        mark = load_model(shown.tracing.model).metadata.metrics.get(f"exam.{name}.whole")
        if mark is not None:
            st.caption(f"Exam: {mark:.0%} of whole answers right.")
        key = f"gallery_{name.replace(' ', '_')}"
        if st.button("Open the graph", key=key, icon=":material/account_tree:"):
            leave_graph(prompt=prompt, target="automatic")
            go_to_graph()
