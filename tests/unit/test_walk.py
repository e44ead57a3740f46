"""Walk-throughs: as text in an address, and as a page that needs no server."""

import json
import re

import pytest

import circuitscope_core as cs
from circuitscope_core.export import Opening, WalkStep, render_walk
from circuitscope_core.view import layout_graph
from pages.ui.shared.address import address_of, read_address
from pages.ui.shared.packing import pack
from pages.ui.shared.state import State
from pages.ui.shared.walk import MOST_STEPS, Stage, read_walk, write_walk
from tests.demo import bundle, demo_trace

STAGES = (
    Stage("The graph of “a”", (("model", "demo"), ("prompt", "a"))),
    Stage("Select <b>", (("model", "demo"), ("node", "0_1_2"), ("prompt", "a"))),
)


def test_a_walk_survives_its_text_and_the_address():
    text = write_walk(STAGES)
    assert read_walk(text) == STAGES
    state = State(model="demo", walk=text, walk_step=1)
    assert read_address(address_of(state)) == (state, ())


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        [["a"]],
        [["a", 3]],
        [[3, {}]],
        [["a", {"node": 3}]],
        [["a", {}]] * (MOST_STEPS + 1),
    ],
)
def test_a_broken_walk_is_left_out_and_named(data):
    text = pack(data)
    assert read_walk(text) is None
    assert read_address({"walk": text})[1] == ("walk",)


def test_a_walk_within_a_walk_is_dropped():
    stage = Stage("x", (("prompt", "a"), ("step", "3"), ("walk", "1.x")))
    assert read_walk(write_walk((stage,))) == (Stage("x", (("prompt", "a"),)),)


def test_a_page_of_a_walk_holds_each_graph_once_and_every_step():
    trace = demo_trace()
    view = layout_graph(trace, bundle().tokenizer, trace.cards)
    other = layout_graph(trace, bundle().tokenizer)
    node = trace.circuit.ids[0]
    steps = [
        WalkStep("First </script>", view, Opening()),
        WalkStep("Second", view, Opening(selected=node), {node: (-1.0, -0.5)}),
        WalkStep("Third", other, Opening(pinned=(node,))),
    ]
    page = render_walk(steps)
    found = json.loads(re.search(r'id="graph-walk">([^<]*)</script>', page).group(1))
    assert [step["view"] for step in found["steps"]] == [0, 0, 1]
    assert found["graphs"] == [other.to_text()]
    assert found["steps"][0]["caption"] == "First </script>"
    assert found["steps"][1]["changes"] == {node: [-1.0, -0.5]}
    assert "First </script>" not in page


def test_a_walk_without_a_step_is_refused():
    with pytest.raises(cs.CircuitScopeError, match="at least one step"):
        render_walk([])
