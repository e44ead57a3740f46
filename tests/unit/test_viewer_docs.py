"""The commands and the Python of the page on circuit-tracer's viewer run as printed."""

import re
import shlex
from pathlib import Path

from circuitscope_core.cli.main import main

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "circuit-tracer-viewer.md"


def blocks(kind):
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_commands_and_the_python_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    ours = [b for b in blocks("sh") if b.startswith("python -m circuitscope_core ")]
    assert len(ours) == 2
    for command in ours:
        assert main(shlex.split(command)[3:]) == 0
    said = capsys.readouterr().out
    assert "index.html?slug=The-National-Digital-Analytics-Group-N&pinnedIds=" in said
    (code,) = blocks("python")
    exec(compile(code, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.startswith("The-National-Digital-Group-N ?slug=The-National-")
    assert len(list((tmp_path / "graphs").glob("*.json"))) == 3
