"""Graphs of many prompts: the same files whoever makes them, and no prompt stops another."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.batch import workers
from circuitscope_core.cli import main
from tests.pretrained.test_load import write_tokenizer
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
    assert names == {"00000.json", "00002.json", "00004.json", "summary.jsonl", "prompts.parquet"}
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
    monkeypatch.setattr("circuitscope_core.batch.many.require", lambda _: None)
    with pytest.raises(cs.ConfigError, match=r"trains only; trace with local, procs:N or ray:N"):
        next(iter(cs.attribute_many(bundle, ["x"], tmp_path, backend="snowflake:Px2")))


def rows_in(folder):
    return pq.read_table(folder / "prompts.parquet").to_pylist()


def test_the_table_has_a_row_for_each_prompt_with_its_strongest_features(alone):
    out, done = alone
    rows = rows_in(out)
    assert [row["prompt"] for row in rows] == PROMPTS
    for row, item in zip(rows, done, strict=True):
        assert (row["error"], row["graph"], row["n_nodes"]) == (
            item.error,
            item.graph,
            item.n_nodes,
        )
        assert row["replacement_score"] == item.scores.get("replacement")
        influence = [feature["influence"] for feature in row["features"]]
        assert influence == sorted(influence, reverse=True)
    assert 0 < len(rows[0]["features"]) <= 10
    graph = json.loads((out / done[0].graph).read_text())
    nodes = {(node["layer"], node["ctx_idx"]) for node in graph["nodes"]}
    strongest = rows[0]["features"][0]
    assert (str(strongest["layer"]), strongest["position"]) in nodes


def test_a_cancelled_call_is_resumed_where_it_stopped(bundle, alone, tmp_path, monkeypatch):
    _, expected = alone
    steps = cs.attribute_many(bundle, PROMPTS, tmp_path)
    next(steps), next(steps), next(steps)
    steps.close()
    assert [row["number"] for row in rows_in(tmp_path)] == [0, 1, 2]
    traced = []
    real = workers.trace_prompt
    monkeypatch.setattr(
        workers, "trace_prompt", lambda *parts: traced.append(parts[1]) or real(*parts)
    )
    done = list(cs.attribute_many(bundle, PROMPTS, tmp_path, resume=True))
    assert traced == ["", "x" * 500, "The river"]  # one of which failed before
    assert [vars(item) for item in done] == [vars(item) for item in expected]
    assert [row["number"] for row in rows_in(tmp_path)] == [0, 1, 2, 3, 4]
    assert not (tmp_path / ".prompts.jsonl").exists()


def test_rows_of_other_settings_are_computed_again_and_those_not_reached_stay(bundle, tmp_path):
    list(cs.attribute_many(bundle, ["The", "A cat"], tmp_path))
    steps = cs.attribute_many(bundle, ["The", "A cat"], tmp_path, prune=cs.PruneConfig(0.5, 0.5))
    next(steps)
    steps.close()
    new, old = rows_in(tmp_path)
    assert new["work"] != old["work"]
    (only,) = cs.attribute_many(bundle, ["The"], tmp_path)
    assert [row["n_nodes"] for row in rows_in(tmp_path)] == [only.n_nodes]


def test_work_that_was_ended_by_force_left_its_rows(bundle, tmp_path):
    row = {"number": 7, "prompt": "The", "scores": {"replacement": 0.5}, "features": []}
    line = json.dumps({**row, "error": "", "graph": "", "work": "x"})
    cut = '{"number": 8, "pro'  # the process ended while it wrote
    (tmp_path / ".prompts.jsonl").write_text(f"{line}\n{cut}")
    list(cs.attribute_many(bundle, ["The"], tmp_path, resume=True))
    rows = [(row["number"], row["replacement_score"]) for row in rows_in(tmp_path)]
    assert [number for number, _ in rows] == [0, 7]
    assert rows[1] == (7, 0.5)


def test_a_table_alone_writes_no_graphs(bundle, tmp_path, capsys):
    command = ["trace", "--bundle", str(bundle), "--prompt", "The (N", "--prompt", "A cat"]
    assert main([*command, "--out", str(tmp_path), "--table-only"]) == 0
    assert "2/2 'A cat' → " in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"summary.jsonl", "prompts.parquet"}
    assert len(rows_in(tmp_path)) == 2


def test_a_foreign_table_is_left_alone(bundle, tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "prompts.parquet")
    with pytest.raises(cs.GraphError, match="no table of prompts"):
        next(iter(cs.attribute_many(bundle, ["The"], tmp_path)))
    assert pq.read_table(tmp_path / "prompts.parquet").column_names == ["x"]


def test_a_model_that_was_added_is_traced_by_several_processes(tmp_path):
    pytest.importorskip("transformers")
    families = pytest.importorskip("tests.pretrained_families")
    families.random_module("LLaMA-3", torch.float32).save_pretrained(tmp_path / "llama")
    write_tokenizer(tmp_path / "llama")
    cs.add_model(tmp_path / "llama", "added", models=tmp_path / "models")
    place, config = tmp_path / "models" / "added", cs.AttributionConfig(max_feature_nodes=30)
    prompts = [" the cat", " a cat", " cats"]
    near = list(cs.attribute_many(place, prompts, tmp_path / "one", config=config))
    far = list(
        cs.attribute_many(place, prompts, tmp_path / "two", config=config, backend="procs:2")
    )
    assert [item.error for item in far] == ["", "", ""]
    assert [item.n_nodes for item in near] == [item.n_nodes for item in far]
