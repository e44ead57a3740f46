"""Graphs of many prompts: the same files whoever makes them, and no prompt stops another."""

import json

import pytest

import circuitscope_core as cs
from circuitscope_core.cli import main
from tests.unit.test_bundle import make_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
PROMPTS = ["The (N", "", "A cat", "x" * 500, "The river"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return cs.save_bundle(make_bundle(), tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def alone(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    return out, list(cs.attribute_many(bundle, PROMPTS, out))


def test_each_prompt_has_a_graph_or_a_reason_in_the_order_given(alone):
    out, done = alone
    assert [item.prompt for item in done] == PROMPTS
    assert [item.number for item in done] == list(range(len(PROMPTS)))
    assert [bool(item.error) for item in done] == [False, True, False, True, False]
    table = [json.loads(line) for line in (out / "summary.jsonl").read_text().splitlines()]
    assert table == [vars(item) for item in done]
    names = {path.name for path in out.iterdir()}
    assert names == {"00000.json", "00002.json", "00004.json", "summary.jsonl"}
    for item in done:
        if item.graph:
            assert cs.read_graph_file(out / item.graph).prompt == item.prompt
            assert 0 < item.probability <= 1
            assert 0 <= item.scores["replacement"] <= 1
            assert item.n_nodes > 0


def test_several_processes_make_the_same_files(bundle, alone, tmp_path):
    out, expected = alone
    done = list(cs.attribute_many(bundle, PROMPTS, tmp_path, backend="procs:2"))
    for one, other in zip(done, expected, strict=True):
        assert (one.prompt, one.error, one.graph) == (other.prompt, other.error, other.graph)
        assert one.scores == pytest.approx(other.scores, rel=1e-4)
        if one.graph:
            ids = [
                [node["node_id"] for node in json.loads((place / one.graph).read_text())["nodes"]]
                for place in (tmp_path, out)
            ]
            assert ids[0] == ids[1]


def test_a_file_of_a_prompt_that_fails_now_does_not_stay(bundle, tmp_path):
    list(cs.attribute_many(bundle, ["The"], tmp_path))
    assert (tmp_path / "00000.json").is_file()
    (done,) = cs.attribute_many(bundle, [""], tmp_path)
    assert done.error
    assert not (tmp_path / "00000.json").exists()


def test_the_command_line_traces_a_file_of_prompts(bundle, tmp_path, capsys):
    prompts, out = tmp_path / "prompts.txt", tmp_path / "graphs"
    prompts.write_text("The (N\n\nA cat\n")
    command = ["trace", "--bundle", str(bundle), "--prompts", str(prompts), "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("1/2 'The (N' → ")
    assert said[1].startswith("2/2 'A cat' → ")
    lines = tmp_path / "prompts.jsonl"
    lines.write_text('"one\\ntwo"\n"' + "x" * 500 + '"\n')
    command[command.index(str(prompts))] = str(lines)
    assert main([*command, "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["prompt"][:7] for row in rows] == ["one\ntwo", "xxxxxxx"]
    assert [bool(row["error"]) for row in rows] == [False, True]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("", "p.txt", "is empty"),
        ("[1]", "p.jsonl", "no JSON string"),
        ("{", "p.jsonl", "cannot be read"),
    ],
)
def test_a_file_without_prompts_is_refused(bundle, tmp_path, capsys, text, name, words):
    path = tmp_path / name
    path.write_text(text)
    command = ["trace", "--bundle", str(bundle), "--prompts", str(path), "--out", str(tmp_path)]
    assert main(command) == 1
    assert words in capsys.readouterr().err
    assert main(command[:-2]) == 1
    assert "add --out" in capsys.readouterr().err


def test_a_compute_pool_does_not_trace(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("circuitscope_core.batch.require", lambda _: None)
    with pytest.raises(cs.ConfigError, match=r"trains only; trace with local, procs:N or ray:N"):
        next(iter(cs.attribute_many(bundle, ["x"], tmp_path, backend="snowflake:Px2")))
