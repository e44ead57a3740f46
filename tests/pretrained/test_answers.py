"""Answers of Hugging Face models: rows of every family, and tokens that join at the boundary."""

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.pretrained import PretrainedModel
from circuitscope_core.tokenizer import HuggingFaceTokenizer
from tests.parity.test_answers import assert_rows_are_those_of_prefixes
from tests.pretrained.test_families import IDS, replacement_of
from tests.pretrained_families import CONFIGURATIONS, random_module
from tests.samples import tiny_model, tiny_transcoder


@pytest.mark.parametrize("family", CONFIGURATIONS)
def test_each_row_is_that_of_the_prefixs_own_graph(family):
    replacement = replacement_of(PretrainedModel(random_module(family)), "skip")
    if replacement.model.shape.mask_id is not None:
        with pytest.raises(cs.ModelError, match="in the mask's place"):
            cs.attribute(replacement, IDS, answer=2)
        return
    graph = cs.attribute(replacement, IDS[:9], answer=IDS[9:12])
    assert_rows_are_those_of_prefixes(replacement, graph, 1e-5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A byte-level BPE whose pieces reach over the end of a prompt."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "P"), ("a", "r"), ("ĠP", "ar"), ("(", "N")]
    pieces = [*alphabet, *("".join(pair) for pair in merges), "<|endoftext|>"]
    fast = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens(["<|endoftext|>"])
    path = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    fast.save(str(path))
    return HuggingFaceTokenizer(path)


@pytest.fixture(scope="module")
def replacement(tokenizer):
    return cs.ReplacementModel(tiny_model(d_vocab=tokenizer.d_vocab), tiny_transcoder(), tokenizer)


@pytest.mark.parametrize(
    ("prompt", "answer", "read", "given"),
    [
        ("is", " Paris", ["i", "s"], [" Par", "i", "s"]),
        ("is ", "Paris", ["i", "s"], [" Par", "i", "s"]),
        ("in (", "NDA", ["i", "n", " "], ["(N", "D", "A"]),
        ("in (", "DA", ["i", "n", " ", "("], ["D", "A"]),
        ("a", "é", ["a"], ["\\xc3", "\\xa9"]),
    ],
)
def test_an_answer_begins_with_the_token_that_holds_its_first_character(
    replacement, prompt, answer, read, given
):
    found = cs.answer_prompt(replacement, prompt, answer)
    texts = [replacement.token_text(token) for token in (*found.token_ids, found.answer_ids[-1])]
    assert texts == ["<|endoftext|>", *read, *given]
    assert len(found.answer_ids) == len(given)
    graph = cs.attribute(replacement, prompt, answer=answer)
    assert graph.logit_texts == tuple(given)
    assert bool(torch.isfinite(graph.adjacency).all())


def test_behind_token_ids_an_answer_is_encoded_by_itself(replacement):
    ids = [replacement.tokenizer.separator_id, *replacement.tokenizer.encode("in (")]
    found = cs.answer_prompt(replacement, ids, "NDA")
    assert [replacement.token_text(token) for token in found.answer_ids] == ["N", "D", "A"]
