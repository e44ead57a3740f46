"""The folder for circuit-tracer's viewer: what that viewer relies on, and nothing overwritten."""

import io
import json
import re
import zipfile
from dataclasses import replace
from urllib.parse import parse_qs, unquote

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.circuit import circuit_of
from circuitscope_core.export import graph_to_json, viewer_graph, viewer_zip, write_viewer_folder
from circuitscope_core.export.graph_json import cantor_pair, viewer_text
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file import read_graph_file
from circuitscope_core.pruning import prune_graph
from circuitscope_core.supernodes import cluster_features
from tests.unit.graph_samples import TOKENIZER, Decoders, sample_cards, sample_graph

SLUG = "cat-N"


@pytest.fixture(scope="module")
def pruned():
    return prune_graph(sample_graph())


@pytest.fixture(scope="module")
def parts(pruned):
    groups = cluster_features(pruned, Decoders())
    assert groups.merged
    return {"cards": sample_cards(), "tokenizer": TOKENIZER, "supernodes": groups}


def listed(folder):
    return json.loads((folder / "graph-metadata.json").read_text())["graphs"]


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_feature_has_a_card_where_the_viewer_asks_for_it(pruned, parts, tmp_path):
    graph = write_viewer_folder(tmp_path, pruned, **parts)
    data = json.loads((tmp_path / f"{graph.slug}.json").read_text())
    scan = data["metadata"]["scan"]
    # only such a scan is a place on the same server; the viewer sends ./features/ elsewhere
    assert scan == "./data/features/circuitscope"
    features = [n for n in data["nodes"] if n["feature_type"] == "cross layer transcoder"]
    assert len(features) == int(circuit_of(pruned).are(NodeKind.FEATURE).sum()) > 10
    for node in features:
        place = tmp_path / scan.removeprefix("./data/") / f"{node['feature']}.json"
        card = json.loads(place.read_text())
        layer, feature = (int(part) for part in node["node_id"].split("_")[:2])
        assert node["feature"] == cantor_pair(layer, feature)
        assert card["index"] == feature
        assert card["examples_quantiles"][0]["examples"]
    assert len(list(tmp_path.rglob("features/*/*.json"))) == len({n["feature"] for n in features})


def test_the_list_of_graphs_has_what_the_viewer_needs(pruned, parts, tmp_path):
    write_viewer_folder(tmp_path, pruned, **parts)
    (entry,) = listed(tmp_path)
    assert entry == json.loads((tmp_path / f"{SLUG}.json").read_text())["metadata"]
    assert {"slug", "scan", "prompt", "prompt_tokens", "title_prefix"} <= set(entry)


def test_no_kept_node_is_hidden_by_the_viewers_slider(pruned):
    for kept in (pruned, prune_graph(pruned.graph, 0.5), prune_graph(pruned.graph, 1.0, 1.0)):
        data = graph_to_json(kept)
        most = data["metadata"]["node_threshold"]
        inner = [n for n in data["nodes"] if n["feature_type"] not in ("embedding", "logit")]
        assert max(node["influence"] for node in inner) <= most <= 1
        assert round(most * 100) == pytest.approx(most * 100)  # the slider goes in hundredths
        assert most >= kept.config.node_threshold


def test_a_graph_without_influences_has_no_slider(pruned):
    circuit = circuit_of(pruned)
    unknown = replace(circuit, reached=torch.full_like(circuit.reached, torch.nan), config=None)
    assert graph_to_json(unknown)["metadata"]["node_threshold"] is None


def test_nothing_is_overwritten_and_no_name_is_shared(pruned, parts, tmp_path):
    first = write_viewer_folder(tmp_path, pruned, **parts)
    before = files_of(tmp_path)
    ungrouped = {**parts, "supernodes": None}
    second = write_viewer_folder(tmp_path, prune_graph(pruned.graph, 0.5), **ungrouped)
    assert (first.slug, second.slug) == (SLUG, f"{SLUG}-2")
    assert [entry["slug"] for entry in listed(tmp_path)] == [SLUG, f"{SLUG}-2"]
    after = files_of(tmp_path)
    assert all(after[name] == text for name, text in before.items() if "metadata" not in name)
    assert first.scan == second.scan  # the cards are the same
    # other features under the same numbers get a folder of their own
    others = {**parts, "cards": sample_cards(text="another corpus (NDAG)")}
    third = write_viewer_folder(tmp_path, pruned, **others)
    assert third.scan == "circuitscope-2"
    assert all(files_of(tmp_path)[name] == text for name, text in after.items() if "/" in name)


def test_names_that_differ_in_case_or_mean_the_list_are_not_taken(parts, tmp_path):
    parts = {**parts, "supernodes": None}
    (tmp_path / "CAT-n.json").write_text("{}")
    graph = write_viewer_folder(tmp_path, prune_graph(sample_graph()), **parts)
    assert graph.slug == f"{SLUG}-2"
    listing = write_viewer_folder(tmp_path, prune_graph(sample_graph("graph-metadata")), **parts)
    assert listing.slug == "graph-metadata-1"
    assert len(listed(tmp_path)) == 2


def test_graphs_that_were_there_stay_in_the_list(pruned, parts, tmp_path):
    theirs = {"slug": "theirs", "scan": "gemma", "prompt": "x", "more": [1]}
    (tmp_path / "graph-metadata.json").write_text(json.dumps({"graphs": [theirs]}))
    write_viewer_folder(tmp_path, pruned, **parts)
    assert listed(tmp_path)[0] == theirs
    assert len(listed(tmp_path)) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"graphs": 1}', '{"graphs": [1]}', "[" * 100_000])
def test_a_list_that_cannot_be_read_is_refused_and_stays(pruned, parts, tmp_path, text):
    (tmp_path / "graph-metadata.json").write_text(text)
    with pytest.raises(cs.GraphFileError, match=r"graph-metadata\.json holds no"):
        write_viewer_folder(tmp_path, pruned, **parts)
    assert files_of(tmp_path) == {"graph-metadata.json": text.encode()}


def test_a_folder_that_cannot_be_written_is_named(pruned, parts, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(cs.GraphFileError, match="file for circuit-tracer’s viewer cannot be"):
        write_viewer_folder(tmp_path / "file", pruned, **parts)


def test_an_archive_is_the_same_folder_and_the_same_bytes(pruned, parts, tmp_path):
    archive = viewer_zip(pruned, **parts)
    assert archive == viewer_zip(pruned, **parts)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(tmp_path / "unpacked")
    write_viewer_folder(tmp_path / "written", pruned, **parts)
    assert files_of(tmp_path / "unpacked") == files_of(tmp_path / "written")


def test_without_cards_a_click_finds_an_empty_one(pruned, tmp_path):
    graph = write_viewer_folder(tmp_path, pruned)
    card = json.loads(next((tmp_path / "features" / SLUG).iterdir()).read_text())
    assert (card["examples_quantiles"], card["top_logits"]) == ([], [])
    assert card["histogram"]  # the viewer divides by its length
    assert graph.data["metadata"]["scan"] == f"./data/features/{SLUG}"
    empty = FeatureCards.of([], 32)
    assert len(viewer_graph(pruned, cards=empty, tokenizer=TOKENIZER).cards) == len(graph.cards)
    with pytest.raises(cs.ConfigError, match="they need the tokenizer"):
        viewer_graph(pruned, cards=sample_cards())


def test_letters_that_cannot_be_seen_are_shown(pruned):
    assert viewer_text('a\tb\r\n"c') == "a→b↵⏎”c"
    texts = ("\t", "\r", "\n", *pruned.graph.token_texts[3:])
    graph = replace(pruned.graph, token_texts=texts)
    data = viewer_graph(replace(pruned, graph=graph)).data
    assert data["metadata"]["prompt_tokens"][:3] == ["→", "↵", "⏎"]


def test_the_address_opens_the_graph_with_its_supernodes_and_pins(pruned, parts):
    groups = parts["supernodes"]
    named = groups.rename(groups.groups.index(groups.merged[0]), "50% & <more>+")
    graph = viewer_graph(pruned, **{**parts, "supernodes": named})
    found = {key: unquote(value[0]) for key, value in parse_qs(graph.address[1:]).items()}
    assert found["slug"] == graph.slug
    assert json.loads(found["supernodes"]) == graph.data["qParams"]["supernodes"]
    assert any("50% &" in label for label, *_ in json.loads(found["supernodes"]))
    assert found["pinnedIds"].split(",") == graph.data["qParams"]["pinnedIds"]
    assert re.fullmatch(r"\?[A-Za-z0-9_.%&=~-]+", graph.address)


def test_the_graph_opens_here_again(pruned, parts, tmp_path):
    graph = write_viewer_folder(tmp_path, pruned, **parts)
    file = read_graph_file(tmp_path / f"{graph.slug}.json")
    assert (len(file.nodes), len(file.links)) == (pruned.n_nodes, pruned.n_edges)
    assert len(file.groups) == len(parts["supernodes"].merged)


def test_neurons_get_the_type_that_the_viewer_shows_cards_of(pruned):
    circuit = replace(circuit_of(pruned), neurons=True)
    kinds = {node["feature_type"] for node in viewer_graph(circuit).data["nodes"]}
    assert "cross layer transcoder" in kinds
    assert "mlp neuron" not in kinds
