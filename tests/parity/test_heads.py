"""Attention scores split by pairs of sources: against the model's scores, and carried forward."""

import dataclasses
import itertools

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.attribution.edges import _follow_up
from circuitscope_core.attribution.heads import read_by_source
from circuitscope_core.prompt_pass import run_prompt
from tests.parity.test_attribution import KINDS
from tests.samples import PROMPT, tiny_replacement

HEADS = list(itertools.product(range(3), range(2)))


def model_scores(replacement, token_ids):
    """Return the model's own scores before the softmax, by layer."""
    model, found = replacement.model, []
    stream = model.embed_tokens(token_ids[None])
    for layer, site in enumerate(model.record(token_ids[None]).sites):
        block = model.block(layer)
        query, key = block.attn.queries_and_keys(block.ln1(stream))
        found.append((query @ key.mT / model.config.d_head**0.5)[0])
        stream = site.resid_mid + site.mlp_out
    return found


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_all_pairs_add_up_to_the_score(kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    graph = cs.attribute(replacement, PROMPT)
    scores = model_scores(replacement, graph.token_ids)
    for layer, head in HEADS:
        for query, key in ((9, 4), (5, 5), (3, 0)):
            found = cs.explain_attention(
                replacement, graph, (layer, head), query, key, max_pairs=20
            )
            expected = float(scores[layer][head, query, key])
            assert found.score == pytest.approx(expected, rel=1e-4, abs=1e-4)
            listed = sum(pair.weight for pair in found.pairs)
            assert listed + found.rest == pytest.approx(found.score, rel=1e-6, abs=1e-6)
            strengths = [abs(pair.weight) for pair in found.pairs]
            assert strengths == sorted(strengths, reverse=True)
            if replacement.model.config.causal:
                attention = scores[layer][head, query, : query + 1].softmax(dim=0)[key]
            else:
                attention = scores[layer][head, query].softmax(dim=0)[key]
            assert found.attention == pytest.approx(float(attention), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[-1]], ids=str)
def test_each_source_is_what_it_becomes_when_carried_forward(kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    graph = cs.attribute(replacement, PROMPT)
    clean = run_prompt(replacement, graph.token_ids.tolist())
    model, position = replacement.model, 8
    for layer, head in HEADS[2:]:
        read = read_by_source(clean, layer, head, position, "key")
        block = model.block(layer)
        for source in range(0, read.shape[1] - 1, 7):
            arrives = _follow_up(clean, graph.node(source)).before[layer]
            norm = clean.frozen.record.layers[layer].attention_norm
            normalized = norm.through(arrives) if norm else arrives
            keys = (normalized @ block.attn.W_K[head])[None, None]
            if model.config.positions == "rotary":
                keys = block.attn.rotate(keys)
            torch.testing.assert_close(read[:, source], keys[0, 0, position], rtol=1e-4, atol=1e-5)


def test_a_pair_names_its_sources():
    replacement = tiny_replacement(n_layers=3)
    graph = cs.attribute(replacement, PROMPT)
    found = cs.explain_attention(replacement, graph, (2, 1), 9, 4)
    kinds = {node.kind for pair in found.pairs for node in (pair.query, pair.key) if node}
    assert kinds == {cs.NodeKind.FEATURE, cs.NodeKind.ERROR, cs.NodeKind.TOKEN}
    features = {tuple(row) for row in graph.features.tolist()}
    for pair in found.pairs:
        for node, limit in ((pair.query, 9), (pair.key, 4)):
            assert node is None or (node.layer < 2 and node.position <= limit)
            if node and node.kind is cs.NodeKind.FEATURE:
                assert (node.layer, node.position, node.feature) in features


def test_what_does_not_exist_is_refused():
    replacement = tiny_replacement()
    graph = cs.attribute(replacement, PROMPT)
    cases = {
        (2, 0, 1, 0): "The layer is 2; it must be from 0 to 1",
        (0, 2, 1, 0): "The head is 2; it must be from 0 to 1",
        (0, 0, 12, 0): "The query is 12",
        (0, 0, 3, 4): "The key is 4; it must be from 0 to 3",
    }
    for given, message in cases.items():
        with pytest.raises(cs.GraphError, match=message):
            cs.explain_attention(replacement, graph, given[:2], *given[2:])
    with pytest.raises(cs.GraphError, match="make it with attribute"):
        cs.explain_attention(replacement, dataclasses.replace(graph, targets=None), (0, 0), 1, 0)
