"""The diagnosis of one failure: the nodes that pushed it, and the features that turn it."""

import streamlit as st

from circuitscope_core.evals.debugging import MOST_FEATURES, Diagnosis, diagnose
from circuitscope_core.graph import NodeKind, node_id
from circuitscope_core.tokenizer import encode_words
from circuitscope_core.view import node_label
from pages.ui.shared.component import draw_tokens
from pages.ui.shared.models import ModelKey, load_model, model_key
from pages.ui.shared.notes import cards_of
from pages.ui.shared.session import get_state, go_to_graph, leave_graph
from pages.ui.shared.state import Step
from pages.ui.shared.tables import Columns, draw_table, number
from pages.ui.shared.text import plain
from pages.ui.shared.tracing import recent_graphs

MOST_PUSHES = 12
MOST_EXAMPLES = 3


def draw_diagnosis(prompt: str, wanted_id: int) -> None:
    """Draw one failure, taken apart.

    Raises:
        CircuitScopeError: If the prompt cannot be run, or the model says what is wanted.
    """
    key = model_key(get_state().model)
    bundle = load_model(key)
    with st.spinner("Taking every feature away in turn …"):
        found = recent_graphs().get(
            ("debug", key, prompt, wanted_id), lambda: diagnose(bundle, prompt, wanted_id)
        )
    said, wanted = (bundle.tokenizer.token_text(token) for token in (found.said, wanted_id))
    st.code(prompt, language=None, wrap_lines=True)
    one, two, three = st.columns(3)
    one.metric("It says", f"“{plain(said)}”")
    two.metric("It should say", f"“{plain(wanted)}”")
    three.metric(
        "Lead", f"{found.margin:.2f}", help="Logit of what it says less that of what it should say."
    )
    draw_flip(key, found, prompt, said, wanted)
    draw_pushes(key, found, said, wanted)


def draw_flip(key: ModelKey, found: Diagnosis, prompt: str, said: str, wanted: str) -> None:
    """Draw the smallest set of features without which the model says the right thing."""
    st.header("What turns the answer")
    if found.flip is None:
        st.warning(
            f"No set of {MOST_FEATURES} features or fewer was found without which the model says "
            f"“{plain(wanted)}”. The answer is not held down by a few features."
        )
        return
    n = len(found.flip.nodes)
    what = "this feature" if n == 1 else f"these {n} features"
    st.markdown(f"Without {what} the model says **“{plain(wanted)}”**:")
    pushes = {push.node: push for push in found.pushes}
    for node in found.flip.nodes:
        draw_culprit(key, found, node, pushes[node].measured)
    names = tuple(node_id(found.graph, node) for node in found.flip.nodes)
    tokens = ((said, found.said), (wanted, found.wanted))
    left, right, _ = st.columns([1.2, 1.2, 2])
    if left.button("Switch them off in the graph", key="debug_try", type="primary"):
        steps = tuple(Step((name,), "ablate") for name in names)
        leave_graph(prompt=prompt, target="automatic", steps=steps, pinned=names, tab="intervene")
        go_to_graph()
    tokenizer = load_model(key).tokenizer
    named = all(encode_words(tokenizer, text) == [token] for text, token in tokens)
    if right.button(
        "Graph of the difference",
        key="debug_contrast",
        disabled=not named,
        help=None if named else "One of the two tokens is part of a character: no text names it.",
    ):
        leave_graph(prompt=prompt, target="difference", tokens=said, minus=wanted, pinned=names)
        go_to_graph()


def draw_culprit(key: ModelKey, found: Diagnosis, node: int, measured: float) -> None:
    """Draw one feature, and texts of the corpus that taught it."""
    place = found.graph.node(node)
    card = cards_of(key).card(place.layer, place.feature)
    token = found.graph.token_texts[place.position]
    with st.container(border=True):
        st.text(
            f"{card.label or 'unnamed'}\nFeature {place.feature} of layer {place.layer}, at token "
            f"{place.position} ({token!r}); alone it changes the lead by {-measured:+.2f}"
        )
        tokenizer = load_model(key).tokenizer
        for number, example in enumerate(card.examples[:MOST_EXAMPLES]):
            draw_tokens(
                list(example.texts) or [tokenizer.token_text(item) for item in example.token_ids],
                list(example.activations),
                card.max_activation,
                key=f"debug_example_{node}_{number}",
            )
        if not card.examples:
            st.caption("No example texts travel with this model.")
        else:
            st.caption("Where it fires most in the training text: what taught it.")


def draw_pushes(key: ModelKey, found: Diagnosis, said: str, wanted: str) -> None:
    """Draw the nodes that push towards either token, the strongest first."""
    st.header("What pushes")
    st.caption(
        "How much each node adds to the lead: what the graph's edge says, with all else frozen, "
        "and what the model loses without it, later layers reacting. The tables go by the latter."
    )
    left, right = st.columns(2, gap="large")
    left.markdown(f"Towards “{plain(said)}”")
    right.markdown(f"Towards “{plain(wanted)}”")
    for place, name, pushes in (
        (left, "said", found.pushes[:MOST_PUSHES]),
        (right, "wanted", found.pushes[: -MOST_PUSHES - 1 : -1]),
    ):
        rows = [
            {
                "node": node_label(found.graph, push.node, cards_of(key)),
                "where": where(found, push.node),
                "predicted": push.predicted,
                "measured": push.measured,
            }
            for push in pushes
        ]
        columns: Columns = {
            "node": "Node",
            "where": "Where",
            "predicted": number("Edge", "%+.3f"),
            "measured": number("Measured", "%+.3f"),
        }
        with place:
            draw_table(rows, columns, key=f"debug_pushes_{name}")


def where(found: Diagnosis, index: int) -> str:
    """Return a node's kind and place."""
    node = found.graph.node(index)
    at = f"token {node.position}"
    if node.kind is NodeKind.TOKEN:
        return at
    return f"layer {node.layer}, {at}" + (", error" if node.kind is NodeKind.ERROR else "")
