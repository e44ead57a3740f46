"""Transcoders that are trained for a Hugging Face model, from the command line to a graph."""

import json
import random
from dataclasses import replace

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.cli import main
from circuitscope_core.pipeline import layer_groups
from circuitscope_core.pretrained import PretrainedModel
from circuitscope_core.training import Progress, RunFolder
from tests.pretrained.test_load import write_tokenizer
from tests.pretrained_families import random_module
from tests.texts import write_parquet

CONFIG = cs.TranscoderTrainConfig(
    layers="1-2",
    d_transcoder=24,
    n_ctx=16,
    transcoder_training=cs.TranscoderTraining(
        n_tokens=4_000, batch_size=128, buffer_sequences=32, target_l0=4.0
    ),
    corpus=cs.CorpusConfig(skill_share=0.0, validation_every=10),
    feature_cards=cs.FeatureCardConfig(n_tokens=1_000, n_top_examples=2, context=4),
    metric_tokens=400,
    score_prompts=2,
    event_steps=4,
)
TRAINING = CONFIG.transcoder_training
TOPK = {"activation": "topk", "k": 4}
TOPK_TRAINING = replace(TRAINING, target_l0=0.0, sparsity_coefficient=0.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "llama"
    random_module("LLaMA-3", torch.float32).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def model(saved):
    return cs.load_model(saved)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    rng, words = random.Random(0), (" the", " cats", " sat", "s", " cats sat")
    texts = ["".join(rng.choice(words) for _ in range(40)) for _ in range(150)]
    return write_parquet(tmp_path_factory.mktemp("text") / "cats.parquet", texts)


def train(model, text, out, config=CONFIG, **changes):
    """Train to the end and return the transcoder of the result."""
    *_, last = cs.train_transcoder(model, replace(config, **changes), text, out)
    return cs.load_transcoder(f"{last.bundle}/transcoder")


def assert_equal_layers(one, two, layers):
    for layer in layers:
        for name in ("W_enc", "b_enc", "b_dec", "log_threshold"):
            assert torch.equal(getattr(one, name)[layer], getattr(two, name)[layer]), (name, layer)
        assert torch.equal(one.W_dec[layer], two.W_dec[layer]), layer


@pytest.fixture(scope="module")
def trained(saved, text, tmp_path_factory):
    """The result of the command line, in a folder of models."""
    models = tmp_path_factory.mktemp("models")
    settings = models / "settings.json"
    settings.write_text(json.dumps(CONFIG.to_json()), encoding="utf-8")
    command = ["train-transcoder", "--model", str(saved), "--source", text, "--out"]
    command += [str(models / "mine"), "--config", str(settings), "--json"]
    assert main(command) == 0
    return models / "mine"


def test_what_the_command_trains_opens_as_a_model_and_as_a_transcoder(trained):
    bundle, transcoder = cs.load_bundle(trained), cs.load_transcoder(trained / "transcoder")
    assert transcoder.config.trained_layers == (1, 2)
    assert transcoder.config.d_transcoder == 24
    assert not transcoder.W_dec[0].any()
    assert bool(transcoder.W_dec[2].any())
    metrics = bundle.metadata.metrics
    assert 1 < metrics["l0"] < 12
    assert 0 < metrics["normalized_mse"] < 1
    assert metrics["trained_layers"] == 2
    for name in ("replacement_agreement", "ce_recovered", "replacement_score", "dead"):
        assert name in metrics
    assert metrics["dead_tokens"] > 500
    assert {card.layer for card in bundle.feature_cards} == {1, 2}
    assert len(bundle.feature_cards) == 48
    assert max(bundle.feature_cards.column("frequency")) > 0
    assert bundle.global_weights is not None
    assert "train-transcoder" in bundle.metadata.command
    (listed,) = cs.list_models(trained.parent)
    assert listed.features == "transcoder of layers 1–2"


def test_layers_that_nobody_trained_are_errors_of_a_graph(trained):
    bundle = cs.load_bundle(trained)
    graph = cs.attribute(bundle, " the cats sat the cats")
    assert graph.n_features > 0
    assert set(graph.features[:, 0].tolist()) <= {1, 2}
    clean = cs.run_prompt(bundle, " the cats sat the cats")
    outputs = clean.record.sequence().outputs()
    torch.testing.assert_close(clean.error_vectors[0, 1:], outputs[0, 1:])
    assert not torch.allclose(clean.error_vectors[1, 1:], outputs[1, 1:])
    rows = graph.target_nodes
    got = graph.adjacency[rows].sum(dim=1) + graph.bias[rows]
    torch.testing.assert_close(got, graph.pre_activations[rows], rtol=1e-3, atol=1e-3)
    assert main(["trace", "--bundle", str(trained), "--prompt", " the cats"]) == 0


def test_a_taken_name_is_refused_and_replaced_on_purpose(trained, saved, text, tmp_path):
    with pytest.raises(cs.TrainingError, match="There is a model 'mine'"):
        list(cs.train_transcoder(saved, CONFIG, text, trained))
    short = replace(CONFIG, transcoder_training=replace(TRAINING, n_tokens=256), layers="2")
    train(saved, text, tmp_path / "again", short)
    *_, _ = cs.train_transcoder(
        saved, replace(short, layers="1"), text, tmp_path / "again", overwrite=True
    )
    assert cs.load_transcoder(tmp_path / "again" / "transcoder").config.trained_layers == (1,)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cross_layer": True, "transcoder_training": replace(TRAINING, causal_weight=0.2)},
        {**TOPK, "transcoder_training": TOPK_TRAINING, "group_layers": 1},
    ],
    ids=["per-layer", "cross-layer with interventions", "top-k in groups"],
)
def test_a_training_that_was_cancelled_ends_with_the_same_weights(model, text, tmp_path, changes):
    whole = train(model, text, tmp_path / "whole", **changes)
    config = replace(CONFIG, **changes)
    events = cs.train_transcoder(model, config, text, tmp_path / "cut")
    for event in events:
        far = isinstance(event, Progress) and event.phase == "transcoder"
        if far and event.step > 0.7 * event.n_steps:
            break
    events.close()
    assert RunFolder.for_bundle(tmp_path / "cut").is_begun
    resumed = train(model, text, tmp_path / "cut", **changes)
    assert_equal_layers(whole, resumed, range(3))


@pytest.mark.parametrize("kind", [{}, {**TOPK, "transcoder_training": TOPK_TRAINING}], ids=str)
def test_layers_give_the_same_weights_together_alone_and_in_groups(model, text, tmp_path, kind):
    together = train(model, text, tmp_path / "together", **kind)
    groups = train(model, text, tmp_path / "groups", group_layers=1, **kind)
    alone = train(model, text, tmp_path / "alone", layers="2", **kind)
    assert_equal_layers(together, groups, (1, 2))
    assert_equal_layers(together, alone, (2,))


def test_a_buffer_on_disk_trains_the_same(model, text, tmp_path):
    memory = train(model, text, tmp_path / "memory")
    disk = train(model, text, tmp_path / "disk", buffer_place="disk")
    assert_equal_layers(memory, disk, (1, 2))


def test_all_layers_with_a_skip_connection_need_no_mention(model, text, tmp_path):
    config = replace(CONFIG, layers="all", cross_layer=True, skip_connection=True)
    transcoder = train(model, text, tmp_path / "all", config)
    assert transcoder.config.trained_layers is None
    assert transcoder.W_dec[0].shape == (24, 3, 48)
    assert transcoder.config.skip_connection


def test_the_other_layers_keep_their_mlps_where_the_rest_is_replaced(trained):
    bundle = cs.load_bundle(trained)
    from circuitscope_core.replacement import run_replacement

    ids = bundle.model.tokens(bundle.replacement.encode(" the cats sat the"))
    with torch.no_grad():
        transcoder = bundle.transcoder
        seen = {}

        def edit(call):
            if call.layer == 0:
                return call.mlp_out()
            read = call.read("in")
            made = transcoder.write(call.layer, transcoder.encode(call.layer, read))[..., 0, :]
            out = made + transcoder.b_dec[call.layer]
            out[:, :1] = call.run(call.mlp_in[:, :1])
            seen[call.layer] = out
            return out

        wanted = bundle.model.logits_after(bundle.model.mlp_pass(ids, edit))
    assert set(seen) == {1, 2}
    torch.testing.assert_close(run_replacement(bundle.model, transcoder, ids), wanted)


REFUSED = [
    ({"layers": "1-7"}, cs.ConfigError, "there is no layer 3; the model has layers 0 to 2"),
    ({"buffer_bytes": 5_000}, cs.TrainingError, "one sequence take 5,760 bytes"),
    ({"n_ctx": 65}, cs.TrainingError, "reads at most 64 tokens"),
    (
        {"transcoder_training": replace(TRAINING, n_tokens=90_000)},
        cs.TrainingError,
        "looks at 45,000 of them",
    ),
    (
        {"layers": "1", "transcoder_training": replace(TRAINING, causal_weight=0.2)},
        cs.ConfigError,
        "names one layer",
    ),
]


@pytest.mark.parametrize(("changes", "error", "words"), REFUSED, ids=lambda item: str(item)[:30])
def test_what_cannot_be_trained_is_said_before_the_training(
    model, text, tmp_path, changes, error, words
):
    with pytest.raises(error, match=words):
        list(cs.train_transcoder(model, replace(CONFIG, **changes), text, tmp_path / "new"))


def test_too_little_memory_is_said_with_the_remedy_or_divides_the_layers(
    model, text, tmp_path, monkeypatch
):
    one = layer_groups.needs_of(CONFIG, model, 1).total / layer_groups.FREE_SHARE
    divided = layer_groups.divide_layers(CONFIG, model, (0, 1, 2), int(one) + 1)
    assert divided == ((0,), (1,), (2,))
    assert layer_groups.divide_layers(CONFIG, model, (0, 1, 2), 2**40) == ((0, 1, 2),)
    monkeypatch.setattr("circuitscope_core.pipeline.transcoder_job.free_bytes", lambda _: 10**6)
    with pytest.raises(cs.TrainingError, match=r"one layer takes .* smaller d_transcoder"):
        list(cs.train_transcoder(model, CONFIG, text, tmp_path / "new"))
    cross = replace(CONFIG, cross_layer=True)
    with pytest.raises(cs.TrainingError, match=r"2 layers together takes .* fewer layers"):
        list(cs.train_transcoder(model, cross, text, tmp_path / "new"))


def test_a_full_disk_is_said_before_the_training(model, text, tmp_path, monkeypatch):
    from circuitscope_core.training import shuffle_buffer

    class Full:
        free = 1000

    monkeypatch.setattr(shuffle_buffer.shutil, "disk_usage", lambda _: Full)
    on_disk = replace(CONFIG, buffer_place="disk")
    with pytest.raises(cs.TrainingError, match=r"where 1\.0 kB are free"):
        list(cs.train_transcoder(model, on_disk, text, tmp_path / "new"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({**TOPK}, "target_l0 is 4.0 and activation is 'topk'"),
        (
            {"read_point": "pre", "transcoder_training": replace(TRAINING, causal_weight=0.1)},
            "reads before attention",
        ),
        ({"layers": "2-1"}, "'2-1' is neither a layer nor a range"),
        ({"layers": "x"}, "'x' is neither a layer nor a range"),
        ({"layers": " "}, "layers is empty"),
        ({"cross_layer": True, "group_layers": 2}, "trained together"),
        ({"corpus": cs.CorpusConfig()}, "skill_share is 0.3"),
        ({"n_ctx": 1}, "needs 2 tokens or more"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(changes, words):
    with pytest.raises(cs.ConfigError, match=words):
        replace(CONFIG, **changes)


def test_settings_travel_as_json():
    topk = cs.TranscoderTrainConfig.for_topk(32)
    assert cs.TranscoderTrainConfig.from_json(json.loads(json.dumps(topk.to_json()))) == topk
    assert topk.chosen_layers(30) == (14, 15, 16)


def test_a_model_in_memory_or_without_tokenizer_is_refused(text, tmp_path):
    module = random_module("GPT-2", torch.float32)
    with pytest.raises(cs.TrainingError, match="in memory only"):
        cs.train_transcoder(PretrainedModel(module), CONFIG, text, tmp_path / "new")
    module.save_pretrained(tmp_path / "bare")
    with pytest.raises(cs.TrainingError, match=r"no tokenizer\.json"):
        list(cs.train_transcoder(tmp_path / "bare", CONFIG, text, tmp_path / "new"))


def test_an_estimate_says_time_memory_and_disk(saved, tmp_path, capsys):
    command = ["train-transcoder", "--model", str(saved), "--out", str(tmp_path / "new")]
    command += ["--layers", "1-2", "--features", "24", "--set", "n_ctx=16", "--estimate"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layers"] == [1, 2]
    assert found["training_seconds"] > 0
    assert (
        found["weights_bytes"]
        == 16 * cs.TranscoderConfig(2, 48, 24, cross_layer=False).count_parameters()
    )
    assert 0 < found["buffer_bytes"] <= 2**30
    assert main(command) == 0
    said = capsys.readouterr().out
    for word in ("Time: about", "Memory:", "Disk: about", "passes of the model a token"):
        assert word in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["LLaMA-3", "GPT-2", "Phi-2", "Falcon-7B", "Gemma-2", "OLMo-2"])
def test_mlps_can_be_asked_alone_and_layers_one_by_one(name):
    model = PretrainedModel(random_module(name))
    ids = model.tokens([1, 5, 17, 3, 60, 8])
    sites = model.mlp_pass(ids).sites
    (site,) = model.mlp_sites(ids, {1})
    for wanted in ("resid_mid", "mlp_in", "mlp_out", "resid_pre"):
        assert torch.equal(getattr(site, wanted), getattr(sites[1], wanted))
    asked = model.run_mlp_at(1, site.resid_mid[0])
    torch.testing.assert_close(asked.mlp_out, site.mlp_out[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(asked.read("in"), site.mlp_in[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "write_point", "words"),
    [("DistilBERT", "added", "normalises the stream"), ("Gemma-2", "raw", "norm lies between")],
)
def test_a_model_whose_stream_is_no_plain_sum_is_not_asked(name, write_point, words):
    model = PretrainedModel(random_module(name)).writing_at(write_point)
    with pytest.raises(cs.ModelError, match=words):
        model.run_mlp_at(0, torch.ones(1, 48, dtype=torch.float64))
