"""A person's notes about a model: kept, changed, and read with suspicion."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from circuitscope_core import NotesError
from circuitscope_core.notes import Notes, load_notes, parse_notes, update_notes

HOSTILE = "</script>\u202e\U0001f600\x00 \ud800"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "notes" / "demo.json"


def test_there_are_no_notes_before_the_first(path):
    assert load_notes(path) == Notes()


def test_what_is_written_is_read_again(path):
    update_notes(path, lambda notes: notes.label(2, 39, f"  say\n{HOSTILE}"))
    kept = update_notes(path, lambda notes: notes.keep_view("mine", {"prompt": HOSTILE}))
    assert load_notes(path) == kept
    assert kept.labels[2, 39].startswith("say </script>")
    assert kept.views == {"mine": {"prompt": HOSTILE}}
    assert [file.name for file in path.parent.iterdir() if not file.name.startswith(".")] == [
        "demo.json"
    ]


def test_notes_on_another_model_of_the_name_are_kept_beside_the_new_ones(path):
    update_notes(path, lambda notes: notes.label(0, 1, "unknown model"))
    old = update_notes(path, lambda notes: notes.label(0, 2, "first model"), "a" * 64)
    assert old.labels == {(0, 1): "unknown model", (0, 2): "first model"}
    assert load_notes(path).are_about("a" * 64)
    assert not load_notes(path).are_about("b" * 64)
    new = update_notes(path, lambda notes: notes.label(0, 3, "second model"), "b" * 64)
    assert load_notes(path) == new
    assert new.labels == {(0, 3): "second model"}
    assert load_notes(path.with_name(f"demo.{'a' * 12}.json")) == old
    assert load_notes(path, "a" * 64) == old
    assert load_notes(path, "c" * 64) == Notes()
    back = update_notes(path, lambda notes: notes.drop_view("x"), "a" * 64)
    assert load_notes(path) == back == old
    assert load_notes(path, "b" * 64) == new


def test_an_empty_label_and_a_dropped_view_go_away():
    notes = Notes().label(0, 1, "a").label(0, 2, "b").keep_view("x", {}).keep_view("y", {})
    assert notes.label(0, 1, " ").labels == {(0, 2): "b"}
    assert list(notes.drop_view("x").views) == ["y"]
    assert notes.drop_view("no such") == notes


def test_a_view_needs_a_name():
    with pytest.raises(NotesError, match="has no name"):
        Notes().keep_view(" \n", {})


def test_a_view_keeps_its_name():
    notes = Notes().keep_view("x", {"prompt": "a"})
    with pytest.raises(NotesError, match="view 'x' already"):
        notes.keep_view(" x ", {"prompt": "b"})
    assert notes.keep_view("x", {"prompt": "a"}) == notes


def test_writers_at_the_same_time_lose_nothing(path):
    def write(number):
        update_notes(path, lambda notes: notes.label(0, number, f"label {number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    assert load_notes(path).labels == {(0, number): f"label {number}" for number in range(24)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "format_version is 'list'"),
        ('{"format_version": 2}', "format_version is 2"),
        ('{"format_version": 1}', "damaged"),
        ('{"format_version": 1, "labels": [[0, 1]], "views": {}}', "damaged"),
        ('{"format_version": 1, "labels": [[0, -1, "x"]], "views": {}}', "damaged"),
        ('{"format_version": 1, "labels": [[0, true, "x"]], "views": {}}', "damaged"),
        ('{"format_version": 1, "labels": [], "views": {"a": {"b": 1}}}', "damaged"),
        ('{"format_version": 1, "labels": [], "views": []}', "damaged"),
        ('{"format_version": 1, "labels": [], "views": {}, "bundle": "../../x"}', "damaged"),
    ],
)
def test_damaged_notes_are_refused_with_the_reason_and_left_alone(path, text, reason):
    with pytest.raises(NotesError, match=reason):
        parse_notes(text)
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(NotesError, match=rf"demo\.json cannot be read: .*{reason}"):
        update_notes(path, lambda notes: notes.label(0, 0, "x"))
    assert path.read_text() == text


def test_what_cannot_be_written_is_told(path):
    path.parent.write_text("a file in the way")
    with pytest.raises(NotesError, match="cannot be written"):
        update_notes(path, lambda notes: notes)


def test_json_is_plain():
    notes = Notes().label(1, 2, "x").label(0, 5, "y")
    assert json.loads(json.dumps(notes.to_json()))["labels"] == [[0, 5, "y"], [1, 2, "x"]]
