"""Graphs of many prompts, by several processes or machines, and a table of all of them."""

from circuitscope_core.batch.many import attribute_many
from circuitscope_core.batch.prompt_tracing import PromptTraced
from circuitscope_core.batch.table import COLUMNS, PARQUET

__all__ = ["COLUMNS", "PARQUET", "PromptTraced", "attribute_many"]
