"""Notes, exports, graphs, cards, transcoders and the bin: each is the old or the new."""

import json
from functools import partial

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.batch.table import PARQUET
from circuitscope_core.bundle import CARDS
from circuitscope_core.bundle.entry import ModelEntry, read_entry
from circuitscope_core.export import export_view
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.feature_cards.cards import empty_card
from circuitscope_core.files import whole_file, write_whole
from circuitscope_core.model_library.adding import write_entry
from circuitscope_core.model_library.model_cards import save_cards
from circuitscope_core.notes import load_notes, notes_follow, update_notes
from circuitscope_core.view import layout_graph
from tests.faults.injection import ENDED, FULL, REFUSED, faults
from tests.faults.samples import fresh, refusal, seed_of, small_bundle
from tests.samples import tiny_replacement, tiny_transcoder

KINDS = (ENDED, FULL, REFUSED)


@pytest.fixture(scope="module")
def traces():
    """Two traces of one model, and the model."""
    replacement = tiny_replacement()
    return cs.trace(replacement, "Navy (N"), cs.trace(replacement, "The wall"), replacement


def page(trace, path, replacement):
    view = layout_graph(trace.circuit, replacement.tokenizer)
    export_view(view, path)


EXPORTS = {
    "json": lambda trace, path, _: cs.export_graph(trace, path),
    "graphml": lambda trace, path, _: cs.export_graphml(trace, path),
    "page": page,
    "exact": lambda trace, path, _: trace.graph.save(path),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EXPORTS)
def test_an_exported_file_is_the_old_or_the_new(traces, tmp_path, name, kind):
    first, second, replacement = traces
    write = EXPORTS[name]
    write(first, tmp_path / "old", replacement)
    write(second, tmp_path / "new", replacement)
    old, new = ((tmp_path / name).read_bytes() for name in ("old", "new"))
    for fault in faults(kind, least=1):
        path = tmp_path / str(fault.number) / "file"
        write(first, path, replacement)
        with fault:
            said = refusal(partial(write, second, path, replacement))
        assert path.read_bytes() in (old, new)
        if kind != ENDED:
            assert (path.read_bytes() == old) == bool(said) == fault.struck
            assert [entry.name for entry in path.parent.iterdir()] == ["file"]
        write(second, path, replacement)
        assert path.read_bytes() == new


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_for_a_viewer_lists_graphs_that_are_whole(traces, tmp_path, kind):
    first, second, _ = traces
    for fault in faults(kind, least=1):
        folder = tmp_path / str(fault.number)
        cs.write_viewer_folder(folder, first)
        with fault:
            said = refusal(partial(cs.write_viewer_folder, folder, second))
        if kind != ENDED:
            assert bool(said) == fault.struck
        graphs = json.loads((folder / "graph-metadata.json").read_text())["graphs"]
        assert len(graphs) in (1, 2)
        cs.write_viewer_folder(folder, second)
        listed = json.loads((folder / "graph-metadata.json").read_text())["graphs"]
        assert len(listed) == len(graphs) + 1
        for path in folder.glob("*.json"):
            json.loads(path.read_text())
        assert {f"{graph['slug']}.json" for graph in listed} <= {
            path.name for path in folder.iterdir()
        }


def labelled(text):
    return lambda notes: notes.label(0, 0, text)


OLDER, LATER = "1" * 64, "2" * 64
"""Hashes of two models that had one name."""


@pytest.mark.parametrize("about", [OLDER, LATER])
def test_no_notes_are_lost(tmp_path, about):
    for kind in KINDS:
        for fault in faults(kind, least=1):
            path = tmp_path / kind / str(fault.number) / "mine.json"
            update_notes(path, labelled("old"), OLDER)
            with fault:
                said = refusal(partial(update_notes, path, labelled("new"), about))
            found = load_notes(path, about).labels.get((0, 0))
            assert found in ("old" if about == OLDER else None, "new")
            if kind != ENDED:
                assert bool(said) == fault.struck
            if about == LATER:
                assert load_notes(path, OLDER).labels == {(0, 0): "old"}, fault.calls[-1]
            update_notes(path, labelled("next"), about)
            assert load_notes(path, about).labels == {(0, 0): "next"}
            if about == LATER:
                assert load_notes(path, OLDER).labels == {(0, 0): "old"}


def rename(models):
    with notes_follow(models / ".notes", "mine", "named"):
        cs.rename_model("mine", "named", models)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_keeps_its_notes_whatever_name_it_ends_with(tmp_path, kind):
    for fault in faults(kind, least=1):
        models = tmp_path / str(fault.number)
        (models / "mine").mkdir(parents=True)
        (models / "mine" / "bundle.json").write_text("{}")
        for name, bundle in (("mine", LATER), ("mine." + OLDER[:12], OLDER)):
            update_notes(models / ".notes" / f"{name}.json", labelled(name), bundle)
        with fault:
            said = refusal(partial(rename, models))
        (name,) = [model.name for model in cs.list_models(models)]
        if kind != ENDED:
            assert bool(said) == fault.struck
        if name == "mine":
            assert load_notes(models / ".notes" / "mine.json", LATER).labels == {(0, 0): "mine"}
            rename(models)
        path = models / ".notes" / "named.json"
        assert load_notes(path, LATER).labels == {(0, 0): "mine"}
        assert load_notes(path, OLDER).labels == {(0, 0): f"mine.{OLDER[:12]}"}


def test_a_name_that_is_none_takes_no_notes_anywhere(tmp_path):
    notes = tmp_path / "models" / ".notes"
    update_notes(notes / "mine.json", labelled("mine"), LATER)
    with notes_follow(notes, "mine", "../stray"):
        pass
    assert not (tmp_path / "models" / "stray.json").exists()


def take_out_again(models):
    (model,) = cs.list_bin(models)
    cs.restore_model(model.token, models, "again")


MOVES = {
    "remove": lambda models: cs.remove_model("mine", models),
    "rename": lambda models: cs.rename_model("mine", "other", models),
    "remove and restore": lambda models: (cs.remove_model("mine", models), take_out_again(models)),
}


@pytest.mark.parametrize("kind", [ENDED, REFUSED])
@pytest.mark.parametrize("move", MOVES)
def test_a_model_that_is_moved_is_in_one_place_as_a_whole(tmp_path, kind, move):
    cs.save_bundle(small_bundle(1), tmp_path / "template" / "mine")
    for fault in faults(kind, least=1):
        models = fresh(tmp_path / "template", tmp_path / "models")
        with fault:
            said = refusal(partial(MOVES[move], models))
        if kind == REFUSED:
            assert ("cannot be" in said) == fault.struck
        listed = [model.name for model in cs.list_models(models)]
        binned = cs.list_bin(models)
        assert len(listed) + len(binned) == 1, fault.calls[-1]
        for model in binned:
            listed.append(cs.restore_model(model.token, models))
        assert seed_of(models / listed[0]) == 1
        cs.remove_model(listed[0], models)
        assert cs.list_models(models) == ()


def entry(name):
    sizes = {"n_layers": 1, "d_model": 2, "n_parameters": 3, "n_bytes": 4, "transcoder_bytes": 0}
    texts = {"source": "s", "folder": "f", "family": "gpt2", "dtype": "float32"}
    return ModelEntry(name=name, transcoder=None, fingerprint="x", **texts, **sizes)


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_there_as_a_whole_or_not_at_all(tmp_path, kind):
    for fault in faults(kind, least=1):
        models = tmp_path / str(fault.number)
        with fault:
            said = refusal(partial(write_entry, entry("mine"), models))
        if kind != ENDED:
            assert ("cannot be written" in said) == fault.struck
            assert not fault.struck or not list(models.glob("*"))
        if not (models / "mine").exists():
            write_entry(entry("mine"), models)
        assert read_entry(models / "mine") == entry("mine")
        assert [model.name for model in cs.list_models(models)] == ["mine"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_cards_of_an_entry_are_the_old_or_the_new(tmp_path, kind):
    old, new = (FeatureCards.of([empty_card(0, n)], 12) for n in (1, 2))
    for fault in faults(kind, least=1):
        folder = tmp_path / str(fault.number)
        save_cards(old, folder)
        with fault:
            said = refusal(partial(save_cards, new, folder))
        features = [card.feature for card in FeatureCards.load(folder / CARDS, 1, 12, some=True)]
        assert features in ([1], [2])
        if kind != ENDED:
            assert (features == [1]) == ("Make room" in said) == fault.struck
        save_cards(new, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_transcoder_over_an_older_one_is_never_of_both(tmp_path, kind):
    old, new = tiny_transcoder(seed=1, n_layers=3), tiny_transcoder(seed=2, n_layers=2)
    for fault in faults(kind):
        folder = tmp_path / str(fault.number)
        cs.save_transcoder(old, folder)
        with fault:
            said = refusal(partial(cs.save_transcoder, new, folder))
        if kind != ENDED:
            assert ("Make room" in said) == fault.struck
        try:
            found = cs.load_transcoder(folder)
        except cs.BundleError as error:
            assert fault.struck
            assert "not saved to the end" in str(error)  # noqa: PT017  # often there is none
        else:
            expected = old if found.config.n_layers == 3 else new
            for name, value in expected.state_dict().items():
                assert torch.equal(found.state_dict()[name], value)
        cs.save_transcoder(new, folder)
        assert cs.load_transcoder(folder).config == new.config


def test_a_file_is_written_whole_with_the_lines_that_it_has(tmp_path):
    for kind in KINDS:
        for fault in faults(kind, least=1):
            path = tmp_path / kind / str(fault.number) / "a.txt"
            write_whole(path, "old\n")
            try:
                with fault:
                    write_whole(path, "new\r\n" * 9)
            except OSError:
                assert kind != ENDED
                assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]
            assert path.read_bytes() in (b"old\n", b"new\r\n" * 9)
            assert path.stat().st_mode & 0o777 == 0o644


def test_a_long_name_has_a_temporary_one_that_the_disk_takes(tmp_path):
    path = tmp_path / ("n" * 250 + ".json")
    with whole_file(path) as temporary:
        temporary.write_text("{}")
    assert path.read_text() == "{}"


@pytest.mark.parametrize("kind", KINDS)
def test_many_prompts_go_on_from_wherever_they_ended(tmp_path, kind):
    cs.save_bundle(small_bundle(1), tmp_path / "mine")
    prompts = ["N", "Th"]
    for fault in faults(kind, least=3, step=5):
        out = tmp_path / str(fault.number)
        with fault:
            said = refusal(lambda out=out: list(cs.attribute_many(tmp_path / "mine", prompts, out)))
        if kind != ENDED:
            assert ("Make room" in said) == fault.struck, fault.calls[-1]
        rows = list(cs.attribute_many(tmp_path / "mine", prompts, out, resume=True))
        assert [row.prompt for row in rows] == prompts
        for row in rows:
            cs.parse_graph_json((out / row.graph).read_bytes())
        assert len((out / "summary.jsonl").read_text().splitlines()) == 2
        assert (out / PARQUET).is_file()
