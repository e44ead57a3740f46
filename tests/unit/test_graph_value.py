"""A graph as a value: accessors, tables, and its file."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import circuitscope_core as cs
from circuitscope_core.graph.storage import FORMAT
from tests.samples import PROMPT, random_graph, tiny_replacement


@pytest.fixture(scope="module")
def replacement():
    return tiny_replacement(n_layers=3)


@pytest.fixture(scope="module")
def graph(replacement):
    return cs.attribute(replacement, PROMPT)


def assert_same(a, b):
    for name in ("adjacency", "features", "activations", "error_vectors", "token_ids", "bias"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    for name in ("logit_token_ids", "logit_probabilities", "pre_activations"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    for name in ("token_texts", "logit_texts", "prompt", "n_active_features"):
        assert getattr(a, name) == getattr(b, name)


@pytest.mark.parametrize("seed", range(3))
def test_accessors_are_parts_of_the_matrix(seed):
    graph = random_graph(seed)
    edges = graph.edges()
    whole = torch.zeros_like(graph.adjacency)
    whole[edges.targets, edges.sources] = edges.weights
    assert torch.equal(whole, graph.adjacency)
    assert len(edges) == graph.n_edges == int(torch.count_nonzero(graph.adjacency))
    some = torch.tensor([0, graph.n_nodes - 1])
    assert torch.equal(graph.rows(some), graph.adjacency[some])
    assert torch.equal(graph.columns(some), graph.adjacency[:, some])
    assert torch.equal(graph.between(some, some), graph.adjacency[some][:, some])
    graph.rows(some).zero_()  # a copy
    assert torch.equal(whole, graph.adjacency)


def test_a_graph_comes_back_from_its_file_and_can_be_looked_into(tmp_path, replacement, graph):
    path = graph.save(tmp_path / "new" / "graph.safetensors")
    again = cs.load_graph(path)
    assert_same(graph, again)
    token, output = graph.index_of_token(3), graph.logit_nodes.start
    expected = cs.explain_edge(replacement, graph, token, output)
    assert cs.explain_edge(replacement, again, token, output) == expected
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing half-written
    assert cs.prune_graph(again).node_mask.equal(cs.prune_graph(graph).node_mask)


def test_a_graph_without_targets_and_one_of_a_budget_come_back(tmp_path, replacement):
    bare = random_graph(1)
    assert cs.load_graph(bare.save(tmp_path / "bare.safetensors")).targets is None
    cut = cs.attribute(replacement, PROMPT, max_feature_nodes=5)
    again = cs.load_graph(cut.save(tmp_path / "cut.safetensors"))
    assert_same(cut, again)
    assert torch.equal(cut.rest, again.rest)
    with pytest.raises(cs.GraphError, match="rest is"):
        dataclasses.replace(cut, rest=cut.rest[:, 1:])


def test_the_share_of_the_rest_falls_to_nothing_with_the_budget(replacement):
    whole = cs.attribute(replacement, PROMPT)
    assert whole.rest is None
    assert whole.rest_share == 0
    budgets = [whole.n_features // 8, whole.n_features // 2, whole.n_features - 1]
    shares = [
        cs.attribute(replacement, PROMPT, max_feature_nodes=budget).rest_share for budget in budgets
    ]
    assert 1 > shares[0] > shares[1] > shares[2] >= 0
    nothing = cs.attribute(replacement, PROMPT, max_feature_nodes=0)
    row = nothing.adjacency[nothing.logit_nodes].abs().sum(dim=1)
    rest = nothing.rest.abs().sum(dim=1)
    weights = nothing.logit_probabilities
    assert nothing.rest_share == pytest.approx(
        float((weights * rest / (row + rest)).sum() / weights.sum()), rel=1e-5
    )


def test_damaged_files_are_refused_with_what_is_wrong(tmp_path, graph):
    path = graph.save(tmp_path / "graph.safetensors")
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def refused(match, changed=None, drop=(), meta=None):
        parts = {name: value for name, value in tensors.items() if name not in drop}
        save_file(parts | (changed or {}), tmp_path / "bad.safetensors", metadata=meta or header)
        with pytest.raises(cs.GraphFileError, match=match):
            cs.load_graph(tmp_path / "bad.safetensors")

    refused("lacks bias", drop=("bias",))
    refused("has surprise", changed={"surprise": torch.zeros(1)})
    n_pos = len(tensors["token_ids"])
    for name, value in {
        "activations": torch.zeros(3),
        "bias": torch.full_like(tensors["bias"], float("nan")),
        "features": tensors["features"].float(),
        "logit_probabilities": tensors["logit_probabilities"][None],
        "targets.positions": tensors["targets.positions"] + n_pos,
        "targets.directions": tensors["targets.directions"][:, 1:].clone(),
        "alternatives.effects": tensors["alternatives.effects"][:, 1:].clone(),
        "edges.row_counts": -tensors["edges.row_counts"],
        "edges.sources": tensors["edges.sources"].float(),
    }.items():
        refused(f"does not fit together: {name} ", changed={name: value})
    for column, word in enumerate(("layer", "position", "number")):
        wrong = tensors["features"].clone()
        wrong[-1, column] = -1
        refused(rf"features \({word}\) has a number outside", changed={"features": wrong})
    refused("does not fit together: 'targets.layers'", drop=("targets.layers",))
    texts = json.loads(header[FORMAT])
    for wrong in (texts["token_texts"][1:], "text", [1] * n_pos, None):
        refused("does not fit together", meta={FORMAT: json.dumps(texts | {"token_texts": wrong})})
    refused("outside 0 to", changed={"edges.sources": tensors["edges.sources"] + 10**6})
    edges = {name: tensors[name][1:] for name in ("edges.sources", "edges.weights")}
    refused("edges are counted", changed=edges)
    refused("must be .* as n_edges elsewhere", changed={"edges.weights": edges["edges.weights"]})
    refused("no graph of CircuitScope's", meta={"other": "{}"})
    refused("format version 99", meta={FORMAT: json.dumps({"version": 99})})
    (tmp_path / "bad.safetensors").write_bytes(b"not a file of tensors")
    with pytest.raises(cs.GraphFileError, match="cannot be read"):
        cs.load_graph(tmp_path / "bad.safetensors")
    with pytest.raises(cs.GraphFileError, match="cannot be read"):
        cs.load_graph(tmp_path / "missing.safetensors")


def test_a_graph_that_cannot_be_written_leaves_the_old_file(tmp_path, graph):
    path = graph.save(tmp_path / "graph.safetensors")
    before = path.read_bytes()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(cs.GraphFileError, match="cannot be written"):
        graph.save(tmp_path / "file" / "graph.safetensors")
    assert path.read_bytes() == before


def test_the_table_of_nodes_says_what_each_is(graph):
    table = graph.to_pandas()
    assert len(table) == graph.n_nodes
    assert table["kind"].value_counts().to_dict() == {
        "feature": graph.n_features,
        "error": graph.n_errors,
        "token": graph.n_pos,
        "logit": graph.n_logits,
    }
    first = graph.node(0)
    assert table.iloc[0][["layer", "position", "feature"]].tolist() == [
        first.layer,
        first.position,
        first.feature,
    ]
    assert table["activation"].notna().sum() == graph.n_features
    assert table["probability"].dropna().tolist() == graph.logit_probabilities.tolist()
    assert table["token"].tolist()[-1] == graph.token_texts[-1]


def test_values_are_shown_in_one_line(replacement, graph):
    trace = cs.trace(replacement, PROMPT)
    values = [graph, graph.edges(), trace, trace.circuit, trace.circuit.edges]
    values += [cs.run_prompt(replacement, PROMPT), trace.pruned, trace.supernodes]
    values += [cs.intervene(replacement, PROMPT, []), cs.intervene_many(replacement, PROMPT, [[]])]
    for value in values:
        text = repr(value)
        assert "\n" not in text
        assert len(text) < 200, type(value)
