"""A graph as files to take away, with what the visitor made of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import streamlit as st

import circuitscope_core as cs
from circuitscope_core.export import (
    Opening,
    graph_to_json,
    graphml_text,
    render_view,
    slugify,
    viewer_zip,
)
from circuitscope_core.graph import node_id
from pages.ui.graph.walks import walk_page
from pages.ui.shared.component import opening_of
from pages.ui.shared.models import load_model
from pages.ui.shared.notes import cards_of
from pages.ui.shared.session import latest
from pages.ui.shared.tracing import Shown, members_of


@dataclass(frozen=True)
class Download:
    """A kind of file on offer."""

    label: str
    meaning: str
    ending: str
    media_type: str
    write: Callable[[Shown, cs.FeatureCards, Opening], str | bytes]


def draw_downloads(shown: Shown) -> None:
    """Offer the graph as files; the canvas itself offers its picture.

    A file is written when it is asked for, since the canvas may change the pins, the selection and
    the places after this part of the page was drawn.
    """
    slug, cards, now = slugify(shown.pruned.graph.prompt), cards_of(shown.tracing.model), latest()

    def contents(kind: Download) -> str | bytes:
        return kind.write(shown, cards, opening_of(now.state))

    with st.popover("Download", icon=":material/download:"):
        for kind in DOWNLOADS:
            st.download_button(
                kind.label,
                partial(contents, kind),
                file_name=f"{slug}.{kind.ending}",
                mime=kind.media_type,
                help=kind.meaning,
                width="stretch",
                on_click="ignore",
                key=f"graph_download_{kind.label}",
            )
        if now.state.walk:
            st.download_button(
                "Walk-through",
                walk_page(now.state.walk),
                file_name=f"{slug}-walk.html",
                mime="text/html",
                help="One file that leads through the steps; works without a network.",
                width="stretch",
                on_click="ignore",
                key="graph_download_walk",
            )


def page_of(shown: Shown, _cards: cs.FeatureCards, opening: Opening) -> str:
    """Return the graph as one HTML page that opens as the canvas is now."""
    return render_view(shown.view, opening)


def json_of(shown: Shown, cards: cs.FeatureCards, opening: Opening) -> str:
    """Return the graph as JSON; of a supernode that is pinned or selected, its features are."""
    opening = of_nodes(shown, opening)
    pruned, groups = shown.pruned, shown.supernodes
    data = graph_to_json(pruned, supernodes=groups, cards=cards, opening=opening)
    return json.dumps(data)


def viewer_of(shown: Shown, cards: cs.FeatureCards, opening: Opening) -> bytes:
    """Return the folder that circuit-tracer's own viewer opens, with cards, as a zip file."""
    return viewer_zip(
        shown.trace,
        cards=cards,
        tokenizer=load_model(shown.tracing.model).tokenizer,
        supernodes=shown.supernodes,
        opening=of_nodes(shown, opening),
    )


def of_nodes(shown: Shown, opening: Opening) -> Opening:
    """Return choices of nodes: in the place of a supernode that is pinned or selected, its own."""
    pinned = dict.fromkeys(node for name in opening.pinned for node in nodes_of(shown, name))
    selected = next(iter(nodes_of(shown, opening.selected)), "")
    return replace(opening, pinned=tuple(pinned), selected=selected)


def graphml_of(shown: Shown, cards: cs.FeatureCards, _opening: Opening) -> str:
    """Return the graph as GraphML, which has no place for what is chosen."""
    return graphml_text(shown.pruned, cards)


def nodes_of(shown: Shown, name: str) -> tuple[str, ...]:
    """Return the ids of the nodes behind a node or a supernode."""
    return tuple(node_id(shown.pruned.graph, node) for node in members_of(shown, name))


DOWNLOADS = (
    Download(
        "Standalone page",
        "One file with this graph to explore; works without a network.",
        "html",
        "text/html",
        page_of,
    ),
    Download(
        "Graph JSON",
        "For Neuronpedia, circuit-tracer, and “Open a file” here.",
        "json",
        "application/json",
        json_of,
    ),
    Download(
        "Folder for circuit-tracer’s viewer",
        "Graph, feature cards and list, for circuit-tracer’s own viewer on your machine.",
        "zip",
        "application/zip",
        viewer_of,
    ),
    Download("GraphML", "For Gephi, yEd and networkx.", "graphml", "application/xml", graphml_of),
)
