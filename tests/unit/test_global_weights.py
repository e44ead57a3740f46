"""Global weights against sums written out by hand."""

import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.global_weights import KEPT, record_sample, weigh_by_activity
from tests.samples import tiny_replacement

KINDS = [
    {},
    {"model": {"normalization": None}},
    {"transcoder": {"read_point": "mid"}},
    {"transcoder": {"read_point": "unit"}},
    {"transcoder": {"read_point": "pre"}},
    {"transcoder": {"cross_layer": False}},
]


def some_windows(n=20, n_pos=12):
    generator = torch.Generator().manual_seed(0)
    windows = torch.randint(0, 256, (n, n_pos), generator=generator)
    windows[:, 0] = 256
    return windows


def measure(replacement, windows):
    *progress, weights = cs.measure_global_weights(replacement, windows)
    assert progress == sorted(progress)
    assert progress[-1] == 1
    return weights


def by_hand(replacement, windows, source, target):
    """Virtual weight, ERA and TWERA of one pair of features, token by token."""
    model, transcoder = replacement.model, replacement.transcoder
    (source_layer, s), (target_layer, t) = source, target
    n, on, together, total, inverse = 0, 0.0, 0.0, 0.0, 0.0
    for window in windows:
        record = model.record(window[None])
        read = [site.read(transcoder.config.read_point)[0] for site in record.sites]
        for position in range(1, len(window)):
            a_s = float(transcoder.encode(source_layer, read[source_layer][position])[s])
            a_t = float(transcoder.encode(target_layer, read[target_layer][position])[t])
            n, total = n + 1, total + a_t
            on += a_s if a_t > 0 else 0.0
            together += a_s * a_t
            read_norm = record.layers[target_layer].read_norm
            inverse += 1 / float(read_norm.scale[0, position]) if read_norm else 1.0
    encoder = transcoder.W_enc[target_layer, t]
    norm = model.block(target_layer).ln2
    if transcoder.config.read_point in ("in", "unit") and norm.enabled:
        encoder = encoder * norm.w if transcoder.config.read_point == "in" else encoder
        encoder = (encoder - encoder.mean()) * inverse / n
    written = transcoder.W_dec[source_layer][s, : target_layer - source_layer].sum(dim=0)
    virtual = float(encoder @ written)
    return virtual, on / n * virtual, together / total * virtual


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_pairs_are_what_sums_by_hand_give(kind):
    replacement = tiny_replacement(n_layers=3, **kind)
    windows = some_windows()
    weights = measure(replacement, windows)
    assert weights.n_tokens == 20 * 11
    assert weights.table.num_rows > 20
    for layer, feature in ((2, 3), (2, 7), (1, 4)):
        found = weights.inputs(layer, feature)
        strengths = [abs(weight.twera) for weight in found]
        assert strengths == sorted(strengths, reverse=True)
        for weight in found[:3]:
            assert weight.target == (layer, feature)
            expected = by_hand(replacement, windows, weight.source, weight.target)
            got = (weight.virtual, weight.era, weight.twera)
            assert got == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_strongest_partners_of_every_feature_are_kept():
    replacement = tiny_replacement(n_layers=3, threshold=0.2)
    windows = some_windows()
    weights = measure(replacement, windows)
    *_, sample = record_sample(replacement, windows)
    all_pairs = {}
    for source, target in itertools.combinations(range(3), 2):
        virtual = cs.virtual_weights(replacement, source, target, sample.inverse_scales[target])
        _, twera = weigh_by_activity(sample, source, target, virtual)
        for t, s in itertools.product(range(12), range(12)):
            all_pairs[(source, s), (target, t)] = float(twera[t, s])
    features = list(itertools.product(range(3), range(12)))
    for feature in features:
        for side, get in enumerate((weights.outputs, weights.inputs)):
            of_feature = [abs(w) for pair, w in all_pairs.items() if pair[side] == feature and w]
            expected = sorted(of_feature, reverse=True)[:KEPT]
            got = [abs(weight.twera) for weight in get(*feature)]
            assert got == pytest.approx(expected, rel=1e-5)


def test_one_layer_has_no_pairs():
    *_, weights = cs.measure_global_weights(tiny_replacement(n_layers=1), some_windows())
    assert weights.inputs(0, 0) == ()
    assert weights.n_tokens == 20 * 11


def test_silent_features_have_no_partners():
    replacement = tiny_replacement(threshold=1e6)
    assert measure(replacement, some_windows()).table.num_rows == 0


def test_weights_survive_their_file(tmp_path):
    weights = measure(tiny_replacement(n_layers=3), some_windows())
    weights.save(tmp_path / "weights.parquet")
    loaded = cs.GlobalWeights.load(tmp_path / "weights.parquet", 3, 12)
    assert loaded.inputs(2, 3) == weights.inputs(2, 3)
    assert loaded.n_tokens == weights.n_tokens


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": [99]}, "the column source leaves 0 to 11"),
        ({"target_layer": [-1]}, "the column target_layer leaves 0 to 2"),
        ({"twera": ["x"]}, "the column twera holds string"),
        ({"twera": pa.array([None], pa.float32())}, "the column twera holds float with gaps"),
        ({"source": None}, "no global weights"),
    ],
)
def test_what_is_no_table_of_weights_is_refused(tmp_path, change, message):
    names = ("target_layer", "target", "source_layer", "source")
    columns = {name: pa.array([0]) for name in names}
    columns |= {name: pa.array([0.5]) for name in ("virtual", "era", "twera")}
    columns |= {name: pa.array(value) for name, value in change.items() if value}
    columns = {name: column for name, column in columns.items() if change.get(name, 1) is not None}
    path = tmp_path / "weights.parquet"
    pq.write_table(pa.table(columns).replace_schema_metadata({"n_tokens": "5"}), path)
    with pytest.raises(cs.BundleError, match=message):
        cs.GlobalWeights.load(path, 3, 12)
    path.write_text("nonsense")
    with pytest.raises(cs.BundleError, match="no global weights"):
        cs.GlobalWeights.load(path, 3, 12)
