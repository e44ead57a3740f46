"""Damage that the fuzzer found and that readers once took for something else."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import circuitscope_core as cs
from circuitscope_core.corpus.documents import ReadCounter
from circuitscope_core.stages.store import FolderStore
from pages.ui.shared.address import read_address
from pages.ui.shared.packing import pack
from tests.samples import random_graph
from tests.unit.test_bundle import make_bundle
from tests.unit.test_published_cards import write_index


@pytest.fixture
def folder(tmp_path):
    return cs.save_bundle(make_bundle(), tmp_path / "tiny")


def change_record(folder, part, **changes):
    record = json.loads((folder / "bundle.json").read_text())
    record[part] = {**record[part], **changes}
    (folder / "bundle.json").write_text(json.dumps(record))


@pytest.mark.parametrize("changes", [{"n_ctx": 2**26}, {"n_layers": 2**31}, {"d_mlp": 2**40}])
def test_a_record_that_asks_for_more_than_its_weights_is_refused(folder, changes):
    change_record(folder, "model", **changes)
    with pytest.raises(cs.BundleError, match="far more numbers than the"):
        cs.load_bundle(folder)


@pytest.mark.parametrize("changes", [{"l0": "many"}, {"l0": True}])
def test_figures_of_a_record_are_numbers(folder, changes):
    change_record(folder, "metrics", **changes)
    with pytest.raises(cs.BundleError, match=r"metrics = .*it must be an object of numbers"):
        cs.load_bundle(folder)


def test_a_training_log_that_is_no_text_is_refused(folder):
    log = folder / "training_log.jsonl"
    log.write_bytes(b"\xff\xfe\xfd")
    change_record(folder, "files", **{log.name: hashlib.sha256(log.read_bytes()).hexdigest()})
    with pytest.raises(cs.BundleError, match="cannot be read"):
        cs.load_bundle(folder)


def test_a_layer_far_above_the_others_costs_no_time():
    graph = random_graph(3)
    graph.features[-1, 0] = 2**60
    assert cs.prune_graph(graph).node_mask.shape == (graph.n_nodes,)


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800"])
def test_a_name_that_no_file_can_have_is_refused_by_a_store(tmp_path, name):
    with pytest.raises(cs.StageError, match="no name that a file can have"):
        FolderStore(tmp_path).put(tmp_path, name)


@pytest.mark.parametrize(
    "marks", [{"places": [["a", 10**400, 0]]}, {"steps": [["ablate", 10**400, "a"]]}]
)
def test_a_number_too_large_for_a_float_in_an_address_is_dropped(marks):
    _, dropped = read_address({"subgraph": pack(marks)})
    assert dropped == ("subgraph",)


@pytest.mark.usefixtures("unchecked")
def test_a_name_that_is_too_long_in_an_index_of_cards_is_refused(tmp_path):
    write_index(tmp_path, {"0": {"filename": "a" * 5000, "offsets": [0, 9]}})
    with pytest.raises(cs.BundleError, match="must be the name of a file"):
        cs.open_published_cards(tmp_path, 4).has_card(0, 0)


def test_a_dictionary_whose_numbers_lead_nowhere_is_damage(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": ["a", "b"]}), path)
    wrong = pa.DictionaryArray.from_arrays(pa.array([0, 7]), pa.array(["a", "b"]), safe=False)
    batch = pa.record_batch({"text": wrong})
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: iter([batch]))
    with pytest.raises(cs.CorpusError, match="leads nowhere"):
        list(cs.ParquetSource(path).documents(ReadCounter()))
