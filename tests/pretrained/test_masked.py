"""Masked models: the mask is the question, text stands on both sides of it, norms on the stream."""

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

import circuitscope_core as cs
from circuitscope_core.language_model import GatedNorm
from circuitscope_core.pretrained import PretrainedModel
from circuitscope_core.prompt_pass import next_tokens, run_prompt
from tests.pretrained.test_families import far, replacement_of
from tests.pretrained_families import random_module, transformers

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "dog", "sat", "on", "mat", "##s", "."]
MASK = 95
IDS = [2, 4, 30, MASK, 12, 5, 21, 3]


def write_tokenizer(folder):
    pieces = [*PIECES, *(f"word{n}" for n in range(len(PIECES), MASK)), "[MASK]", "last"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    fast = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece()
    fast.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast.save(str(folder / "tokenizer.json"))
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "distilbert"
    module = random_module("DistilBERT", torch.float32)
    del module.config.mask_token_id
    module.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def model():
    return PretrainedModel(random_module("DistilBERT"))


def test_a_folder_is_opened_and_its_mask_is_what_a_graph_explains(saved):
    model = cs.load_model(saved)
    bundle = cs.make_bundle(model)
    text = "the cats sat on the [MASK]."
    trace = cs.trace(bundle, text, against="the dogs sat on the [MASK].")
    ids = trace.graph.token_ids.tolist()
    assert [model.tokenizer.token_text(number) for number in (ids[0], ids[-1])] == [
        "[CLS]",
        "[SEP]",
    ]
    place = ids.index(MASK)
    assert place == 7
    assert set(trace.graph.target_positions.tolist()) == {place}
    module = transformers.AutoModelForMaskedLM.from_pretrained(saved).eval()
    with torch.no_grad():
        logits = module(input_ids=torch.tensor([ids])).logits[0, place]
    found = next_tokens(bundle, text, 3)
    best = logits.softmax(dim=0).topk(3)
    assert [item.text for item in found] == [
        model.tokenizer.token_text(number) for number in best.indices.tolist()
    ]
    given = torch.tensor([item.probability for item in found])
    assert torch.allclose(given, best.values, atol=1e-5)


def test_a_prompt_has_exactly_one_mask(model):
    replacement = replacement_of(model, "per-layer")
    for ids, n in (([2, 4, 5, 3], 0), ([2, MASK, MASK, 3], 2)):
        for ask in (run_prompt, next_tokens):
            with pytest.raises(cs.PromptError, match=f"has {n} tokens that ask.*token {MASK}"):
                ask(replacement, ids)


def test_a_text_is_not_continued(model):
    with pytest.raises(cs.ModelError, match="it does not continue texts"):
        cs.continue_prompt(replacement_of(model, "per-layer"), IDS)


def test_a_model_without_a_mask_is_refused():
    module = random_module("DistilBERT")
    del module.config.mask_token_id
    with pytest.raises(cs.ModelError, match=r"neither .* names a mask.*set mask_token_id"):
        PretrainedModel(module)


def test_features_on_both_sides_of_the_mask_act_on_it(model):
    graph = cs.attribute(run_prompt(replacement_of(model, "cross-layer"), IDS), IDS)
    edges = graph.adjacency[graph.logit_nodes.start, : graph.n_features]
    for side in (graph.features[:, 1] < 3, graph.features[:, 1] > 3):
        assert float(edges[side].abs().max()) > 1e-3


@torch.no_grad()
def test_the_head_is_an_affine_map_at_each_position(model):
    record = model.record(model.tokens(IDS))
    assert isinstance(record.final_norm, GatedNorm)
    stream, other = record.streams[-1], torch.randn_like(record.streams[-1])
    assert far(record.final_norm.apply(stream), record.final) < 1e-12
    moved = record.final_norm.apply(stream + other) - record.final_norm.apply(stream)
    assert far(record.final_norm.through(other), moved) < 1e-12
    vectors = torch.randn_like(record.final)
    ahead = (vectors * record.final_norm.through(other)).sum()
    assert float((record.final_norm.back(vectors) * other).sum()) == pytest.approx(float(ahead))


@pytest.mark.parametrize("kind", ["cross-layer", "skip", "pre"])
def test_an_edge_is_the_sum_of_its_paths_through_norms_on_the_stream(model, kind):
    clean = run_prompt(replacement_of(model, kind), IDS)
    graph = cs.attribute(clean, IDS)
    target = graph.logit_nodes.start
    low = (graph.features[:, 0] == 0).nonzero()[:, 0]
    lowest = int(low[graph.adjacency[target, low].abs().argmax()])
    for source in (lowest, graph.index_of_token(1), graph.index_of_error(0, 5)):
        found = cs.explain_edge(clean, graph, source, target)
        assert found.complete
        assert abs(found.rest) < 1e-5 * max(1.0, abs(found.weight))
        assert len(found.paths) > 1


def test_another_token_is_seen_behind_the_norm_over_embeddings(model):
    clean = run_prompt(replacement_of(model, "per-layer"), IDS)
    same = cs.intervene(clean, IDS, [cs.TokenIntervention(2, token_id=30)], mode="direct")
    assert far(same.logits_after, same.logits_before) < 1e-12
    changed = cs.intervene(clean, IDS, [cs.TokenIntervention(2, token_id=31)], mode="direct")
    assert far(changed.logits_after, changed.logits_before) > 1e-3
