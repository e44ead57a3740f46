"""Cards that somebody published beside a transcoder: read one at a time, and never trusted."""

import gzip
import json
import zlib

import pytest

import circuitscope_core as cs
from circuitscope_core.export.graph_json import feature_card_json
from circuitscope_core.feature_cards.published import cantor_unpair, published_folder
from circuitscope_core.view.card_views import card_view
from tests.unit.graph_samples import TOKENIZER, sample_card

HOSTILE = "<img src=x onerror=alert(1)>"
WIDTH = 4


def card_json(layer, feature, **changes):
    card = sample_card(layer, feature, TOKENIZER.encode("group (NDAG) of data"))
    return {**feature_card_json(card, TOKENIZER), **changes}


def write_packed(folder, rows, pack=zlib.compress):
    """Write ``index.json.gz`` and a file a layer; rows are JSON, bytes or None for no card."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {}
    for layer, cards in enumerate(rows):
        data, offsets = b"", [0]
        for card in cards:
            if card is not None:
                packed = pack(json.dumps(card).encode())
                data += len(packed).to_bytes(4, "little") + packed
            offsets.append(len(data))
        (folder / f"layer_{layer}.bin").write_bytes(data)
        index[str(layer)] = {"filename": f"layer_{layer}.bin", "offsets": offsets}
    write_index(folder, index)
    return folder


def write_index(folder, index):
    (folder / "index.json.gz").write_bytes(gzip.compress(json.dumps(index).encode(), mtime=0))


def write_each(folder, places):
    folder.mkdir(parents=True, exist_ok=True)
    for layer, feature in places:
        number = (layer + feature) * (layer + feature + 1) // 2 + feature
        (folder / f"{number}.json").write_text(json.dumps(card_json(layer, feature)))
    return folder


def opened(folder, width=WIDTH):
    """The cards of a folder, past the check of types in tests, which reads one of them."""
    return cs.PublishedCards(published_folder(folder), width)


@pytest.fixture(params=["zlib", "gzip", "one file each"])
def transcoder(request, tmp_path):
    """The folder of a transcoder with cards of layer 0 and 1; feature 2 of layer 1 has none."""
    places = [(layer, feature) for layer in range(2) for feature in range(WIDTH)]
    places.remove((1, 2))
    if request.param == "one file each":
        write_each(tmp_path / "features", places)
    else:
        rows = [
            [card_json(layer, n) if (layer, n) in places else None for n in range(WIDTH)]
            for layer in range(2)
        ]
        pack = zlib.compress if request.param == "zlib" else gzip.compress
        write_packed(tmp_path / "features", rows, pack)
    return tmp_path


def test_published_cards_are_read_as_they_were_written(transcoder):
    cards = cs.open_published_cards(transcoder, WIDTH)
    assert len(cards) == 7
    assert [(card.layer, card.feature) for card in cards][:5] == [(0, n) for n in range(4)] + [
        (1, 0)
    ]
    card = cards.card(1, 3)
    own = sample_card(1, 3, TOKENIZER.encode("group (NDAG) of data"))
    assert card.frequency == own.frequency
    assert (card.max_activation, card.histogram) == (own.max_activation, own.histogram)
    assert card.percentile(2.0) == own.percentile(2.0)
    assert [(e.kind, e.peak, e.activations) for e in card.examples] == [
        (e.kind, e.peak, e.activations) for e in own.examples
    ]
    assert "".join(card.examples[0].texts) == "group (NDAG) of data"
    assert card.label.endswith(f"→ “{card.top_texts[0]}”")
    assert not cards.has_card(1, 2)
    assert cards.card(1, 2).examples == ()
    assert not cards.has_card(5, 0)


def test_labels_by_hand_stand_in_their_place_and_all_cards_can_be_saved(transcoder, tmp_path):
    cards = cs.open_published_cards(transcoder, WIDTH)
    named = cards.with_labels({(0, 1): "mine", (1, 2): "too"})
    assert (named.card(0, 1).label, named.card(0, 1).by_hand) == ("mine", True)
    assert named.label(1, 2) == "too"
    assert cards.label(0, 1) != "mine"
    named.save(tmp_path / "all.parquet")
    loaded = cs.FeatureCards.load(tmp_path / "all.parquet", 2, WIDTH, some=True)
    assert loaded.card(0, 1).examples == cards.card(0, 1).examples
    assert loaded.card(0, 1).top_texts == cards.card(0, 1).top_texts
    assert loaded.label(0, 1) == cards.label(0, 1)


def test_only_the_card_that_is_asked_for_is_read(tmp_path):
    folder = write_packed(tmp_path, [[card_json(0, n) for n in range(WIDTH)]])
    path = folder / "layer_0.bin"
    index = json.loads(gzip.decompress((folder / "index.json.gz").read_bytes()))
    start, end = index["0"]["offsets"][1:3]
    data = path.read_bytes()
    path.write_bytes(b"\xff" * start + data[start:end] + b"\xff" * (len(data) - end))
    cards = opened(tmp_path, WIDTH)
    assert cards.card(0, 1).examples
    with pytest.raises(cs.BundleError, match=r"layer_0\.bin"):
        cards.card(0, 2)


def test_hostile_text_stays_text(tmp_path):
    example = {"tokens": [HOSTILE, "\ud800"], "tokens_acts_list": [1.0, 0], "train_token_ind": 0}
    bands = [{"quantile_name": HOSTILE, "examples": [example]}]
    write_packed(tmp_path, [[card_json(0, 0, examples_quantiles=bands, top_logits=[HOSTILE])]])
    cards = opened(tmp_path, 1)
    view = card_view(cards.card(0, 0), TOKENIZER, {"top": 8})
    assert view.promoted == (HOSTILE,)
    assert view.examples[0].tokens == (HOSTILE, "?")
    assert HOSTILE in cards.label(0, 0)


def test_a_side_below_0_is_read_too(tmp_path):
    example = {"tokens": ["a", "b"], "tokens_acts_list": [0.5, -2.0], "train_token_ind": 1}
    bands = [{"quantile_name": "Bottom Activations", "examples": [example]}]
    write_packed(tmp_path, [[card_json(0, 0, examples_quantiles=bands, act_min=-2.0)]])
    card = opened(tmp_path, 1).card(0, 0)
    assert card.examples[0].below
    assert card.min_activation == -2.0
    assert card.label_below


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": 7}, "has 7 as index, which must be 0"),
        ({"act_max": "high"}, "has 'high' as act_max.*finite number"),
        ({"act_max": float("nan")}, "has nan as act_max"),
        ({"histogram": [1, None]}, "as histogram.*list of finite numbers"),
        ({"top_logits": [1]}, "as top_logits.*list of texts"),
        ({"examples_quantiles": {}}, "as examples_quantiles.*list of objects"),
        ({"examples_quantiles": [[]]}, "as examples_quantiles.*list of objects"),
        (
            {"examples_quantiles": [{"examples": [{"tokens": ["a"], "tokens_acts_list": []}]}]},
            "tokens_acts_list.*list of 1 numbers",
        ),
        (
            {
                "examples_quantiles": [
                    {"examples": [{"tokens": ["a"], "tokens_acts_list": [1], "train_token_ind": 1}]}
                ]
            },
            "has 1 as train_token_ind.*from 0 to 0",
        ),
    ],
)
def test_a_malformed_card_is_an_error_that_names_the_field(tmp_path, changes, message):
    write_packed(tmp_path, [[card_json(0, 0, **changes)]])
    with pytest.raises(cs.BundleError, match=f"feature 0 of layer 0.*{message}"):
        opened(tmp_path, 1).card(0, 0)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"0": {"filename": "../layer_0.bin", "offsets": [0, 9]}}, "name of a file in the same"),
        ({"0": {"filename": "/etc/passwd", "offsets": [0, 9]}}, "name of a file in the same"),
        ({"0": {"offsets": [0, 9]}}, "name of a file in the same"),
        ({"0": {"filename": "layer_0.bin", "offsets": [9, 0]}}, "do not rise"),
        ({"0": {"filename": "layer_0.bin", "offsets": [-1, 0]}}, "do not rise"),
        ({"0": {"filename": "layer_0.bin", "offsets": [0, "9"]}}, "do not rise"),
        ({"0": {"filename": "layer_0.bin"}}, "do not rise"),
        ({"0": {"filename": "layer_9.bin", "offsets": [0, 9]}}, "which is not there"),
        ({"0": {"filename": "layer_0.bin", "offsets": [0, 10**15]}}, "which is none"),
        ({"0": {"filename": "layer_0.bin", "offsets": [10**6, 10**6 + 9]}}, "0 bytes|damaged"),
        ({"x": {"filename": "layer_0.bin", "offsets": [0, 9]}}, "layer's number"),
        (7, "no layers"),
        (["a"], "name of a file in the same"),
    ],
)
def test_a_malformed_index_is_an_error_that_says_so(tmp_path, index, message):
    write_packed(tmp_path, [[card_json(0, 0)]])
    write_index(tmp_path, index)
    with pytest.raises(cs.BundleError, match=message):
        opened(tmp_path, 1).card(0, 0)


def test_damaged_files_are_errors(tmp_path):
    write_packed(tmp_path, [[card_json(0, 0)]])
    path = tmp_path / "layer_0.bin"
    data = path.read_bytes()
    for wrong, message in (
        (data[:-5], "too short for feature 0"),
        (data[:4] + b"junk" + data[8:], "is damaged"),
        ((len(data) - 40).to_bytes(4, "little") + data[4:], "end too early"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(cs.BundleError, match=message):
            opened(tmp_path, 1).card(0, 0)
    bomb = zlib.compress(b" " * (1 << 25))
    path.write_bytes(len(bomb).to_bytes(4, "little") + bomb)
    write_index(tmp_path, {"0": {"filename": "layer_0.bin", "offsets": [0, len(bomb) + 4]}})
    with pytest.raises(cs.BundleError, match="unpacks to more than"):
        opened(tmp_path, 1).card(0, 0)
    (tmp_path / "index.json.gz").write_bytes(b"junk")
    with pytest.raises(cs.BundleError, match=r"index\.json\.gz is damaged"):
        opened(tmp_path, 1).card(0, 0)


def test_a_folder_without_cards_is_refused(tmp_path):
    assert published_folder(tmp_path) is None
    with pytest.raises(cs.BundleError, match="no feature cards"):
        cs.open_published_cards(tmp_path, 1)


def test_cantors_numbers_are_taken_apart():
    numbers = range(300)
    places = [cantor_unpair(number) for number in numbers]
    assert len(set(places)) == 300
    assert [(a + b) * (a + b + 1) // 2 + b for a, b in places] == list(numbers)
