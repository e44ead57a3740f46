"""The notebook from its first cell to its last, the text and the model in stages."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.snowflake.settings import write_settings
from tests.texts import write_parquet

pytestmark = [pytest.mark.contract, pytest.mark.slow]
NOTEBOOK = Path(__file__).parents[2] / "snowflake" / "circuitscope.ipynb"


def test_all_ten_cells_run_on_staged_text(server, tmp_path, monkeypatch):
    text = server.account.make_stage("CIRCUITSCOPE", "APP", "PILE")
    models = server.account.make_stage("CIRCUITSCOPE", "APP", "MODELS")
    write_parquet(text / "a.parquet", n_documents=900)
    for name, value in write_settings(tmp_path, server.settings()).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert len(notebook.cells) == 10
    assert all(not cell.get("outputs") for cell in notebook.cells)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parents[1])]))
    client = NotebookClient(notebook, timeout=250, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert (models / "notebook" / "bundle.json").is_file()
    (shown,) = notebook.cells[-2].outputs
    assert "srcdoc=" in shown["data"]["text/html"]
    assert " → " in notebook.cells[-1].outputs[0]["text"]
    assert 'LIST \'@"CIRCUITSCOPE"."APP"."PILE"\'' in server.account.statements
