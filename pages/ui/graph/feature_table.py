"""The tab Table: features as a table, which does everything that the canvas does."""

import altair as alt
import pandas as pd
import streamlit as st

from circuitscope_core.interventions.ablation import questions_of
from pages.ui.graph.scores import draw_reach
from pages.ui.graph.selected_node import draw_similar
from pages.ui.shared.groups import groups_of, join
from pages.ui.shared.session import change_state, get_state
from pages.ui.shared.state import State
from pages.ui.shared.tables import Columns, number, words
from pages.ui.shared.tracing import Shown, feature_table

SCALARS = {
    "ablation_bits": "Bits when switched off",
    "influence": "Influence",
    "activation": "Activation",
    "percentile": "Percentile",
    "frequency": "Fires on (share of tokens)",
    "layer": "Layer",
    "position": "Position",
    "into": "Effect on the selected node",
    "out_of": "Effect of the selected node",
}
MOST_DOTS = 5_000


def draw_table_tab(shown: Shown, state: State) -> None:
    """Draw the table of features, what can be done with its rows, and the scatter plot."""
    st.header("Features")
    draw_reach(shown)
    every = st.toggle(
        "Also those that pruning dropped", key="graph_every_feature", help="All active features."
    )
    draw_ranking(shown)
    table = feature_table(shown, every=every, selected=state.selected)
    if table.empty:
        st.info("No feature is kept. Raise the node threshold.")
        return
    event = st.dataframe(
        table.drop(columns=[] if every else ["kept"]),
        hide_index=True,
        width="stretch",
        key="graph_features",
        on_select="rerun",
        selection_mode="multi-row",
        column_order=[name for name in table.columns if name != "id"],
        column_config=columns(table),
    )
    offer_actions(shown, table.iloc[event.selection.rows])
    draw_similar(shown, state.selected)
    with st.expander("Plot two of these against each other"):
        draw_scatter(table)


def draw_ranking(shown: Shown) -> None:
    """Say what the features are ranked by, and offer the better ranking where it takes long."""
    reason = shown.trace.not_ablated
    if not reason:
        where = "in the model itself" if shown.trace.circuit.neurons else "in the replacement model"
        st.caption(
            f"Sorted by the bits that the answer changes by when one feature alone is switched off "
            f"{where}: all others react, attention stays as it was."
        )
        return
    st.caption(f"{reason} The table is sorted by influence.")
    can_wait = shown.trace.config.ablation == "auto" and questions_of(shown.pruned.graph)
    if can_wait and st.button("Switch them off", key="graph_ablate"):
        change_state(ablation="always")
        st.rerun()


def columns(table: pd.DataFrame) -> Columns:
    """Return the table's columns by their fields."""
    return {
        "ablation_bits": number("Bits when switched off", "%.3g"),
        "influence": st.column_config.ProgressColumn(
            "Influence", min_value=0.0, max_value=float(table["influence"].max()), format="percent"
        ),
        "label": words("Label", "medium"),
        "layer": "Layer",
        "feature": "Feature",
        "token": "Token",
        "position": "Position",
        "activation": number("Activation", "%.2f"),
        "percentile": number("Percentile", "percent"),
        "frequency": number("Fires on", "percent"),
        "kept": st.column_config.CheckboxColumn("Kept"),
        "into": number("On the selected node", "%+.4f"),
        "out_of": number("From the selected node", "%+.4f"),
    }


def offer_actions(shown: Shown, rows: pd.DataFrame) -> None:
    """Offer what the canvas does with the chosen rows: select, pin, group."""
    names = tuple(rows["id"][rows["kept"]]) if len(rows) else ()
    if not names:
        st.caption("Tick rows to select, pin or group them in the graph.")
        return
    state = get_state()
    changes: dict[str, object] = {}
    with st.container(horizontal=True, gap="small"):
        if st.button("Select in the graph", key="graph_row_select", disabled=len(names) > 1):
            changes = {"selected": names[0], "edge": ()}
        if st.button("Pin", key="graph_row_pin"):
            changes = {"pinned": tuple(sorted({*state.pinned, *names}))}
        if st.button("Make one supernode", key="graph_row_group", disabled=len(names) < 2):
            own = state.groups
            groups = groups_of(shown.pruned, shown.supernodes) if own is None else own
            changes = {"groups": join(groups, names), "view": "groups"}
    if changes:
        change_state(**changes, serial=state.serial + 1)
        st.rerun()


def draw_scatter(table: pd.DataFrame) -> None:
    """Draw any two figures of the features against each other."""
    known = [name for name in SCALARS if name in table]
    x = st.selectbox(
        "Across", known, known.index("activation"), SCALARS.__getitem__, key="graph_plot_x"
    )
    y = st.selectbox("Up", known, known.index("influence"), SCALARS.__getitem__, key="graph_plot_y")
    if x is None or y is None:
        return
    positive = bool((table[[x, y]] > 0).all(axis=None))
    log = st.toggle("Logarithmic", key="graph_plot_log", disabled=not positive) and positive
    if len(table) > MOST_DOTS:
        st.caption(f"The first {MOST_DOTS:,} of the table’s {len(table):,} rows are drawn.")
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    chart = (
        alt.Chart(table.head(MOST_DOTS))
        .mark_circle(size=42, opacity=0.65)
        .encode(
            x=alt.X(f"{x}:Q", title=SCALARS[x], scale=scale),
            y=alt.Y(f"{y}:Q", title=SCALARS[y], scale=scale),
            color=alt.Color("layer:N", title="Layer"),
            tooltip=["label", "layer", "feature", "token", "position", x, y],
        )
        .properties(height=280)
    )
    st.altair_chart(chart, width="stretch")
