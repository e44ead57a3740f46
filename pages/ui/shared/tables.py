"""Tables of rows that the core returns, and the kinds of columns in them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

Column: TypeAlias = str | ColumnConfig
"""A column's title, or how it is shown."""
Columns: TypeAlias = Mapping[str, Column]
"""The columns of a table by their fields, in their order."""


def draw_table(rows: Sequence[Any], columns: Columns, key: str) -> None:
    """Draw rows as a table of the columns that are named.

    Args:
        rows: Dictionaries, or values with the named fields.
        columns: Fields that no row has are left out.
        key: Tells one table of a page from another.
    """
    frame = pd.DataFrame([row if isinstance(row, dict) else vars(row) for row in rows])
    st.dataframe(
        frame[[name for name in columns if name in frame]],
        hide_index=True,
        width="stretch",
        key=key,
        column_config=dict(columns),
    )


def number(title: str, form: str) -> ColumnConfig:
    """Return a column of numbers in a printf format, or in one of Streamlit's by name."""
    return st.column_config.NumberColumn(title, format=form)


def share(title: str) -> ColumnConfig:
    """Return a column of shares from 0 to 1 as bars with their value in per cent."""
    return st.column_config.ProgressColumn(title, min_value=0.0, max_value=1.0, format="percent")


def words(title: str, width: Literal["small", "medium", "large"]) -> ColumnConfig:
    """Return a column of text."""
    return st.column_config.TextColumn(title, width=width)
