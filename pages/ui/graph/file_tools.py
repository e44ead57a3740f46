"""Controls for an opened graph file: thresholds, supernodes, feature cards, labels."""

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.graph_file import check_features_fit, open_cards_of_file, try_cards
from pages.ui.graph.opened_graph import (
    Cards,
    FileWork,
    Opened,
    ShownFile,
    cards_without_tokens,
    chosen_feature,
    groups_shown,
    ids_behind,
    label_selected,
)
from pages.ui.shared.allowed import check_place
from pages.ui.shared.errors import draw_error
from pages.ui.shared.groups import LONGEST_LABEL, join
from pages.ui.shared.models import list_models, load_model, model_key
from pages.ui.shared.notes import cards_of

SIMILARITY = 0.7


def draw_tools(opened: Opened, work: FileWork, last: ShownFile | None) -> FileWork:
    """Draw the controls above the canvas, and return the work as they say.

    Args:
        opened: The file.
        work: The work so far.
        last: The picture that the visitor saw until now; None where there was none yet.
    """
    with st.popover("Thresholds", icon=":material/tune:"):
        work = ask_for_thresholds(opened, work)
    with st.popover("Supernodes", icon=":material/workspaces:"):
        work = ask_for_supernodes(opened, work, last)
    with st.popover("Feature cards", icon=":material/style:"):
        return ask_for_cards(opened, work)


def ask_for_thresholds(opened: Opened, work: FileWork) -> FileWork:
    """Let the visitor choose how much of the file is shown."""
    ranked = bool(opened.circuit.worth.any())
    st.caption(
        "Share of the influence that the file’s own links carry. At 1 everything in it is shown."
        if ranked
        else "The file gives its outputs no probabilities, so its nodes cannot be ranked."
    )
    values = {
        field: st.slider(
            label,
            0.0,
            1.0,
            getattr(work, field),
            step=0.01,
            key=f"graph_file_{field}_{work.number}",
            help=meaning,
            disabled=not ranked,
        )
        for field, label, meaning in (
            (
                "node_threshold",
                "Node influence kept",
                "Keep the nodes that hold this share of all nodes’ influence on the outputs.",
            ),
            (
                "edge_threshold",
                "Edge influence kept",
                "Then keep the links that carry this share of the influence on links.",
            ),
        )
    }
    same = all(getattr(work, field) == value for field, value in values.items())
    return work if same else work.change(**values)


def ask_for_supernodes(opened: Opened, work: FileWork, last: ShownFile | None) -> FileWork:
    """Let the visitor have supernodes suggested, make them of what is pinned, and undo that."""
    own = work.state.groups is not None
    count = len(opened.file.groups)
    st.caption("Yours." if own else f"The file names {count}." if count else "The file has none.")
    suggested = st.toggle(
        "Suggest by what features do here",
        value=work.similarity is not None,
        key=f"graph_file_suggest_{work.number}",
        help="Features at one token that are alike in what feeds them and what they feed.",
        disabled=own,
    )
    similarity = st.slider(
        "Similarity within supernodes",
        0.0,
        1.0,
        SIMILARITY if work.similarity is None else work.similarity,
        step=0.01,
        key=f"graph_file_similarity_{work.number}",
        disabled=own or not suggested,
    )
    wanted = similarity if suggested else None
    if wanted != work.similarity and not own:
        work = work.look_at("groups" if suggested else work.state.view, similarity=wanted)
    name = st.text_input(
        "Name of a new one", max_chars=LONGEST_LABEL, key=f"graph_file_group_{work.number}"
    )
    asked = st.button("Make the pinned nodes a supernode", key="graph_file_join", width="stretch")
    if asked and last is not None:
        return join_pinned(work, last, name)
    if work.past and st.button("Undo", key="graph_file_undo", width="stretch"):
        return work.undo()
    return work


def join_pinned(work: FileWork, shown: ShownFile, name: str) -> FileWork:
    """Return the work with the pinned nodes as a supernode of the visitor's own."""
    groups = groups_shown(shown)
    joined = join(groups, ids_behind(shown, work.state.pinned), name)
    if joined == groups:
        st.caption("Pin at least two nodes first.")
        return work
    return work.regroup(joined).look_at("groups")


def ask_for_cards(opened: Opened, work: FileWork) -> FileWork:
    """Let the visitor put feature cards beside the file: of a folder, or of a model here."""
    st.caption(
        f"Shown: {work.cards.said}."
        if work.cards
        else "A graph’s JSON has no cards. Take those of the transcoder that it was made with."
    )
    folder = st.text_input(
        "Folder on the machine that runs this app",
        key=f"graph_file_cards_folder_{work.number}",
        placeholder="graphs",
        help="With features/<number>.json, as circuit-tracer’s viewer and Neuronpedia have them, "
        "or index.json.gz.",
    )
    model = st.selectbox(
        "Or a model here",
        list_models(),
        index=None,
        key=f"graph_file_cards_model_{work.number}",
        help="Its transcoder must be the one that the graph was made with: numbers of features "
        "are compared, and nothing else can be.",
    )
    if st.button("Show these cards", key="graph_file_cards", width="stretch"):
        try:
            return work.change(cards=find_cards(opened, folder.strip(), model or ""))
        except cs.CircuitScopeError as error:
            draw_error(error)
    if work.cards and st.button("Take them away", key="graph_file_no_cards", width="stretch"):
        return work.change(cards=None)
    return work


def find_cards(opened: Opened, folder: str, model: str) -> Cards:
    """Return the cards of a folder, or of a model.

    Raises:
        CircuitScopeError: If there are none of this graph's features.
    """
    if folder:
        check_place(folder)
        found = open_cards_of_file(opened.file, folder)
        n = try_cards(opened.circuit, found)
        return cards_without_tokens(found, f"cards of {n:,} features from a folder")
    if not model:
        raise cs.BundleError("Name a folder or choose a model whose cards are to be shown.")
    key = model_key(model)
    bundle = load_model(key)
    shape = bundle.transcoder.shape
    check_features_fit(opened.circuit, shape.n_layers, shape.n_features)
    return Cards(cards_of(key), bundle.tokenizer, f"cards of the model {model}")


def draw_label(work: FileWork, shown: ShownFile) -> FileWork:
    """Let the visitor name the selected feature."""
    row = chosen_feature(work, shown)
    if row is None:
        return work
    label = st.text_input(
        "Label of the selected feature",
        value=shown.circuit.labels[row],
        max_chars=LONGEST_LABEL,
        label_visibility="collapsed",
        placeholder="Label of the selected feature",
        key=f"graph_file_label_{work.number}_{shown.circuit.ids[row]}",
    )
    changed = label != shown.circuit.labels[row]
    return label_selected(work, shown, label) if changed else work
