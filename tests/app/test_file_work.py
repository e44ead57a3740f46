"""Work on an opened graph file: thresholds, supernodes, labels, cards, and going back."""

import json
from dataclasses import replace

import pytest

import circuitscope_core as cs
from circuitscope_core.export import graph_to_json, write_viewer_folder
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file import parse_graph_json
from circuitscope_core.pruning import prune_graph
from pages.ui.graph.file_tools import find_cards, join_pinned
from pages.ui.graph.open_file import MOST_RECENT, Recent, read_upload, remember
from pages.ui.graph.opened_graph import (
    apply_events,
    describe_groups,
    describe_scores,
    first_work,
    groups_shown,
    json_of_file,
    label_selected,
    page_of_file,
    show_file,
)
from tests.app.opening import open_page
from tests.app.test_graph_file import upload
from tests.unit.graph_file_samples import small_graph
from tests.unit.graph_samples import TOKENIZER, sample_cards, sample_graph


@pytest.fixture(scope="module")
def opened():
    data = json.dumps(graph_to_json(prune_graph(sample_graph()))).encode()
    return read_upload("one.json", data)


@pytest.fixture(scope="module")
def work(opened):
    return first_work(opened, 3)


def features_of(shown):
    circuit = shown.circuit
    return [circuit.ids[row] for row in circuit.rows_of(NodeKind.FEATURE).tolist()]


# --- as values --------------------------------------------------------------------------------


def test_the_file_opens_as_it_says(opened, work):
    assert work.state.pinned == opened.file.pinned
    assert work.state.selected == ""  # the strongest paths are beside the graph
    untouched = parse_graph_json(json_of_file(opened, work, show_file(opened, work)))
    assert untouched.selected == opened.file.selected != ""
    assert show_file(opened, work).view.full.nodes
    assert not work.cards


def test_thresholds_and_suggestions_change_the_picture_and_not_the_file(opened, work):
    whole = show_file(opened, work)
    part = show_file(opened, work.change(node_threshold=0.8, edge_threshold=0.9))
    assert len(part.circuit) < len(whole.circuit) == len(opened.file.nodes)
    grouped = show_file(opened, work.look_at("groups", similarity=0.2))
    assert groups_shown(grouped)
    assert not groups_shown(whole)


def test_what_a_person_made_is_in_the_json_and_the_page(opened, work):
    shown = show_file(opened, work)
    one, two, three = features_of(shown)[:3]
    pinned = replace(work, state=replace(work.state, pinned=(one, two)))
    grouped = join_pinned(pinned, shown, "pair")
    assert grouped.opening.view == "groups"
    assert grouped.opening.serial > pinned.opening.serial  # so that the canvas follows
    named = label_selected(
        replace(grouped, state=replace(grouped.state, selected=three)), shown, "x"
    )
    thinner = named.change(node_threshold=0.95)
    again = show_file(opened, thinner)
    file = parse_graph_json(json_of_file(opened, thinner, again))
    kept = [name for name in (one, two) if name in again.circuit.rows]
    assert list(file.pinned) == kept
    assert len(file.nodes) == len(again.circuit) < len(opened.file.nodes)
    labels = {node.id: node.label for node in file.nodes}
    assert labels.get(three, "x") == "x"
    whole = parse_graph_json(json_of_file(opened, named, show_file(opened, named)))
    assert [group.label for group in whole.groups] == ["pair"]
    assert {node.id: node.label for node in whole.nodes}[three] == "x"
    assert whole.selected == three
    assert "pair" in page_of_file(named, show_file(opened, named))


def test_supernodes_of_a_persons_own_can_be_undone(opened, work):
    shown = show_file(opened, work)
    pinned = replace(work, state=replace(work.state, pinned=tuple(features_of(shown)[:2])))
    grouped = join_pinned(pinned, shown, "pair")
    assert len(groups_shown(show_file(opened, grouped))) == 1
    back = grouped.undo()
    assert back.state.groups is None
    assert groups_shown(show_file(opened, back)) == groups_shown(shown)
    assert back.undo() == back


def test_events_of_the_canvas_pin_select_group_and_name(opened, work):
    shown = show_file(opened, work)
    one, two = features_of(shown)[:2]
    node = shown.circuit.node(shown.circuit.rows[one])
    quiet = apply_events(
        work,
        shown,
        (
            {"event": "pin", "pinned": [one], "nonce": "a"},
            {"event": "select", "id": two, "nonce": "b"},
        ),
    )
    assert (quiet.state.pinned, quiet.state.selected) == ((one,), two)
    assert quiet.opening == work.opening  # a click must not send the graph again
    loud = apply_events(
        quiet,
        shown,
        (
            {"event": "group", "members": [one, two], "label": "both", "nonce": "c"},
            {
                "event": "label",
                "layer": node.layer,
                "feature": node.feature,
                "label": "mine",
                "nonce": "d",
            },
        ),
    )
    assert loud.opening.pinned == (one,)
    after = show_file(opened, loud)
    assert [group.label for group in groups_shown(after)] == ["both"]
    assert after.circuit.labels[after.circuit.rows[one]] == "mine"


def test_groups_of_one_message_are_undone_one_by_one(opened, work):
    shown = show_file(opened, work)
    one, two, three = features_of(shown)[:3]
    events = (
        {"event": "group", "members": [one, two], "label": "both", "nonce": "a"},
        {"event": "group", "members": [one, two, three], "label": "all", "nonce": "b"},
        {"event": "undo", "nonce": "c"},
    )
    after = apply_events(work, shown, events)
    assert [group.label for group in after.state.groups] == ["both"]
    assert after.state.seen == "c"
    assert after.undo().state.groups is None


def test_scores_say_what_they_are_of_and_thresholds_do_not_raise_them(opened, work):
    shown = show_file(opened, work)
    said = describe_scores(opened, work, shown)
    assert "no scores of the whole graph" in said
    thinner = work.change(node_threshold=0.5)
    assert describe_scores(opened, thinner, show_file(opened, thinner)) == said
    some = replace(work, state=replace(work.state, pinned=tuple(features_of(shown)[:2])))
    assert "With pinned features alone (2)" in describe_scores(opened, some, shown)
    data = small_graph()
    for place in (5, 6):
        del data["nodes"][place]["token_prob"]
    unknown = read_upload("x.json", json.dumps(data).encode())
    first = first_work(unknown, 1)
    assert "no probabilities" in describe_scores(unknown, first, show_file(unknown, first))


def test_supernodes_are_counted_with_whose_they_are(opened, work):
    suggested = work.look_at("groups", similarity=0.2)
    said = describe_groups(suggested, show_file(opened, suggested))
    assert "suggested at a similarity of 0.20." in said
    assert describe_groups(work, show_file(opened, work)) == ""
    none = work.look_at("groups", similarity=1.0)
    assert describe_groups(none, show_file(opened, none)).startswith("No supernodes suggested")
    file = read_upload("x.json", json.dumps(small_graph()).encode())
    first = first_work(file, 1)
    assert describe_groups(first, show_file(file, first)) == "1 supernode of the file."


# --- cards ------------------------------------------------------------------------------------


def test_cards_come_from_a_viewers_folder(tmp_path):
    pruned = prune_graph(sample_graph())
    parts = {"cards": sample_cards(), "tokenizer": TOKENIZER}
    graph = write_viewer_folder(tmp_path, pruned, **parts)
    opened = read_upload("v.json", (tmp_path / f"{graph.slug}.json").read_bytes())
    for folder in (tmp_path, tmp_path / "features", tmp_path / "features" / "circuitscope"):
        cards = find_cards(opened, str(folder), "")
        view = show_file(opened, first_work(opened, 1).change(cards=cards)).view
        wanted = {f"{node.layer}/{node.feature}" for node in nodes_of(opened)}
        assert set(view.cards) == wanted
        assert all(card.examples for card in view.cards.values())


def nodes_of(opened):
    circuit = opened.circuit
    return [circuit.node(row) for row in circuit.rows_of(NodeKind.FEATURE).tolist()]


def test_cards_that_do_not_fit_are_refused(opened, tmp_path):
    with pytest.raises(cs.BundleError, match="no feature cards"):
        find_cards(opened, str(tmp_path), "")
    (tmp_path / "999999999999.json").write_text("{}")
    with pytest.raises(cs.BundleError, match="none of the"):
        find_cards(opened, str(tmp_path), "")
    with pytest.raises(cs.ConfigError, match="holds the character NUL"):
        find_cards(opened, "a\x00b", "")
    for name in ("x" * 5_000, "~nobody-of-that-name/x"):
        with pytest.raises(cs.BundleError, match=r"cannot be looked into|has no feature cards"):
            find_cards(opened, name, "")
    with pytest.raises(cs.BundleError, match="Name a folder or choose a model"):
        find_cards(opened, "", "")
    high = small_graph()
    high["nodes"][3] = {**high["nodes"][3], "node_id": "99_6_1", "layer": "99"}
    high["links"] = []
    strange = read_upload("x.json", json.dumps(high).encode())
    with pytest.raises(cs.GraphFileError, match=r"has the feature '99_6_1'; this model's"):
        find_cards(strange, "", "demo")


def test_a_scan_is_never_a_path_outside_of_the_folder(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "15.json").write_text("{}")
    for scan in ("../secret", "./data/features/..", "..", "/etc", ".hidden", "a\x00b"):
        data = small_graph()
        data["metadata"]["scan"] = scan
        opened = read_upload("x.json", json.dumps(data).encode())
        (tmp_path / "inner").mkdir(exist_ok=True)
        with pytest.raises(cs.BundleError, match="has no feature cards"):
            find_cards(opened, str(tmp_path / "inner"), "")


# --- going back -------------------------------------------------------------------------------


def test_what_was_opened_is_kept_within_bounds(monkeypatch):
    files = [Recent(f"{n}.json", b"x" * 10) for n in range(12)]
    kept = ()
    for item in files:
        kept = remember(kept, item)
    assert kept == tuple(reversed(files[-MOST_RECENT:]))
    assert remember(kept, kept[3])[0] == kept[3]
    assert len(remember(kept, kept[3])) == len(kept)
    monkeypatch.setattr("pages.ui.graph.open_file.MOST_RECENT_BYTES", 35)
    assert len(remember(kept, files[0])) == 3
    assert remember((), Recent("large.json", b"x" * 40)) == ()


# --- on the page ------------------------------------------------------------------------------


def test_the_page_prunes_groups_names_and_goes_back():
    data = json.dumps(graph_to_json(prune_graph(sample_graph()))).encode()
    at = upload(open_page("graph"), data, "one.json")
    assert not at.exception
    number = at.session_state["circuitscope_file"].n_accepted
    at.slider(key=f"graph_file_node_threshold_{number}").set_value(0.8).run()
    assert not at.exception
    shown = at.session_state["circuitscope_file_shown"][1]
    assert len(shown.circuit) < len(at.session_state["circuitscope_file"].opened.file.nodes)
    at.toggle(key=f"graph_file_suggest_{number}").set_value(True).run()
    at.slider(key=f"graph_file_similarity_{number}").set_value(0.1).run()
    assert not at.exception
    assert at.session_state["circuitscope_file_shown"][1].supernodes.merged
    upload(at, small_graph(), "two.json")
    assert "From a file: two.json" in at.text[0].value
    recent = [b for b in at.button if str(b.key).startswith("graph_file_recent_opened")]
    assert len(recent) == 2
    recent[1].click().run()
    assert not at.exception
    assert "From a file: one.json" in at.text[0].value
    work = at.session_state["circuitscope_file"].work
    first = features_of(show_file(at.session_state["circuitscope_file"].opened, work))[0]
    at.session_state["circuitscope_file"] = replace(
        at.session_state["circuitscope_file"],
        work=replace(work, state=replace(work.state, selected=first)),
    )
    at.run()
    at.text_input(key=f"graph_file_label_{work.number}_{first}").set_value("mine").run()
    assert not at.exception
    assert (first, "mine") in at.session_state["circuitscope_file"].work.labels
