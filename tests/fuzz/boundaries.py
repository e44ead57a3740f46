"""Every place where the program reads what somebody else wrote, each with samples to damage.

A boundary is a function that makes samples in a folder and returns another one, which damages a
sample with a random generator and reads it. Reading either works or raises a CircuitScopeError.
"""

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

import circuitscope_core as cs
from circuitscope_core.bundle.entry import read_entry
from circuitscope_core.bundle.names import name_fault
from circuitscope_core.corpus.documents import ReadCounter
from circuitscope_core.graph_file import (
    circuit_of_file,
    edit_graph_json,
    layout_graph_file,
    prune_circuit,
)
from circuitscope_core.notes import parse_notes
from circuitscope_core.pretrained.load import read_model_files
from circuitscope_core.stages.location import StageLocation, check_name
from circuitscope_core.stages.store import FolderStore
from pages.ui.shared.address import address_of, read_address
from pages.ui.shared.packing import pack, unpack
from tests.formats import layouts
from tests.fuzz.mutation import mutate, mutate_text
from tests.samples import random_graph, tiny_replacement
from tests.unit.graph_file_samples import small_graph
from tests.unit.test_bundle import make_bundle
from tests.unit.test_published_cards import card_json, write_each, write_packed

TryOne = Callable[[random.Random], None]
Boundary = Callable[[Path], TryOne]


@contextmanager
def damaged(files: Mapping[Path, bytes], rng: random.Random) -> Iterator[Path]:
    """Damage one of some files, or remove it, and put it right again afterwards."""
    path = rng.choice(list(files))
    if rng.random() < 0.03:
        path.unlink()
    else:
        path.write_bytes(mutate(files[path], rng))
    try:
        yield path
    finally:
        path.write_bytes(files[path])


def files_below(folder: Path) -> dict[Path, bytes]:
    """Return the files below a folder with their content."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def graph_file(folder: Path) -> TryOne:
    """JSON of a graph, ours or another tool's: read, pruned, laid out and written again."""
    trace = cs.trace(tiny_replacement(), "Navy (N")
    cs.export_graph(trace, folder / "graph.json", supernodes=trace.supernodes)
    samples = [(folder / "graph.json").read_bytes(), json.dumps(small_graph()).encode()]

    def read(rng: random.Random) -> None:
        data = mutate(rng.choice(samples), rng)
        file = cs.parse_graph_json(data)
        circuit = circuit_of_file(file)
        layout_graph_file(file).to_text()
        cs.parse_graph_json(json.dumps(edit_graph_json(data, circuit)))
        prune_circuit(circuit, 0.5, 0.9)

    return read


def saved_graph(folder: Path) -> TryOne:
    """An exact graph in a safetensors file: read and pruned."""
    path = folder / "graph.safetensors"
    random_graph(3).save(path)
    files = {path: path.read_bytes()}

    def read(rng: random.Random) -> None:
        with damaged(files, rng):
            cs.prune_graph(cs.load_graph(path))

    return read


def bundle(folder: Path) -> TryOne:
    """A saved model, with hashes that fit the damage, so that what is behind them is reached."""
    place = cs.save_bundle(make_bundle(), folder / "tiny")
    record = place / "bundle.json"
    files = files_below(place)

    def read(rng: random.Random) -> None:
        with damaged(files, rng) as path:
            if path != record and path.exists():
                name = path.relative_to(place).as_posix()
                data = json.loads(files[record])
                data["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
                record.write_text(json.dumps(data))
            try:
                cs.attribute(cs.load_bundle(place), "Navy (N")
            finally:
                record.write_bytes(files[record])

    return read


def transcoder(folder: Path) -> TryOne:
    """Transcoders in every published layout."""
    writers = (
        *(layouts.per_layer, layouts.topk, layouts.gemma_scope_1, layouts.gemma_scope_2),
        *(layouts.gemma_scope_2_cross_layer, layouts.sae_lens, layouts.sparsify),
    )
    places = []
    for write in writers:
        place = folder / write.__name__
        place.mkdir()
        write(place)
        places.append((place, files_below(place)))

    def read(rng: random.Random) -> None:
        place, files = rng.choice(places)
        with damaged(files, rng):
            found = cs.load_transcoder(place, lazy_decoders=rng.random() < 0.3)
            found.encode(0, torch.ones(2, found.config.d_model))

    return read


def parquet(folder: Path) -> TryOne:
    """Parquet files of several codecs, encodings and types."""
    texts = ["The Navy (N)", None, "", "á💥" * 20, "x" * 3000]
    columns = {"text": texts, "meta": [{"pile_set_name": "Pile"}] * 5, "n": list(range(5))}
    for codec in ("none", "snappy", "gzip", "zstd"):
        table = pa.table({**columns, "meta": pa.array(columns["meta"])})
        pq.write_table(table, folder / f"{codec}.parquet", compression=codec, row_group_size=2)
    large = pa.table({"text": pa.array(texts, pa.large_string()).dictionary_encode()})
    pq.write_table(large, folder / "large.parquet", write_page_checksum=True)
    files = files_below(folder)

    def read(rng: random.Random) -> None:
        with damaged(files, rng) as path:
            for _ in cs.ParquetSource(path).documents(ReadCounter()):
                pass

    return read


def tokenizer(folder: Path) -> TryOne:
    """A tokenizer's files: opened, and used on text."""
    found = cs.learn_tokenizer(["The Navy (N) and the Army (A) of Austria"] * 3, 270)
    path = folder / "tokenizer.json"
    found.save(path)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "<|endoftext|>", "chat_template": "{{ messages[0].content }}"})
    )
    files = files_below(folder)

    def read(rng: random.Random) -> None:
        with damaged(files, rng):
            opened = cs.HuggingFaceTokenizer(path)
            token_ids = opened.encode("The Navy (á")
            opened.decode(token_ids)
            for token_id in token_ids:
                opened.token_text(token_id)

    return read


def address(_: Path) -> TryOne:
    """The part of a page's address behind the question mark: read, and the same when written."""
    walk = pack([["a", {"prompt": "The Navy (N", "node": "0_1_2"}]])
    marks = {
        **{"pinned": ["0_1_2"], "groups": [["a", "0_1_2", "1_1_2"]], "unfolded": [3]},
        **{"places": [["0_1_2", 0.5, 3]], "steps": [["off", 1, "0_1_2"]]},
    }
    sample = {
        **{"model": "demo", "prompt": "The Navy (N", "form": "text", "target": "likely"},
        **{"logits": "10", "nodes": "0.8", "edges": "0.98", "feature": "2:639:3", "walk": walk},
        **{"tab": "card", "node": "0_1_2", "subgraph": pack(marks), "words": "fold", "step": "1"},
    }

    def read(rng: random.Random) -> None:
        parameters = dict(sample)
        for _ in range(rng.randint(1, 3)):
            name = rng.choice(list(sample))
            if name in {"walk", "subgraph"} and rng.random() < 0.7:
                packed = mutate(json.dumps(unpack(sample[name])).encode(), rng)
                parameters[name] = pack(packed.decode("utf-8", "replace"))
                with suppress(ValueError, RecursionError):
                    parameters[name] = pack(json.loads(packed))
            else:
                parameters[name] = mutate_text(sample[name], rng)
        state, _ = read_address(parameters)
        again, dropped = read_address(address_of(state))
        if address_of(again) != address_of(state) or dropped:
            raise AssertionError(f"{parameters} is {state} and then {again}")

    return read


def stage_name(folder: Path) -> TryOne:
    """Addresses of stages and names of files below them."""
    samples = ["@~", "@%t/a.parquet", '@"Da""ta".s.stage/pile/*.parquet', "@db.s.st/a/**/b?.x"]
    names = ["sample.parquet", "a/b.parquet", "..", "x/../../y", "/etc/passwd", "a//b"]
    store = FolderStore(folder / "store")
    (folder / "store").mkdir()
    source = folder / "file"
    source.write_text("text")

    def read(rng: random.Random) -> None:
        name = mutate_text(rng.choice(names), rng)
        if rng.random() < 0.02:
            store.put(source, name)
            store.remove([name])
        check_name(name)
        name_fault(name)
        location = StageLocation.parse(mutate_text(rng.choice(samples), rng))
        if StageLocation.parse(str(location)) != location:
            raise AssertionError(f"{location} is read as another place")
        below = location.below(name)
        if "'" in below.sql[1:-1].replace("\\'", "").replace("''", ""):
            raise AssertionError(f"{below.sql} leaves its quotes")
        below.matches("a/b.parquet")

    return read


def published_cards(folder: Path) -> TryOne:
    """Cards that somebody published beside a transcoder, packed or one by one."""
    rows = [[card_json(layer, feature) for feature in range(3)] for layer in range(2)]
    write_packed(folder / "packed", rows)
    write_each(folder / "each", [(0, 0), (0, 1), (1, 0)])
    places = [(place, files_below(place)) for place in (folder / "packed", folder / "each")]
    index = folder / "packed" / "index.json.gz"

    def read(rng: random.Random) -> None:
        place, files = rng.choice(places)
        with damaged(files, rng) as path:
            if path == index and rng.random() < 0.7:
                path.write_bytes(gzip.compress(mutate(gzip.decompress(files[path]), rng), mtime=0))
            cards = cs.open_published_cards(place, 4)
            for layer, feature in ((0, 0), (0, 1), (1, 0)):
                if cards.has_card(layer, feature):
                    cards.card(layer, feature)

    return read


def records(folder: Path) -> TryOne:
    """Small records in JSON: notes, settings, entries and configurations of models."""
    notes = {
        **{"format_version": 1, "bundle": "", "labels": [[0, 1, "a"]]},
        "views": [["a", {"prompt": "x"}]],
    }
    settings = cs.TrainConfig().to_json()
    model = folder / "model"
    model.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8}
    (model / "config.json").write_text(json.dumps(config))
    words = ("name", "source", "folder", "transcoder", "family", "dtype", "fingerprint")
    counts = ("n_layers", "d_model", "n_parameters", "n_bytes", "transcoder_bytes")
    entry = {"format_version": 1} | dict.fromkeys(words, "a") | dict.fromkeys(counts, 2)

    def read(rng: random.Random) -> None:
        kind = rng.randrange(4)
        if kind == 0:
            parse_notes(mutate(json.dumps(notes).encode(), rng).decode("utf-8", "replace"))
        elif kind == 1:
            data = mutate(json.dumps(settings).encode(), rng).decode("utf-8", "replace")
            if _is_json(data):
                cs.TrainConfig.from_json(json.loads(data))
        elif kind == 2:
            (model / "config.json").write_bytes(mutate(json.dumps(config).encode(), rng))
            read_model_files(model)
        else:
            (folder / "model.json").write_bytes(mutate(json.dumps(entry).encode(), rng))
            read_entry(folder)

    return read


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


BOUNDARIES: dict[str, Boundary] = {
    made.__name__: made
    for made in (
        *(graph_file, saved_graph, bundle, transcoder, parquet, tokenizer),
        *(address, stage_name, published_cards, records),
    )
}
