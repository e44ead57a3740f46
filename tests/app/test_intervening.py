"""The Graph page's bench of interventions, without a browser."""

from pathlib import Path

from pages.ui.shared.address import address_of, read_address
from pages.ui.shared.state import State, Step
from tests.app.opening import open_page
from tests.demo import demo_trace, kept_features, word_node
from tests.unit.test_state import pack

ROOT = Path(__file__).parents[2]
FEATURE, OTHER = kept_features(2)


def open_graph(**state):
    return open_page("graph", **address_of(State(model="demo", tab="intervene", **state)))


def lines(at):
    return [item.value for item in at.text]


def frame(at, column):
    return next(item.value for item in at.dataframe if column in item.value)


def outputs_of(at):
    """The table of all changes, not the one of the selected node's own check."""
    tables = [item.value for item in at.dataframe if "probability_after" in item.value]
    return tables[0]


def test_where_nothing_is_selected_the_storys_node_can_be_changed():
    assert any(line.startswith("Selected: ") for line in lines(open_graph()))


def test_an_output_cannot_be_changed():
    output = next(name for name in demo_trace().circuit.ids if name.startswith("4_"))
    at = open_graph(selected=output)
    assert (
        f"Selected: {demo_trace().circuit.names[demo_trace().circuit.rows[output]]}"
        not in lines(at)
    )


def test_a_feature_is_switched_off_and_brought_back():
    at = open_graph(selected=FEATURE)
    at.button(key="graph_apply").click().run()
    assert any(line.endswith("switched off") for line in lines(at))
    outputs = outputs_of(at)
    assert outputs["token"][0] == "D"
    assert outputs["probability_before"][0] > 0.99
    assert outputs["probability_after"][0] != outputs["probability_before"][0]
    changes = frame(at, "where")
    assert changes["measured"].abs().is_monotonic_decreasing
    assert (changes.loc[changes["measured"] == -1, "predicted"] == -1).all()
    assert any("▸" in item.value for item in at.code)
    at.button(key="graph_undo_step").click().run()
    assert not any(line.endswith("switched off") for line in lines(at))


def test_two_changes_stand_together_and_one_of_the_same_node_replaces_it():
    at = open_graph(selected=OTHER, steps=(Step((FEATURE,), "ablate"),))
    at.button(key="graph_apply").click().run()
    at.segmented_control(key="graph_how").set_value("scale").run()
    at.button(key="graph_apply").click().run()
    (told,) = [line for line in lines(at) if "switched off" in line]
    first, second = told.split("\n")
    assert first.endswith("switched off")
    assert second.endswith("times 2")
    at.button(key="graph_clear_steps").click().run()
    assert not any("times 2" in line for line in lines(at))


def test_with_nothing_else_reacting_the_graph_is_exact():
    at = open_graph(selected=FEATURE, steps=(Step((FEATURE,), "ablate"),), mode="direct")
    outputs = outputs_of(at).dropna()
    assert len(outputs)
    assert (outputs["predicted"] - outputs["measured"]).abs().max() < 1e-3
    at.segmented_control(key="graph_mode").set_value("iterative").run()
    assert "predicted" not in outputs_of(at)


def test_changes_are_in_the_address_and_come_back_from_it():
    state = State(
        model="demo", steps=(Step(("a", "b"), "scale", -1.5), Step(("c",), "ablate")), mode="direct"
    )
    again, dropped = read_address(address_of(state))
    assert (again.steps, again.mode, dropped) == (state.steps, "direct", ())


def test_changes_that_make_no_sense_are_left_out():
    for row in (["melt", 1, "a"], ["scale", "nan", "a"], ["scale", 1], ["scale", 1, 5], "x"):
        state, dropped = read_address({"subgraph": pack({"steps": [row]}), "prompt": "x"})
        assert (state.steps, dropped) == ((), ("subgraph",))


def test_a_change_of_a_node_that_is_not_there_is_passed_over():
    at = open_graph(selected=FEATURE, steps=(Step(("9_9_9",), "ablate"),))
    assert not any("switched off" in line for line in lines(at))


def test_what_cannot_be_done_is_said():
    at = open_graph(selected=word_node(), steps=(Step((word_node(),), "set", 1.0),))
    assert "a token, which cannot be set" in at.error[0].value
