"""Saving and loading: the same outputs, and damage is refused."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import circuitscope_core as cs
from circuitscope_core.feature_cards import FeatureCard, FeatureCards
from tests.samples import PROMPT, tiny_model, tiny_replacement, tiny_transcoder

CARD = {
    "label": "",
    "frequency": 0.5,
    "max_activation": 2.0,
    "histogram": (1,) * 40,
    "quantiles": (1.0,) * 99,
    "top_tokens": (65, 66),
    "bottom_tokens": (67,),
    "examples": (cs.Example("top", "<b>src</b>", (60, 98, 62), (0.0, 2.0, 0.0), 1),),
}


def make_bundle(**changes):
    replacement = tiny_replacement(**changes)
    sizes = replacement.transcoder.config
    cards = [
        FeatureCard(layer=layer, feature=feature, **CARD)
        for layer in range(sizes.n_layers)
        for feature in range(sizes.d_transcoder)
    ]
    return cs.Bundle(
        replacement.model,
        replacement.transcoder,
        replacement.tokenizer,
        FeatureCards.of(cards, sizes.d_transcoder),
        cs.BundleMetadata("tiny", metrics={"l0": 1.0}),
    )


@pytest.fixture
def folder(tmp_path):
    return cs.save_bundle(make_bundle(), tmp_path / "tiny")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {"positions": "learned", "tied_embeddings": True}},
        {"model": {"normalization": None}, "transcoder": {"read_point": "mid"}},
        {"n_layers": 3, "transcoder": {"cross_layer": False}},
    ],
    ids=str,
)
def test_a_saved_bundle_loads_to_the_same_output(tmp_path, changes):
    bundle = make_bundle(**changes)
    loaded = cs.load_bundle(cs.save_bundle(bundle, tmp_path / "tiny"))
    tokens = torch.tensor([[256, 65, 66]])
    assert torch.equal(loaded.model(tokens), bundle.model(tokens))
    assert loaded.transcoder.config == bundle.transcoder.config
    before, after = cs.attribute(bundle, PROMPT), cs.attribute(loaded, PROMPT)
    torch.testing.assert_close(after.adjacency, before.adjacency)
    assert list(loaded.feature_cards) == list(bundle.feature_cards)
    assert loaded.metadata == bundle.metadata


def test_a_tokenizer_of_ones_own_travels_with_the_bundle_also_when_its_folder_is_gone(tmp_path):
    words = {"<|endoftext|>": 0, "a": 1, "navy": 2, "[UNK]": 3}
    made = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = cs.HuggingFaceTokenizer(tmp_path / "tokenizer.json")
    model = tiny_model(d_vocab=tokenizer.d_vocab)
    bundle = dataclasses.replace(make_bundle(), model=model, tokenizer=tokenizer)
    cs.save_bundle(bundle, tmp_path / "one")
    loaded = cs.load_bundle(tmp_path / "one")
    shutil.rmtree(tmp_path / "one")
    cs.save_bundle(loaded, tmp_path / "two")
    again = cs.load_bundle(tmp_path / "two").tokenizer
    assert again.encode("navy a ship") == tokenizer.encode("navy a ship") == [2, 1, 3]


def test_the_transcoder_is_in_circuit_tracers_layout(folder):
    encoder = load_file(folder / "transcoder" / "W_enc_1.safetensors")
    decoder = load_file(folder / "transcoder" / "W_dec_0.safetensors")
    shapes = {name: tuple(value.shape) for name, value in encoder.items()}
    assert shapes == {
        "W_enc_1": (12, 8),
        "b_enc_1": (12,),
        "b_dec_1": (8,),
        "threshold_1": (12,),
    }
    assert tuple(decoder["W_dec_0"].shape) == (12, 2, 8)
    config = (folder / "transcoder" / "config.yaml").read_text()
    assert "feature_input_hook: mlp.hook_in" in config
    assert "model_kind: cross_layer_transcoder" in config


def test_a_transcoder_without_thresholds_is_relu(folder):
    for layer in range(2):
        path = folder / "transcoder" / f"W_enc_{layer}.safetensors"
        tensors = load_file(path)
        save_file({k: v for k, v in tensors.items() if "threshold" not in k}, path)
    transcoder = cs.load_transcoder(folder / "transcoder")
    x = torch.randn(5, 8)
    torch.testing.assert_close(
        transcoder.encode(0, x), torch.relu(transcoder.pre_activations(0, x))
    )


@pytest.mark.parametrize("cross_layer", [True, False])
@pytest.mark.parametrize("skip_connection", [True, False])
def test_every_kind_of_transcoder_survives_its_folder(tmp_path, cross_layer, skip_connection):
    kind = {"cross_layer": cross_layer, "skip_connection": skip_connection}
    transcoder = tiny_transcoder(n_layers=3, **kind)
    cs.save_transcoder(transcoder, tmp_path)
    loaded = cs.load_transcoder(tmp_path)
    assert loaded.config == transcoder.config
    for name, value in transcoder.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)
    lazy = cs.load_transcoder(tmp_path, lazy_decoders=True)
    assert not any(name.startswith("W_dec") for name in lazy.state_dict())
    for layer, decoders in enumerate(transcoder.W_dec):
        assert torch.equal(lazy.W_dec[layer], decoders)
        for features in (torch.tensor([5, 0, 5]), torch.tensor([], dtype=torch.int64)):
            assert torch.equal(lazy.decoder_rows(layer, features), decoders[features])


def test_a_transcoder_in_use_survives_another_in_its_folder(tmp_path):
    first, other = tiny_transcoder(seed=1), tiny_transcoder(seed=2)
    cs.save_transcoder(first, tmp_path)
    loaded = cs.load_transcoder(tmp_path)
    lazy = cs.load_transcoder(tmp_path, lazy_decoders=True)
    cs.save_transcoder(other, tmp_path)
    assert torch.equal(loaded.W_dec[0], first.W_dec[0])
    assert torch.equal(lazy.W_dec[0], first.W_dec[0])
    assert torch.equal(cs.load_transcoder(tmp_path).W_dec[0], other.W_dec[0])
    assert not list(tmp_path.glob("*.partial"))


def test_decoders_are_read_alike_where_the_system_reads_at_no_place(tmp_path, monkeypatch):
    transcoder = tiny_transcoder()
    cs.save_transcoder(transcoder, tmp_path)
    monkeypatch.delattr("os.preadv", raising=False)
    lazy = cs.load_transcoder(tmp_path, lazy_decoders=True)
    features = torch.tensor([5, 0, 5, 11])
    for layer, decoders in enumerate(transcoder.W_dec):
        assert torch.equal(lazy.decoder_rows(layer, features), decoders[features])


def test_decoders_left_on_disk_give_the_same_graph(tmp_path):
    loaded = tiny_replacement(seed=3)
    cs.save_transcoder(loaded.transcoder, tmp_path)
    lazy = cs.load_transcoder(tmp_path, lazy_decoders=True)
    replacement = cs.ReplacementModel(loaded.model, lazy, loaded.tokenizer)
    graph, expected = (cs.attribute(model, PROMPT) for model in (replacement, loaded))
    assert graph.n_features > 0
    assert torch.equal(graph.adjacency, expected.adjacency)


def test_half_precision_decoders_are_read_alike_from_disk_and_memory(tmp_path):
    cs.save_transcoder(tiny_transcoder(), tmp_path)
    path = tmp_path / "W_dec_0.safetensors"
    save_file({name: value.bfloat16() for name, value in load_file(path).items()}, path)
    lazy = cs.load_transcoder(tmp_path, lazy_decoders=True)
    assert torch.equal(lazy.W_dec[0], cs.load_transcoder(tmp_path).W_dec[0])
    assert lazy.W_dec[0].dtype == torch.float32


def test_per_layer_sets_hold_their_skip_weights_transposed(tmp_path):
    tensors = {
        "W_enc": torch.randn(5, 4),
        "W_dec": torch.randn(5, 4),
        "b_enc": torch.randn(5),
        "b_dec": torch.randn(4),
        "W_skip": torch.randn(4, 4),
    }
    save_file(tensors, tmp_path / "layer_0.safetensors")
    transcoder = cs.load_transcoder(tmp_path)
    x = torch.randn(1, 7, 4)
    acts = transcoder.encode(0, x)
    torch.testing.assert_close(acts, torch.relu(x @ tensors["W_enc"].T + tensors["b_enc"]))
    expected = acts @ tensors["W_dec"] + tensors["b_dec"] + x @ tensors["W_skip"].T
    torch.testing.assert_close(transcoder.decode(acts, x), expected)
    assert transcoder.config.read_point == "mid"
    assert transcoder.config.write_point == "added"
    with pytest.raises(cs.ConfigError, match="decodes with its inputs"):
        transcoder.decode(acts)


def test_a_bundle_is_replaced_by_a_newer_one(folder):
    changed = make_bundle(seed=5)
    cs.save_bundle(changed, folder)
    tokens = torch.tensor([[256, 65]])
    assert torch.equal(cs.load_bundle(folder).model(tokens), changed.model(tokens))
    assert sorted(path.name for path in folder.parent.iterdir()) == [".bin", "tiny"]
    assert [model.name for model in cs.list_bin(folder.parent)] == ["tiny"]  # the one before


def test_a_folder_that_is_no_bundle_is_never_overwritten(tmp_path):
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.txt").write_text("text")
    with pytest.raises(cs.BundleError, match="exists and is no bundle"):
        cs.save_bundle(make_bundle(), precious)
    assert (precious / "chapter1.txt").read_text() == "text"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bundle.json", "it has no bundle.json"),
        ("transformer.safetensors", "lacks its file transformer.safetensors"),
        ("transcoder/W_dec_1.safetensors", "lacks its file transcoder/W_dec_1.safetensors"),
        ("feature_cards.parquet", "lacks its file feature_cards.parquet"),
    ],
)
def test_a_missing_file_is_named(folder, name, message):
    (folder / name).unlink()
    with pytest.raises(cs.BundleError, match=message):
        cs.load_bundle(folder)


def test_a_changed_file_is_refused(folder):
    tensors = load_file(folder / "transformer.safetensors")
    tensors["embed.W_E"][0] += 1
    save_file(tensors, folder / "transformer.safetensors")
    with pytest.raises(cs.BundleError, match=r"transformer\.safetensors was changed"):
        cs.load_bundle(folder)


def change_record(folder, **changes):
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "format version 99; this program reads version 1"),
        ({"model": None}, "lacks the part 'model'"),
        ({"model": {"n_layers": "2"}}, r"n_layers is '2'; it must be of type int"),
        ({"model": {"surprise": 1}}, "has no field 'surprise'"),
        ({"files": {"../../etc/passwd": "x"}}, "records no hash of"),
    ],
)
def test_a_wrong_record_says_what_is_wrong(folder, changes, message):
    change_record(folder, **changes)
    with pytest.raises(cs.BundleError, match=message):
        cs.load_bundle(folder)


def test_a_record_that_points_outside_the_bundle_is_refused(folder):
    record = json.loads((folder / "bundle.json").read_text())
    change_record(folder, files={**record["files"], "../outside": "x"})
    with pytest.raises(cs.BundleError, match="lies outside the bundle"):
        cs.load_bundle(folder)


def test_parts_of_two_models_do_not_load_as_one(folder, tmp_path):
    other = cs.save_bundle(make_bundle(n_layers=3), tmp_path / "other")
    shutil.rmtree(folder / "transcoder")
    shutil.copytree(other / "transcoder", folder / "transcoder")
    record, theirs = (json.loads((f / "bundle.json").read_text()) for f in (folder, other))
    kept = {n: h for n, h in record["files"].items() if not n.startswith("transcoder/")}
    taken = {n: h for n, h in theirs["files"].items() if n.startswith("transcoder/")}
    change_record(folder, files={**kept, **taken}, transcoder=theirs["transcoder"])
    with pytest.raises(cs.BundleError, match=r"does not fit together|has \d+ feature cards"):
        cs.load_bundle(folder)


def test_a_model_that_was_trained_here_is_not_loaded_in_another_precision():
    with pytest.raises(cs.BundleError, match=r"dtype is 'bfloat16', and .* was trained here"):
        cs.load_bundle("models/demo", dtype="bfloat16")
