"""Cards of some features or of neurons, from any text, against slow counts."""

import numpy as np
import pytest
import torch

import circuitscope_core as cs
from circuitscope_core.corpus import Document
from circuitscope_core.feature_cards.from_text import documents_of
from circuitscope_core.feature_cards.windows import TextWindows, write_windows
from circuitscope_core.neuron_dictionary import NeuronDictionary
from tests.samples import tiny_model, tiny_replacement

CONFIG = cs.FeatureCardConfig(n_tokens=2_000, n_top_examples=4, n_interval_examples=2, context=3)
WIDTH = 16
PLACES = [(1, 7), (0, 3), (1, 2)]


def make_texts(n=25, seed=0):
    """Texts of which none fills its last window."""
    random = np.random.default_rng(seed)
    return ["".join(map(chr, random.integers(97, 123, 10 + 3 * i))) for i in range(n)]


TEXTS = make_texts()


def collect(replacement, texts=TEXTS, places=None, **given):
    *events, cards = cs.collect_cards(
        replacement, texts, places, config=CONFIG, n_pos=WIDTH, **given
    )
    shares = [event.share for event in events]
    assert shares == sorted(shares)
    assert isinstance(cards, cs.FeatureCards)
    return cards


def windows_of(replacement, texts=TEXTS):
    *_, found = write_windows(replacement, documents_of(texts, CONFIG), 2_000, WIDTH)
    assert isinstance(found, TextWindows)
    return found


@pytest.fixture(scope="module")
def replacement():
    return tiny_replacement(threshold=0.6)


@pytest.fixture(scope="module")
def neurons():
    model = tiny_model(3)
    return cs.ReplacementModel(model, NeuronDictionary(model), cs.ByteTokenizer())


@pytest.fixture(scope="module", params=["neurons", "topk"])
def two_sided(request, neurons):
    if request.param == "neurons":
        return neurons
    return tiny_replacement(transcoder={"activation": "topk", "k": 9})


def dense(replacement, texts=TEXTS):
    """Each window's activations, straight from the definition: ``[n_layers, n_pos, n]`` each."""
    found = windows_of(replacement, texts)
    for row in found.text.token_ids:
        tokens = row[row >= 0].long()[None]
        sites = replacement.model.mlp_pass(tokens).sites
        read = replacement.transcoder.shape.read_point
        acts = [replacement.transcoder.encode(n, s.read(read)[0]) for n, s in enumerate(sites)]
        yield tokens[0], torch.stack(acts).detach()


def test_every_token_of_the_text_is_in_one_window(replacement):
    found = windows_of(replacement)
    separator = replacement.tokenizer.separator_id
    ids = found.text.token_ids[:, 1:].flatten()
    ids = ids[(ids >= 0) & (ids != separator)]
    assert bytes(ids.tolist()).decode() == "".join(TEXTS)
    assert found.n_tokens == sum(map(len, TEXTS))
    assert bool((found.text.token_ids[:, 0] == separator).all())
    assert bool((found.text.token_ids[-1] < 0).any())  # the last is shorter


def test_cards_of_some_features_are_those_of_all(replacement):
    every, some = collect(replacement), collect(replacement, places=PLACES)
    assert [(card.layer, card.feature) for card in some] == sorted(PLACES)
    for card in some:
        whole = every.card(card.layer, card.feature)
        same = ("label", "frequency", "max_activation", "histogram", "quantiles", "top_tokens")
        for name in (*same, "bottom_tokens"):
            assert getattr(card, name) == getattr(whole, name)
        one, other = (
            [item for item in each.examples if item.kind == "top"] for each in (card, whole)
        )
        assert one == other
    assert not some.card(0, 0).examples  # not asked for


def test_both_sides_match_a_slow_count(two_sided):
    cards = collect(two_sided)
    shape = two_sided.transcoder.shape
    assert len(cards) == shape.n_layers * shape.n_features
    acts = torch.cat([acts[:, 1:] for _, acts in dense(two_sided)], dim=1)
    by_window = [acts[:, 1:] for _, acts in dense(two_sided)]
    below_seen = 0
    for card in cards:
        values = acts[card.layer, :, card.feature]
        above, below = values[values > 0], values[values < 0]
        assert card.frequency == pytest.approx(len(above) / len(values))
        assert card.frequency_below == pytest.approx(len(below) / len(values))
        assert sum(card.histogram) == len(above)
        assert sum(card.histogram_below) == len(below)
        assert card.max_activation == pytest.approx(float(values.clamp(min=0).max()))
        assert card.min_activation == pytest.approx(float(values.clamp(max=0).min()))
        for sign in (1, -1):
            top = [item for item in card.examples if item.kind == "top"]
            top = [item for item in top if item.below == (sign < 0)]
            peaks = [sign * item.activations[item.peak] for item in top]
            best = [float((sign * each[card.layer, :, card.feature]).max()) for each in by_window]
            best = sorted((value for value in best if value > 0), reverse=True)
            assert peaks == pytest.approx(best[: len(peaks)], rel=1e-3)
            below_seen += sign < 0 and bool(peaks)
    assert below_seen > 5


def test_an_example_shows_the_activations_of_both_signs(neurons):
    windows = [(tokens.tolist(), acts) for tokens, acts in dense(neurons)]
    for card in collect(neurons, places=[(0, 5), (1, 0)]):
        assert card.examples
        for example in card.examples:
            length = len(example.token_ids)
            found = [
                acts[card.layer, at : at + length, card.feature].tolist()
                for tokens, acts in windows
                for at in range(1, len(tokens) - length + 1)
                if tokens[at : at + length] == list(example.token_ids)
            ]
            assert any(example.activations == pytest.approx(row, rel=1e-3) for row in found)


def test_a_neuron_has_a_label_and_a_rank_on_each_side(neurons):
    cards = collect(neurons)
    card = max(cards, key=lambda card: min(card.frequency, card.frequency_below))
    place = (card.layer, card.feature)
    assert card.label
    assert card.label_below
    assert cards.label(*place, -1.0) == card.label_below
    assert card.percentile(card.min_activation * 1.01) == 1.0
    assert card.percentile(-1e-9) == 0.0
    assert cards.percentile(*place, card.min_activation / 2) == card.percentile(
        card.min_activation / 2
    )


@pytest.mark.parametrize("stop_after", [1, 4, 9, 13])
@pytest.mark.parametrize("kind", ["features", "neurons"])
def test_a_collection_that_was_cancelled_goes_on_to_the_same_cards(
    replacement, neurons, tmp_path, stop_after, kind
):
    bundle = replacement if kind == "features" else neurons
    file = tmp_path / "state.safetensors"
    undisturbed = collect(bundle, places=PLACES)
    steps = cs.collect_cards(bundle, TEXTS, PLACES, config=CONFIG, n_pos=WIDTH, checkpoint=file)
    for event in steps:
        if event.share > 0 and (stop_after := stop_after - 1) == 0:
            break
    steps.close()
    assert file.is_file()
    steps = cs.collect_cards(bundle, TEXTS, PLACES, config=CONFIG, n_pos=WIDTH, checkpoint=file)
    *events, cards = steps
    assert next(e.share for e in events if e.share) > event.share
    assert list(cards) == list(undisturbed)
    # once more, from the finished state
    assert list(collect(bundle, places=PLACES, checkpoint=file)) == list(undisturbed)


@pytest.mark.parametrize("other", [{"places": [(0, 0)]}, {"texts": ["other text"]}])
def test_a_checkpoint_of_other_work_is_refused(replacement, tmp_path, other):
    file = tmp_path / "state.safetensors"
    collect(replacement, places=PLACES, checkpoint=file)
    before = file.read_bytes()
    with pytest.raises(cs.ConfigError, match=r"checkpoint of other cards.*Remove it"):
        collect(replacement, **{"places": PLACES, **other}, checkpoint=file)
    assert file.read_bytes() == before
    file.write_bytes(b"junk")
    with pytest.raises(cs.TrainingError, match=r"cannot be read.*collection of feature cards"):
        collect(replacement, places=PLACES, checkpoint=file)


@pytest.mark.parametrize(
    ("texts", "places", "error", "message"),
    [
        (TEXTS, [(2, 0)], cs.ConfigError, r"no feature at \(2, 0\).*layer from 0 to 1"),
        (TEXTS, [(0, -1)], cs.ConfigError, r"no feature at \(0, -1\)"),
        (TEXTS, [], cs.ConfigError, "No feature is named"),
        ([], None, cs.CorpusError, "no text to collect cards on"),
        (["", ""], None, cs.CorpusError, "no text to collect cards on"),
        ((item for item in ("a", 7)), None, cs.CorpusError, "7 is no text"),
        ("no/such/file.parquet", None, cs.CorpusError, "not there"),
    ],
)
def test_what_cannot_be_collected_is_refused(replacement, texts, places, error, message):
    with pytest.raises(error, match=message):
        collect(replacement, texts, places)


def test_text_that_may_not_be_passed_on_is_not_quoted(replacement):
    def examples(excerpts, texts):
        config = cs.FeatureCardConfig(n_tokens=900, excerpts=excerpts)
        *_, cards = cs.collect_cards(replacement, texts, [(0, 3)], config=config)
        return cards[0].examples

    assert examples("none", TEXTS) == ()
    assert examples("open", "builtin")
    with pytest.raises(cs.ConfigError, match=r"excerpts is 'open'.*text may be passed on"):
        examples("open", TEXTS)


def test_documents_keep_the_name_of_their_source_and_reading_ends(replacement):
    def endless():
        while True:
            yield Document("hello (world) ", "tests")

    cards = collect(replacement, endless(), PLACES)
    examples = [item for card in cards for item in card.examples]
    assert examples
    assert {item.source for item in examples} == {"tests"}


def test_a_longer_text_takes_no_more_memory(replacement):
    import tracemalloc

    def peak(n_tokens):
        texts = ("abcdefghij (" * 20 for _ in range(10**6))
        config = cs.FeatureCardConfig(n_tokens=n_tokens)
        tracemalloc.start()
        *_, cards = cs.collect_cards(replacement, texts, PLACES, config=config)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(cards) == 3
        return found

    short, long = peak(5_000), peak(50_000)
    assert long < 1.5 * short + 100_000


def test_places_of_graphs_are_those_of_their_features(replacement):
    graph = cs.attribute(replacement, "cat (N")
    pruned = cs.prune_graph(graph)
    expected = sorted({(layer, number) for layer, _, number in graph.features.tolist()})
    assert list(cs.places_of([graph, graph])) == expected
    kept = set(cs.places_of([pruned]))
    assert kept < set(expected) or kept == set(expected)
    assert cs.places_of([]) == ()


def test_neurons_without_a_card_are_named_by_what_they_raise(neurons):
    graph = cs.attribute(neurons, "cat (N", max_feature_nodes=12)
    bundle = cs.make_bundle(neurons.model)
    place = cs.places_of([graph])[-1]
    cards = collect(neurons, places=[place])
    found = cs.trace_graph(bundle, graph, cs.TraceConfig(), cards=cards).cards
    kept = cs.places_of([cs.trace_graph(bundle, graph, cs.TraceConfig())])
    assert set(kept) <= {(card.layer, card.feature) for card in found}
    assert [(c.layer, c.feature) for c in found] == sorted((c.layer, c.feature) for c in found)
    assert found.card(*place) == cards.card(*place)
