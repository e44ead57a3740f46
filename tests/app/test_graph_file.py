"""Opening a graph file on the Graph page."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pages.ui.graph.open_file import describe, read_upload
from pages.ui.shared.state import DEMO_PROMPT
from pages.ui.shared.text import one_line
from tests.app.opening import open_page
from tests.unit.graph_file_samples import change, small_graph

ROOT = Path(__file__).parents[2]
SECONDS = 60
BACK = "graph_file_close"


def upload(at, data, name="graph.json"):
    contents = data if isinstance(data, bytes) else json.dumps(data).encode()
    at.file_uploader[0].set_value((name, contents, "application/json")).run()
    return at


def test_a_file_takes_the_place_of_the_prompts_graph_and_gives_it_back():
    at = open_page("graph")
    upload(at, small_graph())
    assert not at.exception
    assert not at.error
    assert at.text[0].value == "From a file: graph.json\n7 nodes, 6 links\nPrompt: ab"
    at.button(key=BACK).click().run()
    assert not at.exception
    assert at.text_input(key="graph_prompt").value == DEMO_PROMPT


def test_a_file_that_is_refused_leaves_the_graph_and_says_why_line_by_line():
    at = open_page("graph")
    data = small_graph()
    data["nodes"][2]["layer"] = "![x](http://evil/a.png)"
    data["links"][0]["weight"] = "<b>"
    upload(at, data, "bad.json")
    assert not at.exception
    said = at.error[0].value
    assert said.startswith("bad.json\\: The graph file cannot be opened; 2 things are wrong\\:\n- ")
    assert "!\\[" in said
    assert "](" not in said
    assert len(said.split("\n- ")) == 3
    assert at.text_input(key="graph_prompt").value == DEMO_PROMPT
    assert BACK not in {button.key for button in at.button}


def test_a_second_file_that_is_refused_leaves_the_first():
    at = upload(upload(open_page("graph"), small_graph()), b"{", "bad.json")
    assert "is no JSON" in at.error[0].value
    assert "From a file: graph.json" in at.text[0].value


def test_asking_for_another_graph_closes_the_file():
    at = upload(open_page("graph"), small_graph())
    assert BACK in {button.key for button in at.button}
    at.session_state["circuitscope"] = replace(at.session_state["circuitscope"], serial=5)
    at.run()
    assert BACK not in {button.key for button in at.button}
    assert at.text_input(key="graph_prompt")


def test_a_file_opens_where_there_is_no_model(tmp_path, monkeypatch):
    monkeypatch.setattr("pages.ui.shared.models.MODELS", tmp_path)
    at = upload(open_page("graph"), small_graph())
    assert not at.exception
    assert not at.error
    assert "7 nodes" in at.text[0].value


def test_a_file_opens_where_the_prompt_has_no_graph():
    at = upload(open_page("graph", prompt="x" * 300), small_graph())
    assert not at.error
    assert "7 nodes" in at.text[0].value


def test_nothing_is_written_to_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_upload("x.json", json.dumps(small_graph()).encode()).file.prompt == "ab"
    assert list(tmp_path.iterdir()) == []


def test_foreign_names_and_prompts_keep_to_their_line():
    data = change(["metadata", "prompt"], "a\nb\u202ec\x00" + "d" * 5_000)
    data["metadata"]["info"] = {"generator": {"name": "evil\u2066\n", "version": "2"}}
    opened = read_upload("x\u202e\ny.json", json.dumps(data).encode())
    lines = describe(opened).split("\n")
    assert len(lines) == 3
    assert lines[0] == "From a file: x\ufffd y.json"
    assert lines[1].endswith("made by evil\ufffd 2")
    assert lines[2].startswith("Prompt: a b\ufffdc\ufffdddd")
    assert len(lines[2]) < 220


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n b", "a b"),
        ("x" * 9, "xxxx…"),
        ("\u202eab", "\ufffdab"),
        ("é\U0001f600", "é\U0001f600"),
    ],
)
def test_one_line_is_short_and_has_nothing_hidden(text, line):
    assert one_line(text, 5) == line
