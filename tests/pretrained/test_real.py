"""Two real pretrained models: they say what they are known to say, and graphs of them are exact."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.training import (
    CheckpointFile,
    Pace,
    TokenWindows,
    TranscoderTrainer,
)

pytest.importorskip("transformers")
ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("CIRCUITSCOPE_TEST_DATA", ROOT.parent / "shared" / "data"))
FOLDER = DATA / "pretrained"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the pretrained models are not in {FOLDER}"
)
STORY = "Once upon a time, there was a little girl named"
KNOWN = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball. She wanted to play with it, but it was too high."
)


@pytest.fixture(scope="module")
def stories():
    return cs.load_model(FOLDER / "stories260K")


@torch.no_grad()
def continued(model, ids, n_tokens, generator=None):
    """Add the likeliest tokens to every row, or drawn ones where there is a generator."""
    for _ in range(n_tokens):
        logits = model(ids)[:, -1]
        if generator is None:
            new = logits.argmax(dim=-1, keepdim=True)
        else:
            new = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        ids = torch.cat([ids, new], dim=1)
    return ids


def test_a_model_of_stories_begins_with_the_one_it_is_known_for(stories):
    opener = stories.tokens([stories.tokenizer.separator_id])
    told = continued(stories, opener, 80)[0].tolist()
    text = "".join(map(stories.tokenizer.token_text, told[1:]))
    assert text.lstrip().startswith(KNOWN)


def test_the_girls_name_is_traced_to_the_models_own_neurons(stories):
    bundle = cs.make_bundle(stories)
    second = STORY.replace("girl", "boy")
    trace = cs.trace(bundle, STORY, against=second)
    graph = trace.graph
    assert graph.logit_texts[0].startswith("␣Lily − ")
    rows = graph.target_nodes
    size = graph.adjacency[rows].abs().sum(1) + graph.bias[rows].abs()
    got = graph.adjacency[rows].double().sum(1) + graph.bias[rows]
    assert float(((got - graph.pre_activations[rows]).abs() / size).max()) < 1e-5
    curve = cs.verify_by_patching(bundle, graph)
    assert curve.clean > 0 > curve.other
    assert curve.flips_at is not None
    assert abs(curve.left[-1]) < 0.5 < curve.left_by_chance[-1]


def test_a_model_without_text_sorts_every_input():
    model = cs.load_model(FOLDER / "gpt-nano-sort")
    assert model.shape.n_opening == 0
    every = torch.tensor(list(itertools.product(range(3), repeat=6)))
    # the model reads eleven tokens, and the twelfth is the last of the answer
    assert torch.equal(continued(model, every, 6)[:, 6:], every.sort(dim=1).values)
    assert len(every) == 729


@pytest.fixture(scope="module")
def transcoder(stories, tmp_path_factory):
    """A per-layer transcoder, trained for seconds on what the model itself tells."""
    generator = torch.Generator().manual_seed(0)
    opener = stories.tokens([1]).expand(96, -1)
    told = continued(stories, opener, 64, generator)
    stream = told.flatten().numpy().astype(np.uint32)
    trainer = TranscoderTrainer(
        model=stories,
        transcoder=cs.CrossLayerTranscoder(
            cs.TranscoderConfig(5, 64, d_transcoder=256, cross_layer=False)
        ),
        train=TokenWindows.of(stream, 1, 64),
        settings=cs.TranscoderTraining(
            n_tokens=200_000, batch_size=512, buffer_sequences=96, target_l0=12.0
        ),
        seed=0,
        pace=Pace(100, float("inf")),
        checkpoint=CheckpointFile(tmp_path_factory.mktemp("t") / "state.safetensors"),
    )
    for _ in trainer.events():
        pass
    return trainer.folded().requires_grad_(False)


def test_a_real_prompt_has_an_exact_graph_of_which_the_model_can_be_asked(stories, transcoder):
    bundle = cs.make_bundle(stories, transcoder)
    clean = cs.run_prompt(bundle, STORY)
    found = cs.trace(clean, STORY)
    graph = found.graph
    assert graph.logit_texts[0] == " Lily"
    assert float(graph.logit_probabilities[0]) > 0.9
    assert graph.n_features > 100
    assert found.scores.replacement > 0.5
    rows = graph.target_nodes
    size = graph.adjacency[rows].abs().sum(1) + graph.bias[rows].abs()
    got = graph.adjacency[rows].sum(1) + graph.bias[rows]
    assert float(((got - graph.pre_activations[rows]).abs() / size).max()) < 1e-5
    # the token that the name follows, taken out of the stream with patterns and norms frozen
    node = graph.index_of_token(graph.n_pos - 1)
    result = cs.intervene(clean, STORY, cs.change_nodes(graph, [node]), mode="direct")
    lost = (result.logits_before - result.logits_after)[-1]
    column = graph.adjacency[graph.logit_nodes, node]
    assert torch.allclose(lost[graph.logit_token_ids] - lost.mean(), column, atol=1e-3)
    source, target = graph.index_of_token(2), int(graph.n_nodes - graph.n_logits)
    edge = cs.explain_edge(clean, graph, source, target, max_routes=4096)
    assert edge.weight == pytest.approx(float(graph.adjacency[target, source]), abs=1e-4)


@pytest.mark.parametrize("mode", ["direct", "constrained", "iterative"])
def test_text_goes_on_under_an_intervention_as_without_one_that_changes_nothing(
    stories, transcoder, mode
):
    bundle = cs.make_bundle(stories, transcoder)
    plain = cs.continue_prompt(bundle, STORY, n_tokens=6, mode=mode)
    assert plain.text.startswith(" Lily")
    clean = cs.run_prompt(bundle, STORY)
    layer, position, feature = clean.features[-1].tolist()
    same = cs.Intervention(layer, position, feature, float(clean.activations[-1]))
    again = cs.continue_prompt(bundle, STORY, [same], n_tokens=6, mode=mode)
    assert again.token_ids == plain.token_ids
    assert again.probabilities == pytest.approx(plain.probabilities, abs=1e-4)


def test_pages_and_files_of_a_real_model_are_written(stories, transcoder, tmp_path):
    bundle = cs.make_bundle(stories, transcoder)
    found = cs.trace(bundle, STORY)
    page = cs.export_html(found, bundle, tmp_path / "story.html")
    assert "Lily" in page.read_text(encoding="utf-8")
    file = cs.read_graph_file(cs.export_graph(found, tmp_path / "story.json"))
    assert len(file.nodes) == len(found.circuit)
    with pytest.raises(cs.BundleError, match="no feature cards"):
        cs.save_bundle(bundle, tmp_path / "bundle")


def test_a_bundle_refers_to_the_folder_of_its_model(stories, transcoder, tmp_path):
    from circuitscope_core.config import FeatureCardConfig
    from circuitscope_core.feature_cards import measure_cards

    bundle = cs.make_bundle(stories, transcoder)
    windows = continued(stories, stories.tokens([1]).expand(4, -1), 24)
    *_, collected = measure_cards(bundle.replacement, windows, None, FeatureCardConfig())
    whole = cs.make_bundle(stories, transcoder, collected.cards)
    loaded = cs.load_bundle(cs.save_bundle(whole, tmp_path / "bundle"))
    assert not (tmp_path / "bundle" / "transformer.safetensors").exists()
    one, other = (cs.attribute(item, STORY) for item in (whole, loaded))
    assert torch.equal(one.adjacency, other.adjacency)
