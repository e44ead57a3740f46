"""Graph files there and back, with foreign text, and with anything anywhere."""

import contextlib
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import circuitscope_core as cs
from circuitscope_core.export import graph_to_json, render_svg, render_view
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file import layout_graph_file, parse_graph_json
from circuitscope_core.graph_file.file_circuit import circuit_of_file
from circuitscope_core.pruning import kept_shares
from circuitscope_core.supernodes import group_by_hand
from circuitscope_core.view import layout_graph
from tests.samples import PROMPT, tiny_replacement
from tests.unit.graph_file_samples import REMOVED, small_graph
from tests.unit.graph_samples import HOSTILE, TOKENIZER, Decoders, sample_cards, sample_graph

DEMO = Path(__file__).parents[2] / "models" / "demo"


# --- foreign text -----------------------------------------------------------------------------

FOREIGN = f"{HOSTILE}\u202e\x00\x1b[31m\U0001f600\ud83d" + "y" * 100_000


def test_foreign_text_is_taken_as_text_and_can_be_sent_and_drawn():
    data = small_graph()
    for place in (2, 5):
        data["nodes"][place]["clerp"] = FOREIGN
    data["metadata"]["prompt_tokens"][0] = FOREIGN
    data["metadata"]["prompt"] = FOREIGN
    data["metadata"]["info"] = {"generator": {"name": FOREIGN, "version": ["x"]}}
    data["qParams"]["supernodes"][0][0] = FOREIGN
    file = parse_graph_json(json.dumps(data))
    view = layout_graph_file(file)
    page = render_view(view)
    assert "<img" not in page
    for text in (page, view.to_text(), render_svg(view), render_svg(view, picture="groups")):
        text.encode()
    assert "\x1b" not in file.describe()
    labels = [node.label for picture in (view.full, view.groups) for node in picture.nodes]
    assert max(map(len, labels)) < 400
    assert sum(HOSTILE in label for label in labels) > 2
    assert "\ud83d" not in "".join(labels)


# --- there and back ---------------------------------------------------------------------------


def assert_same_picture(found, wanted):
    """Compare what does not hang on what pruning left out of the file."""
    names = [node.id for node in wanted.nodes]
    assert sorted(node.id for node in found.nodes) == sorted(names)
    by_id = {node.id: node for node in found.nodes}
    for node in wanted.nodes:
        other = by_id[node.id]
        fields = ("kind", "layer", "position", "detail", "members")
        assert [getattr(other, f) for f in fields] == [getattr(node, f) for f in fields]
        assert other.activation == pytest.approx(node.activation)
        assert other.probability == pytest.approx(node.probability)
        assert other.error_share == pytest.approx(node.error_share, abs=1e-6)
    for axis in ("rows", "columns"):
        assert [b.label for b in getattr(found, axis)] == [b.label for b in getattr(wanted, axis)]
    assert found.n_edges_left_out == wanted.n_edges_left_out
    assert edges_of(found) == {
        ends: pytest.approx(numbers, abs=1e-6) for ends, numbers in edges_of(wanted).items()
    }


def edges_of(picture):
    nodes = picture.nodes
    return {
        (nodes[edge.source].id, nodes[edge.target].id): (edge.weight, edge.share)
        for edge in picture.edges
    }


def there_and_back(pruned, supernodes, cards):
    data = graph_to_json(pruned, supernodes=supernodes, cards=cards)
    return parse_graph_json(json.dumps(data))


def assert_round_trip(pruned, supernodes, cards, tokenizer=TOKENIZER):
    file = there_and_back(pruned, supernodes, cards)
    found = layout_graph_file(file)
    wanted = layout_graph(pruned, tokenizer, cards, supernodes)
    assert_same_picture(found.full, wanted.full)
    assert (found.groups is None) == (not supernodes.merged)
    if supernodes.merged:
        assert_same_picture(found.groups, wanted.groups)
    assert [path.nodes for path in found.paths] == [path.nodes for path in wanted.paths]
    for path, other in zip(found.paths, wanted.paths, strict=True):
        assert path.strength == pytest.approx(other.strength, rel=1e-5)
    # the sum over all paths among what is kept, solved at once
    shares = kept_shares(pruned).abs().double()
    unit = torch.eye(len(shares), dtype=torch.double)
    weights = pruned.graph.logit_weights[pruned.kept_nodes].double()
    influence = weights @ (torch.linalg.inv(unit - shares) - unit)
    drawn = [node.influence for node in found.full.nodes]
    assert drawn == pytest.approx(influence.tolist(), abs=1e-6)
    return file, found, wanted


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_graph_comes_back_from_its_file(seed):
    graph = sample_graph(seed=seed)
    pruned = cs.prune_graph(graph)
    groups = cs.cluster_features(pruned, Decoders())
    assert_round_trip(pruned, groups, sample_cards())


def test_the_demo_graph_comes_back_from_its_file():
    bundle = cs.load_bundle(DEMO)
    graph = cs.attribute(bundle, "The National Digital Analytics Group (N")
    pruned = cs.prune_graph(graph, 0.9)
    groups = cs.cluster_features(pruned, bundle.transcoder, 0.3)
    assert groups.merged
    file, found, wanted = assert_round_trip(pruned, groups, bundle.feature_cards, bundle.tokenizer)
    assert file.generator == f"CircuitScope {cs.__version__}"
    assert [path.text for path in found.paths] == [path.text for path in wanted.paths]
    labels = [(node.id, node.label) for node in wanted.full.nodes]
    assert [(node.id, node.label) for node in found.full.nodes] == labels


def test_groups_of_tokens_errors_and_outputs_come_back():
    pruned = cs.prune_graph(sample_graph(), 0.95)
    graph = pruned.graph
    kept = pruned.kept_nodes.tolist()
    errors = [node for node in kept if graph.node(node).kind is NodeKind.ERROR]
    tokens = [graph.index_of_token(1), graph.index_of_token(2)]
    groups = group_by_hand(pruned, [("two", tokens), ("mixed", [errors[0], kept[0]])])
    found = layout_graph_file(there_and_back(pruned, groups, None)).groups
    wanted = layout_graph(pruned, TOKENIZER, None, groups).groups
    assert edges_of(found) == {
        ends: pytest.approx(numbers, abs=1e-6) for ends, numbers in edges_of(wanted).items()
    }


def test_a_target_that_is_no_token_comes_back_without_a_probability():
    graph = sample_graph()
    target = {
        **vars(graph),
        "logit_token_ids": torch.tensor([-1, 65, 66, 10, 60]),
        "logit_texts": ("D less K", *graph.logit_texts[1:]),
    }
    pruned = cs.prune_graph(cs.AttributionGraph(**target))
    view = layout_graph_file(there_and_back(pruned, cs.Supernodes(()), None))
    wanted = layout_graph(pruned, TOKENIZER)
    outputs = [n for n in view.full.nodes if n.kind == "logit"]
    assert [(n.id, n.label, n.probability) for n in outputs] == [
        (n.id, n.label.replace('"', "”"), pytest.approx(n.probability))
        for n in wanted.full.nodes
        if n.kind == "logit"
    ]


# --- any file at all --------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["E", "0", "1", "logit", "embedding", "0_5_0", "E_1_0", "3_7_1", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def places(value, path=()):
    """Yield the way to every place of some JSON-able data."""
    if path:
        yield path
    if not isinstance(value, dict | list):
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from places(item, (*path, key))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_file_with_anything_anywhere_is_drawn_or_refused(data):
    graph = small_graph()
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(graph))))
        place = graph
        for step in path[:-1]:
            place = place[step]
        value = data.draw(ANYTHING | st.just(REMOVED))
        if value is REMOVED:
            del place[path[-1]]
        else:
            place[path[-1]] = value
    try:
        file = parse_graph_json(json.dumps(graph))
    except cs.GraphFileError as error:
        str(error).encode()
        return
    view = layout_graph_file(file)
    json.loads(view.to_text())
    numbers = [node.influence for node in view.full.nodes]
    numbers += [number for edge in view.full.edges for number in (edge.weight, edge.share)]
    assert all(map(math.isfinite, numbers))
    render_svg(view).encode()


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 2_000), byte=st.integers(0, 255))
def test_a_damaged_file_is_drawn_or_refused(cut, byte):
    whole = json.dumps(small_graph()).encode()
    for damaged in (whole[:cut], whole[:cut] + bytes([byte]) + whole[cut + 1 :]):
        with contextlib.suppress(cs.GraphFileError):
            layout_graph_file(parse_graph_json(damaged))


def test_score_and_ablation_come_back_and_are_missing_where_they_were():
    trace = cs.trace(tiny_replacement(n_layers=3, threshold=0.1), PROMPT)
    data = json.loads(json.dumps(graph_to_json(trace)))
    circuit = circuit_of_file(cs.parse_graph_json(json.dumps(data)))
    for name in ("score", "ablation_bits", "reached"):
        wanted, found = getattr(trace.circuit, name), getattr(circuit, name)
        torch.testing.assert_close(found, wanted, equal_nan=True)
    for node in data["nodes"]:
        assert (node["ablation_bits"] is None) == (node["feature_type"] != "cross layer transcoder")
        del node["ablation_bits"], node["score"]
    bare = circuit_of_file(cs.parse_graph_json(json.dumps(data)))
    assert bare.score.isnan().all()
    assert bare.ablation_bits.isnan().all()
