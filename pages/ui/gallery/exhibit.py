"""The Gallery's exhibits: a skill, its prompt, its graph and the story that the graph tells."""

import base64
import html

import streamlit as st

from circuitscope_core.evals.exam import encode_question, prompt_text
from circuitscope_core.export import render_svg
from circuitscope_core.graph import node_id
from circuitscope_core.skills import SKILLS, exam
from circuitscope_core.tokenizer import show as show_token
from pages.ui.shared.long_work import show_with_steps
from pages.ui.shared.models import load_model, model_key
from pages.ui.shared.session import get_state, go_to_graph, leave_graph
from pages.ui.shared.state import State
from pages.ui.shared.text import plain
from pages.ui.shared.tracing import Shown, tracing_of

PER_ROW = 3


def picture_of(shown: Shown) -> str:
    """Return a graph's picture as HTML, with what feeds its first output in colour.

    The graph's story is its text for those who do not see it.
    """
    graph = shown.pruned.graph
    output = node_id(graph, graph.logit_nodes.start)
    drawing = render_svg(shown.view, selected=output, dark=st.context.theme.type == "dark")
    packed = base64.b64encode(drawing.encode()).decode()
    said = html.escape(shown.view.story.text if shown.view.story else graph.prompt)
    return f'<img src="data:image/svg+xml;base64,{packed}" alt="{said}" style="width: 100%">'


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
        st.header(name.capitalize())
        st.caption(SKILLS[name].meaning)
        st.code(prompt, language=None, wrap_lines=True)
        shown = show_with_steps(tracing_of(state), state)
        st.html(picture_of(shown))
        graph = shown.pruned.graph
        said, right = graph.logit_texts[0], tokenizer.token_text(asked.answer[asked.decided])
        verdict = "right" if said == right else f"the right answer is “{plain(show_token(right))}”"
        probability = float(graph.logit_probabilities[0])
        st.markdown(
            f"The model says **“{plain(show_token(said))}”** ({probability:.0%}): {verdict}."
        )
        if shown.view.story:
            st.markdown(plain(shown.view.story.text))
        mark = load_model(shown.tracing.model).metadata.metrics.get(f"exam.{name}.whole")
        if mark is not None:
            st.caption(f"Exam: {mark:.0%} of whole answers right.")
        key = f"gallery_{name.replace(' ', '_')}"
        if st.button("Open the graph", key=key, icon=":material/account_tree:"):
            leave_graph(prompt=prompt, target="automatic")
            go_to_graph()
