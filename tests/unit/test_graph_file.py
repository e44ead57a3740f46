"""Graphs that come as files: what is read, what is refused, and why."""

import json
import math

import pytest

import circuitscope_core as cs
from circuitscope_core.graph_file import layout_graph_file, parse_graph_json, read_graph_file
from circuitscope_core.graph_file import parse as parse_module
from circuitscope_core.graph_file.problems import MOST_NAMED
from tests.unit.graph_file_samples import REMOVED, change, small_graph


def refusal(data):
    with pytest.raises(cs.GraphFileError) as caught:
        parse_graph_json(data if isinstance(data, str | bytes) else json.dumps(data))
    return str(caught.value)


# --- what is accepted -------------------------------------------------------------------------


def test_a_small_file_is_read_with_everything_in_it():
    file = parse_graph_json(json.dumps(small_graph()))
    assert file.summary() == {
        "prompt": "ab",
        "generator": "",
        "tokens": 2,
        "layers": 2,
        "nodes": {"feature": 2, "error": 1, "token": 2, "logit": 2},
        "links": 6,
        "supernodes": 1,
        "pinned": 1,
    }
    assert [item.node.layer for item in file.nodes] == [-1, -1, 0, 1, 0, 2, 2]
    assert file.groups[0].members == (2, 3)
    assert [item.node.feature for item in file.nodes][2:] == [5, 6, -1, 7, 8]


def test_influence_shares_and_paths_are_those_worked_out_by_hand():
    view = layout_graph_file(parse_graph_json(json.dumps(small_graph())))
    nodes = {node.id: node for node in view.full.nodes}
    # output 7 takes 1/4 from the feature and 3/4 from the token, output 8 all from the token
    expected = {
        "E_2_1": 0.5 * 3 / 4 + 0.25,
        "1_6_1": 0.5 / 4,
        "0_5_0": 0.5 / 4 * 3 / 4,
        "0_-1_1": 0.5 / 4 / 4,
        "E_1_0": 0.5 / 4 * 3 / 4,
        "3_7_1": 0.0,
    }
    for name, influence in expected.items():
        assert nodes[name].influence == pytest.approx(influence), name
    shares = {
        (view.full.nodes[edge.source].id, view.full.nodes[edge.target].id): edge.share
        for edge in view.full.edges
    }
    assert shares["0_5_0", "1_6_1"] == pytest.approx(3 / 4)
    assert shares["0_-1_1", "1_6_1"] == pytest.approx(-1 / 4)
    assert shares["E_2_1", "3_7_1"] == pytest.approx(-3 / 4)
    assert nodes["1_6_1"].error_share == pytest.approx(1 / 4)
    assert [path.nodes for path in view.paths] == [
        ("E_2_1", "3_7_1"),
        ("E_2_1", "3_8_1"),
        ("E_1_0", "0_5_0", "1_6_1", "3_7_1"),
    ]
    assert view.paths[0].text == "“b” (token 1) ─(−75%)→ output “␣so”"
    facts = {fact.name: fact.value for fact in view.facts}
    assert facts["Output"] == "“␣so” 50.0%"
    assert facts["Influence"] == "80% of the whole graph’s"


def test_labels_come_from_the_file_and_else_from_the_number():
    view = layout_graph_file(parse_graph_json(json.dumps(small_graph())))
    labels = {node.id: node.label for node in view.full.nodes}
    assert labels["0_5_0"] == "first"
    assert labels["1_6_1"] == "feature 6"
    assert labels["0_-1_1"] == "error at “b”"
    assert labels["3_7_1"] == "“␣so”"
    assert [row.label for row in view.full.rows] == ["Output", "L1", "L0", "Token"]
    assert [column.label for column in view.full.columns] == ["a", "b"]


def test_a_group_of_the_file_is_normalised_by_what_reaches_it_from_outside():
    view = layout_graph_file(parse_graph_json(json.dumps(small_graph())))
    tiles = view.groups.nodes
    group = next(node for node in tiles if node.kind == "group")
    assert (group.label, group.members) == ("both", ("0_5_0", "1_6_1"))
    into = {
        tiles[edge.source].id: (edge.weight, edge.share)
        for edge in view.groups.edges
        if tiles[edge.target] is group
    }
    # from outside come 2 and -1; the 3 from member to member counts for nothing
    assert into["E_1_0"] == pytest.approx((2.0, 2 / 3))
    assert into["0_-1_1"] == pytest.approx((-1.0, -1 / 3))
    assert len(into) == 2


def test_a_node_may_be_called_like_a_group():
    data = json.loads(json.dumps(small_graph()).replace("E_1_0", "group_0"))
    view = layout_graph_file(parse_graph_json(json.dumps(data)))
    ids = [node.id for node in view.groups.nodes]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("version", [REMOVED, None, 1, 1.0])
def test_version_1_may_be_written_left_out_or_null(version):
    data = small_graph()
    if version is not REMOVED:
        data["metadata"]["schema_version"] = version
    assert len(parse_graph_json(json.dumps(data)).nodes) == 7


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["qParams"], REMOVED),
        (["qParams"], None),
        (["qParams", "supernodes"], REMOVED),
        (["metadata", "prompt"], REMOVED),
        (["nodes", 3, "clerp"], None),
        (["nodes", 3, "layer"], 1),
        (["nodes", 3, "feature"], None),
        (["nodes", 5, "layer"], "2"),
        (["nodes", 5, "token_prob"], REMOVED),
        (["links"], []),
    ],
)
def test_what_other_programs_leave_out_or_write_otherwise_is_taken(path, value):
    file = parse_graph_json(json.dumps(change(path, value)))
    view = layout_graph_file(file)
    assert len(view.full.nodes) == 7
    assert view.prompt == "ab"
    assert len(view.full.rows) == 4


def test_bytes_with_a_mark_at_their_beginning_are_read():
    assert parse_graph_json(b"\xef\xbb\xbf" + json.dumps(small_graph()).encode()).prompt == "ab"


def test_what_the_start_view_names_and_is_not_there_is_left_out():
    data = small_graph()
    data["qParams"] = {
        "pinnedIds": ["gone", "0_5_0", "0_5_0"],
        "supernodes": [["one", "0_5_0", "gone"], ["two", "1_6_1", "0_5_0", "E_1_0"]],
    }
    file = parse_graph_json(json.dumps(data))
    assert file.pinned == ("0_5_0",)
    # a node belongs to the first group that names it, and one node is no group
    assert [(group.label, group.members) for group in file.groups] == [("two", (0, 3))]


def test_outputs_without_probabilities_are_not_made_up():
    data = small_graph()
    for place in (5, 6):
        del data["nodes"][place]["token_prob"]
    view = layout_graph_file(parse_graph_json(json.dumps(data)))
    assert {node.influence for node in view.full.nodes} == {0.0}
    assert view.paths == ()
    assert {fact.name: fact.value for fact in view.facts}["Influence"] == "unknown"


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe{\x00", "no UTF-8 text: byte 0 is 0xff. Save it as UTF-8"),
        (b"\x1f\x8b\x08", "byte 1 is 0x8b"),
        ("", "no JSON: Expecting value in line 1, column 1"),
        ('{"nodes": [}', "no JSON: Expecting value in line 1, column 12"),
        ("[]", "holds a list; it must hold an object with metadata, nodes and links"),
        ("null", "holds null"),
        ("[" * 100_000, "nests lists or objects too deeply"),
        ('{"a":' * 100_000, "nests lists or objects too deeply"),
        ("9" * 5_000, "a number that cannot be read"),
    ],
)
def test_what_is_no_json_object_is_refused(data, said):
    assert said in refusal(data)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(parse_module, "MAX_BYTES", 3 * 1024**2)
    path = tmp_path / "large.json"
    path.write_bytes(b" " * (5 * 1024**2))
    for read in (lambda: read_graph_file(path), lambda: parse_graph_json(path.read_bytes())):
        with pytest.raises(cs.GraphFileError, match="has 5 MB; at most 3 MB can be opened"):
            read()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(cs.GraphFileError, match=r"none\.json cannot be read: No such file"):
        read_graph_file(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["metadata", "nodes", "links"])
def test_a_missing_part_is_named(name):
    rule = "an object" if name == "metadata" else "a list"
    assert f"{name} is missing; it must be {rule}" in refusal(change([name], REMOVED))
    assert f"{name} is 5; it must be {rule}" in refusal(change([name], 5))


def test_all_missing_parts_are_named_together():
    said = refusal("{}")
    assert "3 things are wrong" in said
    assert all(name in said for name in ("metadata", "nodes", "links"))


@pytest.mark.parametrize(
    ("version", "shown"), [(2, "2"), ("1", "'1'"), (True, "true"), ([], "a list")]
)
def test_another_version_is_refused_and_nothing_else_said(version, shown):
    data = change(["metadata", "schema_version"], version)
    data["nodes"] = []
    assert refusal(data) == (
        f"The graph file has the schema version {shown}; only version 1 can be opened. Export it "
        "again in that version."
    )


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["metadata", "prompt_tokens"], REMOVED, "metadata: prompt_tokens is missing"),
        (["metadata", "prompt_tokens"], [], "prompt_tokens is a list; it must be a list of"),
        (["metadata", "prompt_tokens"], ["a", 5], "a list of the prompt's tokens as texts"),
        (["nodes"], [], "nodes is empty; a graph needs at least an output node"),
        (["nodes", 0], 5, "nodes[0]: the node is 5; it must be an object with node_id"),
        (["nodes", 2, "node_id"], REMOVED, "nodes[2]: node_id is missing"),
        (["nodes", 2, "node_id"], "", "nodes[2]: node_id is ''"),
        (["nodes", 2, "node_id"], ["x"], "nodes[2]: node_id is a list"),
        (["nodes", 3, "node_id"], "0_5_0", "nodes[3] ('0_5_0'): nodes[2] has the same node_id"),
        (
            ["nodes", 2, "feature_type"],
            "lorsa",
            "feature_type is 'lorsa'; it must be one of 'cross",
        ),
        (["nodes", 2, "feature_type"], ["x"], "feature_type is a list"),
        (["nodes", 2, "layer"], "x", "nodes[2] ('0_5_0'): layer is 'x'; it must be a whole number"),
        (["nodes", 2, "layer"], "E", "layer is 'E'; it must be a whole number"),
        (["nodes", 2, "layer"], "-1", "layer is '-1'"),
        (["nodes", 2, "layer"], 1.5, "layer is 1.5"),
        (["nodes", 2, "layer"], True, "layer is true"),
        (["nodes", 2, "layer"], "٣", "layer is '٣'"),
        (["nodes", 2, "layer"], 10**400, "layer is a number of 401 digits"),
        (["nodes", 2, "layer"], "9" * 100, "it must be a whole number from 0 to 511"),
        (["nodes", 0, "layer"], "0", "layer is '0'; it must be 'E' where feature_type is 'embed"),
        (["nodes", 2, "ctx_idx"], 2, "ctx_idx is 2; it must be a whole number from 0 to 1"),
        (["nodes", 2, "ctx_idx"], -1, "ctx_idx is -1"),
        (["nodes", 2, "ctx_idx"], 0.5, "ctx_idx is 0.5"),
        (["nodes", 2, "ctx_idx"], "0", "ctx_idx is '0'"),
        (["nodes", 2, "ctx_idx"], REMOVED, "ctx_idx is missing"),
        (["nodes", 2, "clerp"], 5, "clerp is 5; it must be a text, or null"),
        (["nodes", 2, "activation"], math.nan, "activation is NaN"),
        (["nodes", 2, "influence"], "x", "influence is 'x'"),
        (["nodes", 5, "token_prob"], 1.5, "token_prob is 1.5; it must be a probability"),
        (["links", 0], "x", "links[0]: the link is 'x'; it must be an object"),
        (["links", 0, "source"], REMOVED, "links[0]: source is missing"),
        (["links", 0, "target"], ["x"], "links[0]: target is a list"),
        (
            ["links", 0, "weight"],
            REMOVED,
            "links[0]: weight is missing; it must be a finite number",
        ),
        (["links", 0, "weight"], math.nan, "links[0]: weight is NaN; it must be a finite number"),
        (["links", 0, "weight"], -math.inf, "links[0]: weight is infinite"),
        (["links", 0, "weight"], "2", "links[0]: weight is '2'"),
        (["links", 0, "weight"], True, "links[0]: weight is true"),
        (["links", 0, "weight"], 10**400, "links[0]: weight is a number of 401 digits"),
        (
            ["links", 0, "weight"],
            1e31,
            "links[0]: weight is 1e+31; it must be from -1e+30 to 1e+30",
        ),
        (
            ["links", 1, "target"],
            "E_1_0",
            "links[1] leads from '0_5_0' (layer 0) to 'E_1_0' (a tok",
        ),
        (
            ["links", 1, "target"],
            "0_5_0",
            "'0_5_0' (layer 0) to '0_5_0' (layer 0); effects only go",
        ),
        (["links", 1, "source"], "3_8_1", "from '3_8_1' (an output) to '1_6_1' (layer 1)"),
        (["links", 1, "source"], "0_-1_1", "links[2]: links[1] joins the same nodes, '0_-1_1' and"),
        (["links", 1, "source"], "gone", "1 link leads to or from a node that is not in the file"),
        (["qParams"], [], "qParams is a list; it must be an object"),
        (
            ["qParams", "pinnedIds"],
            {"a": 1},
            "pinnedIds is an object; it must be a list of node_ids",
        ),
        (["qParams", "supernodes"], [[]], "supernodes is a list; it must be a list of lists"),
        (["qParams", "supernodes"], [["a", 1]], "supernodes is a list; it must be a list of lists"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_what_to_do(path, value, said):
    assert said in refusal(change(path, value))


def test_a_weight_beyond_all_numbers_is_refused():
    text = json.dumps(small_graph()).replace('"weight": 2.0', '"weight": 1e999')
    assert "links[0]: weight is infinite; it must be a finite number" in refusal(text)


def test_a_graph_without_an_output_is_refused():
    data = small_graph()
    data["nodes"] = data["nodes"][:5]
    data["links"] = data["links"][:3]
    assert "There is no output node. Add a node with the feature_type 'logit'" in refusal(data)


def test_dangling_links_are_counted_and_the_first_is_named():
    data = small_graph()
    for place in (1, 3, 4):
        data["links"][place]["source"] = f"gone_{place}"
    assert (
        "3 links lead to or from a node that is not in the file; the first is links[1]: there is "
        "no node 'gone_1'. Add the nodes, or leave the links out."
    ) in refusal(data)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("MAX_NODES", "There are 7 nodes; at most 1 can be drawn"),
        ("MAX_LINKS", "There are 6 links; at most 1 can be drawn"),
        ("MAX_TOKENS", "prompt_tokens has 2 tokens; at most 1 can be drawn"),
    ],
)
def test_more_than_can_be_drawn_is_refused(monkeypatch, limit, said):
    monkeypatch.setattr(parse_module, limit, 1)
    assert said in refusal(small_graph())


def test_the_first_ten_reasons_are_given_and_the_rest_counted():
    data = small_graph()
    extra = [dict(data["links"][0], weight=math.nan, target=name) for name in ("1_6_1", "3_7_1")]
    data["links"] += extra * 8
    lines = refusal(data).split("\n")
    # 16 weights are wrong, and all but the first two of these links repeat another
    assert lines[0] == "The graph file cannot be opened; 30 things are wrong:"
    assert len(lines) == 1 + MOST_NAMED + 1
    assert lines[-1] == "- and 20 more."
    assert all(line.startswith("- links[") for line in lines[1:-1])


def test_what_fills_the_file_does_not_hide_what_happens_once():
    data = small_graph()
    for link in data["links"]:
        link["weight"] = None
    data["links"] += [{"source": "E_2_1", "target": "gone", "weight": 1}]
    data["links"] += [{"source": f"gone{i}", "target": "3_7_1", "weight": None} for i in range(20)]
    data["links"] += [{"source": "0_5_0", "target": "3_7_1", "weight": math.nan}] * 1
    data["nodes"] += [dict(data["nodes"][2], node_id=f"0_{i}_1", ctx_idx=9) for i in range(9, 20)]
    said = refusal(data)
    assert "21 links lead to or from a node" in said
    assert "weight is null" in said
    assert "ctx_idx is 9" in said


def test_hidden_letters_in_a_value_are_written_out():
    said = refusal(change(["nodes", 2, "layer"], "\u202e\x00\ud800"))
    assert "'\\u202e\\x00\\ud800'" in said
    said.encode()


def test_a_long_value_is_shortened():
    said = refusal(change(["nodes", 2, "layer"], "x" * 100_000))
    assert len(said) < 300
