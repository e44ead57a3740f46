"""Cards against slow counts over the same text."""

import numpy as np
import pytest
import torch

from circuitscope_core import BundleError, Example, FeatureCardConfig, FeatureCards
from circuitscope_core.feature_cards import CollectedCards, ExampleText, measure_cards
from circuitscope_core.feature_cards.collect import MovedTokens, frequent_tokens, promoted_logits
from circuitscope_core.feature_cards.examples import Choice, drop_repeats
from circuitscope_core.feature_cards.labels import label_feature, shared_suffix
from circuitscope_core.feature_cards.lens import is_named
from circuitscope_core.feature_cards.passes import layer_activations
from circuitscope_core.tokenizer import ByteTokenizer, learn_tokenizer, show
from tests.samples import silence, tiny_replacement

CONFIG = FeatureCardConfig(n_tokens=100, n_top_examples=4, n_interval_examples=2, context=3)


def make_windows(n=30, length=16, seed=0):
    windows = torch.randint(97, 123, (n, length), generator=torch.Generator().manual_seed(seed))
    windows[:, 0] = 256
    return windows


def collect(replacement, windows, *, with_text=True):
    sources = np.zeros(windows.shape, dtype=np.uint8)
    text = ExampleText(windows, sources, ("tests",)) if with_text else None
    *shares, result = measure_cards(replacement, windows, text, CONFIG)
    assert all(isinstance(share, float) for share in shares)
    assert shares == sorted(shares)
    assert isinstance(result, CollectedCards)
    return result


@pytest.fixture(scope="module")
def replacement():
    return tiny_replacement(threshold=0.6)


@pytest.fixture(scope="module")
def windows():
    return make_windows()


@pytest.fixture(scope="module")
def acts(replacement, windows):
    """Dense, straight from the definition: ``[n_layers, n_windows, n_pos, d_transcoder]``."""
    transcoder = replacement.transcoder
    sites = replacement.model.mlp_pass(windows).sites
    dense = [transcoder.encode(n, site.read("in")) for n, site in enumerate(sites)]
    return torch.stack(dense).detach() * (torch.arange(windows.shape[1]) > 0)[:, None]


@pytest.fixture(scope="module")
def collected(replacement, windows):
    return collect(replacement, windows)


def test_frequency_maximum_and_histogram_match_a_slow_count(collected, acts, windows):
    n_tokens = windows.shape[0] * (windows.shape[1] - 1)
    assert collected.n_tokens == n_tokens
    for card in collected.cards:
        values = acts[card.layer, :, 1:, card.feature].flatten()
        fired = values[values > 0]
        assert card.frequency == pytest.approx(len(fired) / n_tokens)
        assert sum(card.histogram) == len(fired)
        if len(fired):
            assert card.max_activation == pytest.approx(float(fired.max()))
            bins = (fired / fired.max() * 40).long().clamp(max=39)
            assert card.histogram == tuple(torch.bincount(bins, minlength=40).tolist())
        else:
            assert card.quantiles == ()
            assert card.label == ""


def test_quantiles_match_to_one_fine_bin(collected, acts):
    card = max(collected.cards, key=lambda card: card.frequency)
    values = acts[card.layer, :, 1:, card.feature].flatten()
    fired = values[values > 0].sort().values
    for percent, value in enumerate(card.quantiles, start=1):
        below = float((fired < value + card.max_activation / 1000).float().mean())
        assert below >= percent / 100 - 1e-6
    assert list(card.quantiles) == sorted(card.quantiles)
    assert card.percentile(0.0) == 0.0
    assert card.percentile(card.max_activation + 1) == 1.0


def test_top_examples_are_the_strongest_windows_with_their_true_activations(
    collected, acts, windows
):
    checked = 0
    for card in collected.cards:
        top = [example for example in card.examples if example.kind == "top"]
        if not top:
            continue
        peaks = [example.activations[example.peak] for example in top]
        by_window = acts[card.layer, :, :, card.feature].amax(dim=1).sort(descending=True).values
        assert peaks == pytest.approx(by_window[: len(peaks)].tolist(), rel=1e-3)
        checked += 1
        for example in card.examples:
            assert 256 not in example.token_ids
            assert any(
                row[at : at + len(example.token_ids)] == list(example.token_ids)
                for row in windows.tolist()
                for at in range(1, len(row))
            )
    assert checked > 5


def test_weaker_examples_are_from_their_third(collected):
    kinds = {"middle": (1 / 3, 2 / 3), "low": (0, 1 / 3)}
    seen = set()
    for card in collected.cards:
        for example in card.examples:
            if example.kind in kinds:
                low, high = kinds[example.kind]
                share = example.activations[example.peak] / card.max_activation
                assert low - 1e-3 <= share <= high + 1e-3
                seen.add(example.kind)
    assert seen == set(kinds)


def test_promoted_tokens_match_the_model_without_its_denominator(replacement, collected, windows):
    model = replacement.model
    card = collected.cards.card(0, 3)
    vector = replacement.transcoder.W_dec[0][3].sum(dim=0)
    logits = model.W_U.T @ (model.ln_final.w * (vector - vector.mean()))
    torch.testing.assert_close(promoted_logits(replacement, 0)[3], logits - logits.mean())
    seen = set(windows.flatten().tolist())
    assert len(seen) < model.config.d_vocab
    order = [token for token in logits.argsort().tolist() if token in seen]
    assert list(card.bottom_tokens) == order[:10]
    assert list(card.top_tokens) == order[::-1][:10]


def test_without_text_no_card_quotes_any(replacement, windows):
    cards = collect(replacement, windows, with_text=False).cards
    assert all(card.examples == () for card in cards)
    assert any(card.label.startswith("→") for card in cards)


def test_silent_features_count_as_dead(windows):
    assert collect(silence(tiny_replacement()), windows).dead == 1.0
    assert collect(silence(tiny_replacement(threshold=0.01), layer=1), windows).dead >= 0.5


def test_cards_survive_their_parquet_file(collected, tmp_path):
    path = tmp_path / "cards.parquet"
    collected.cards.save(path)
    loaded = FeatureCards.load(path, 2, 12)
    assert len(loaded) == 24
    for before, after in zip(collected.cards, loaded, strict=True):
        assert before == after
    assert loaded.card(1, 5).feature == 5
    assert loaded.column("label") == [card.label for card in loaded]
    with pytest.raises(BundleError, match="has 24 feature cards; the transcoder has 36"):
        FeatureCards.load(path, 3, 12)
    path.write_bytes(b"junk")
    with pytest.raises(BundleError, match="cannot be read"):
        FeatureCards.load(path, 2, 12)


def example(text, peak=-1, kind="top"):
    peak = peak % len(text)
    acts = tuple(float(place == peak) for place in range(len(text)))
    return Example(kind, "tests", tuple(text.encode()), acts, peak)


def test_a_label_quotes_what_the_strongest_examples_share():
    examples = [example(f"{word} (N") for word in ("Group", "Agency", "Union", "Board")]
    assert bytes(shared_suffix(examples)).decode() == " (N"
    label = label_feature(ByteTokenizer(), examples, (68, 69))
    assert label == "“(N” → “D”"


@pytest.mark.parametrize(
    ("texts", "label"),
    [
        # the peak is the letter between bars
        (
            ("a |G|roup", "the |B|oard", "an |A|gency", "his |U|nion"),
            "first letter of a capitalised",
        ),
        (("(|a|nd", "f(|x|, y", "say (|o|r", "(|m|ay"), "first letter of a word after “(”"),
        (("a (|N|DA", "a (|R|BC", "b (|D|AG", "c (|X|Y"), "letter among capitals after “(”"),
        (("b|e|ar", "t|h|is", "m|o|re", "c|l|ap"), "second letter of a word"),
        (("wor|d|", "bea|r|,", "mor|e|.", "cla|p|!"), "last letter of a word"),
        (("in 1|7|", "at 2|3|,", "is 4|9|.", "of 6|8| "), "last digit of a number"),
        (("in |1|7", "at |2|3", "is |4|9", "of |6|8"), "first digit of a number"),
        (("ex|p|ect", "re|p|lay", "ca|p|e", "su|p|er"), "“p”, letter inside a word"),
        (("fa|n|cy", "ba|n|ks", "fo|r|ks", "co|r|n"), "“an” or “or”"),
    ],
)
def test_a_label_says_where_in_a_word_a_feature_fires(texts, label):
    examples = []
    for text in texts:
        before, peak, after = text.split("|")
        examples.append(example(before + peak + after, peak=len(before)))
    found = label_feature(ByteTokenizer(), examples, ())
    assert found.startswith(label)


def test_a_label_looks_at_one_document_only():
    tokenizer = ByteTokenizer()
    token_ids = (*b"word", tokenizer.separator_id, *b"Xy")
    starts = [
        Example("top", "tests", (*token_ids[:5], ord(letter), ord("y")), (0.0,) * 7, 5)
        for letter in "ABCD"
    ]
    assert label_feature(tokenizer, starts, ()) == "first letter of a capitalised word"


def test_a_label_names_a_class_of_tokens_or_the_commonest():
    digits = [example(f"{digit}{digit}7", peak=1) for digit in "1234"]
    assert label_feature(ByteTokenizer(), digits, ()) == "a digit"
    mixed = [example(f"x{letter}") for letter in "a!7?"]
    assert label_feature(ByteTokenizer(), mixed, ()).startswith("one of “")


def test_one_passage_is_quoted_once():
    passages = ("|the same passage", "|the same passage", "|another one here")
    text = np.array([list(passage.encode()) for passage in passages])
    choices = [Choice(0, 0, "top", window, 16) for window in range(3)]
    assert drop_repeats(choices, text, CONFIG) == [choices[0], choices[2]]
    weaker = [*choices, Choice(0, 0, "low", 1, 16), Choice(0, 0, "low", 1, 3)]
    assert drop_repeats(weaker, text, CONFIG)[2:] == weaker[4:]


def test_peaks_are_the_first_of_the_largest_in_each_window(replacement, windows, acts):
    for active in layer_activations(replacement.model, replacement.transcoder, windows, 7):
        largest, place = active.peaks()
        dense = acts[active.layer]
        torch.testing.assert_close(torch.from_numpy(largest.T.copy()), dense.amax(dim=1))
        fires = dense.amax(dim=1) > 0
        assert (torch.from_numpy(place.T.copy())[fires] == dense.argmax(dim=1)[fires]).all()
        assert active.first_window == 7


def test_line_ends_and_outer_spaces_are_made_visible():
    assert show("a\nb") == "a⏎b"
    assert show(" ") == "␣"
    assert show("a b") == "a b"


WORD_TEXT = "The Digital Department of Danish Design and the Dutch Dairy group meet in Paris. "


def word_examples(texts):
    """Return examples of a model of words, whose peaks are the words between bars."""
    tokenizer = learn_tokenizer([WORD_TEXT] * 9, 600, WORD_TEXT[:-2].split())
    found = []
    for text in texts:
        before, peak, after = text.split("|")
        parts = [tokenizer.encode(part) for part in (before, peak, after)]
        assert len(parts[1]) == 1
        ids = tuple(token for part in parts for token in part)
        acts = tuple(float(place == len(parts[0])) for place in range(len(ids)))
        found.append(Example("top", "tests", ids, acts, len(parts[0])))
    return tokenizer, found


@pytest.mark.parametrize(
    ("texts", "label"),
    [
        (
            (" the| Digital| group", " a| Danish| group", " of| Design| in", " the| Dutch| group"),
            "word beginning with “D”",
        ),
        ((" the| group| of", " a| group| in", " the| group| meet"), "“group”"),
        ((" meet in| Paris|.", " in| Design|.", " the| Danish|,", " a| Dutch|;"), "word beginning"),
        (
            (" in| Paris| of", " the| Dutch| of", " of| Danish|.", " a| Paris|;"),
            "a capitalised word",
        ),
    ],
)
def test_words_that_begin_alike_are_named_by_their_letter(texts, label):
    tokenizer, examples = word_examples(texts)
    assert label_feature(tokenizer, examples, ()).startswith(label)


def test_a_label_says_what_is_lowered_where_that_is_the_stronger_effect():
    tokenizer, examples = word_examples([" the| group| of"] * 3)
    raised, lowered = tokenizer.encode(" Paris Dutch")
    assert label_feature(tokenizer, examples, (raised,)) == "“the group” → “Paris”"
    assert label_feature(tokenizer, examples, (), (lowered,)) == "“the group” → less “Dutch”"
    assert MovedTokens((1, 2), (3,), lowers_more=False).named() == ((1, 2), ())
    assert MovedTokens((1, 2), (3,), lowers_more=True).named() == ((), (3,))


def test_only_tokens_that_are_common_in_the_text_are_named():
    tokens = torch.zeros(200, 300, dtype=torch.int64)
    tokens[0, :2] = torch.tensor([5, 7])
    tokens[1, :2] = 7
    assert frequent_tokens(tokens).tolist() == [0, 7]
    assert frequent_tokens(tokens[:2]).tolist() == [0, 5, 7]


def test_features_are_named_by_the_tokens_they_raise_in_upper_layers_only():
    def shape(n_layers):
        return tiny_replacement(n_layers=n_layers).transcoder.shape

    assert [is_named(shape(3), layer) for layer in range(3)] == [False, False, True]
    assert [is_named(shape(2), layer) for layer in range(2)] == [False, True]
    assert is_named(shape(1), 0)
