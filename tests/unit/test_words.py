"""Words: tokens in one column, their weights summed exactly."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitscope_core.attribution import attribute
from circuitscope_core.circuit import circuit_of
from circuitscope_core.pruning import prune_graph
from circuitscope_core.tokenizer import ByteTokenizer
from circuitscope_core.view import Extras, Folding, layout_graph
from circuitscope_core.view.words import MOST_PIECES, folded_words, words_of
from tests.samples import tiny_replacement

TOKENIZER = ByteTokenizer()
TEXT = "The Digital Data (DD) and the data of it"


@pytest.fixture(scope="module")
def pruned():
    replacement = tiny_replacement(model={"n_ctx": 64})
    return prune_graph(attribute(replacement, TEXT), 0.95, 0.99)


@given(st.lists(st.text(max_size=3), min_size=1, max_size=30))
def test_every_position_is_in_one_word_in_its_order(texts):
    words = words_of(texts)
    assert [place for word in words for place in word] == list(range(len(texts)))
    assert words[0] == (0,)


def test_words_take_the_white_space_before_them_and_signs_stand_alone():
    assert words_of(["|", "T", "h", "e", " ", "c", "a", "t", " ", "(", "N"]) == (
        *((0,), (1, 2, 3), (4, 5, 6, 7), (8, 9), (10,)),
    )


def test_bytes_are_folded_unasked_and_few_tokens_are_not(pruned):
    circuit = circuit_of(pruned)
    assert folded_words(circuit, Folding())
    assert folded_words(circuit, Folding(by_words=False)) == ()
    first = folded_words(circuit, Folding())[0]
    rest = folded_words(circuit, Folding(unfolded=frozenset({first[0]})))
    assert first not in rest
    assert all(1 < len(word) <= MOST_PIECES for word in rest)


def picture_of(pruned, **folding):
    return layout_graph(pruned, TOKENIZER, extras=Extras(folding=Folding(**folding))).full


def test_weights_of_a_words_tokens_add_up_to_the_words(pruned):
    tokens, words = picture_of(pruned, by_words=False), picture_of(pruned, by_words=True)
    alone = {}
    for edge in tokens.edges:
        pair = tokens.nodes[edge.source].id, tokens.nodes[edge.target].id
        alone[pair] = edge.weight
    homes = {member: node.id for node in words.nodes for member in node.members or (node.id,)}
    sums = {}
    for (source, target), weight in alone.items():
        pair = homes[source], homes[target]
        sums[pair] = sums.get(pair, 0.0) + weight
    found = {
        (words.nodes[edge.source].id, words.nodes[edge.target].id): edge.weight
        for edge in words.edges
    }
    assert found.keys() == {pair for pair, weight in sums.items() if weight != 0}
    for pair, weight in found.items():
        assert weight == pytest.approx(sums[pair], rel=1e-4, abs=1e-6)


def test_a_word_is_one_glyph_over_its_own_column(pruned):
    picture = picture_of(pruned, by_words=True)
    columns = {band.label: band for band in picture.columns}
    folded = [node for node in picture.nodes if node.folded]
    assert folded
    for node in folded:
        band = columns[node.label.strip("“”")]
        assert band.start <= node.x <= band.end
        assert len(node.members) > 1
        assert node.kind == "token"
    assert len(picture.columns) < len(TEXT) + 1


def test_an_unfolded_word_has_its_tokens_again(pruned):
    word = folded_words(circuit_of(pruned), Folding(by_words=True))[0]
    picture = picture_of(pruned, by_words=True, unfolded=frozenset({word[0]}))
    places = [node.position for node in picture.nodes if node.kind == "token" and not node.folded]
    assert set(word) <= set(places)


def test_sums_are_those_of_the_whole_graph(pruned):
    picture = picture_of(pruned, by_words=True)
    total = sum(edge.weight for edge in picture.edges)
    assert total == pytest.approx(float(torch.sum(pruned.kept_effects)), rel=1e-3)
