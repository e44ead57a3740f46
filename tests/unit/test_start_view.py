"""A person's work on a graph in another viewer: pins, supernodes, labels, the selection."""

import json

import pytest

import circuitscope_core as cs
from circuitscope_core.graph_file import layout_graph_file, parse_graph_json
from tests.unit.graph_file_samples import change, small_graph


def saved(**more):
    """Return the small graph as circuit-tracer's Save button leaves it: texts of the address."""
    data = small_graph()
    for place, number in ((2, 15), (3, 34)):
        data["nodes"][place]["feature"] = number  # Cantor's number of layer and feature
    data["qParams"] = {
        "pinnedIds": "0_5_0,1_6_1,gone",
        "supernodes": '[["both","0_5_0","1_6_1"]]',
        "linkType": None,
        "clickedId": "1_6_1",
        "sg_pos": None,
        "pruningThreshold": "0.62",
        "clerps": '[["34","a name, “quoted”"],["99","of another graph"]]',
        **more,
    }
    return parse_graph_json(json.dumps(data, indent=2))


def test_what_circuit_tracers_save_button_writes_is_read():
    file = saved()
    assert file.pinned == ("0_5_0", "1_6_1")
    assert [(group.label, group.members) for group in file.groups] == [("both", (2, 3))]
    assert file.selected == "1_6_1"
    assert [node.label for node in file.nodes[2:4]] == ["first", "a name, “quoted”"]
    drawn = {node.id: node.label for node in layout_graph_file(file).full.nodes}
    assert drawn["1_6_1"] == "a name, “quoted”"


def test_a_view_that_was_saved_untouched_is_empty():
    names = ("pinnedIds", "supernodes", "linkType", "clickedId", "sg_pos", "clerps")
    file = saved(**dict.fromkeys(names))
    assert (file.pinned, file.groups, file.selected) == ((), (), "")
    assert file.nodes[3].label == ""
    empty = saved(pinnedIds="", supernodes="[]", clickedId="", clerps="[]")
    assert (empty.pinned, empty.groups, empty.selected) == ((), (), "")
    assert saved(clickedId="supernode-0").selected == ""
    assert saved(supernodes="null", clerps="null").groups == ()


def test_a_label_names_a_feature_of_the_file_and_no_other_node():
    by_place = saved(clerps=[["1_34_1", "Neuronpedia’s way"], ["15", ""], ["7", "an output’s"]])
    assert by_place.nodes[3].label == "Neuronpedia’s way"
    assert by_place.nodes[2].label == "first"
    assert by_place.nodes[5].label == small_graph()["nodes"][5]["clerp"]
    assert saved(clerps=[[15, "a number"]]).nodes[2].label == "a number"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("pinnedIds", 7, "pinnedIds is 7; it must be a list of node_ids, a text of them with"),
        ("pinnedIds", ["a", None], "pinnedIds is a list; it must be a list of node_ids"),
        ("supernodes", '[["both",', "supernodes is '[[\"both\",'; it must be a list of lists"),
        ("supernodes", '{"a": 1}', "it must be a list of lists"),
        ("supernodes", "[[]]", "it must be a list of lists"),
        ("supernodes", "[" * 100_000, "it must be a list of lists"),
        ("clerps", '[["34"]]', "it must be a list of pairs, each the name of a feature"),
        ("clerps", {"34": "a"}, "clerps is an object; it must be a list of pairs"),
    ],
)
def test_what_is_truly_wrong_is_still_refused(name, value, said):
    with pytest.raises(cs.GraphFileError) as caught:
        parse_graph_json(json.dumps(change(["qParams", name], value)))
    assert said in str(caught.value)
