"""Tokens as a person reads them, and characters matched with tokens, for each kind of tokenizer."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

import circuitscope_core as cs
from circuitscope_core.tokenizer import (
    TokenIds,
    TokenKind,
    describe_opener,
    encode_with_numbers,
    read_tokens,
)
from circuitscope_core.tokenizer.pieces import byte_alphabet

SPECIAL = ("<|endoftext|>", "<|user|>", "<|end|>")


def byte_level(folder, **config):
    """Write a byte-level BPE without merges but one, so that every character is in parts."""
    letters = {byte: letter for letter, byte in byte_alphabet().items()}
    vocabulary = {letters[byte]: byte for byte in range(256)}
    vocabulary["Ġt"], vocabulary["Ġth"] = 256, 257
    fast = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ġ", "t"), ("Ġt", "h")]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    return write(fast, folder, config)


def word_piece(folder):
    pieces = ("[UNK]", "[CLS]", "[SEP]", "play", "##ing", "##ed", "we", "are")
    fast = Tokenizer(
        models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece()
    fast.add_special_tokens([AddedToken(name, special=True) for name in pieces[:3]])
    return write(fast, folder, {"cls_token": "[CLS]"})


def sentence_piece(folder):
    pieces = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁the", "cat", "s"]
    scored = [(piece, -1.0) for piece in pieces]
    fast = Tokenizer(models.Unigram(scored, unk_id=0, byte_fallback=True))
    fast.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    fast.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    fast.add_special_tokens([AddedToken(name, special=True) for name in pieces[:2]])
    return write(fast, folder, {"bos_token": "<s>"})


def write(fast, folder, config):
    folder.mkdir(parents=True, exist_ok=True)
    fast.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return cs.HuggingFaceTokenizer(folder / "tokenizer.json")


def read(tokenizer, text):
    ids = [tokenizer.separator_id, *tokenizer.encode(text)]
    return [(token.text, token.kind.value) for token in read_tokens(tokenizer, ids)]


def test_parts_of_a_character_are_numbered_and_spaces_and_line_ends_seen(tmp_path):
    tokenizer = byte_level(tmp_path)
    assert read(tokenizer, "東\n th é") == [
        ("start", "special"),
        *((f"東 {number}/3", "part") for number in (1, 2, 3)),
        ("⏎", "text"),
        ("␣th", "text"),
        ("␣", "text"),
        ("é 1/2", "part"),
        ("é 2/2", "part"),
    ]


def test_a_part_without_the_rest_of_its_character_is_a_part():
    tokenizer = cs.ByteTokenizer()
    found = read_tokens(tokenizer, [256, *"aé".encode()[:-1]])
    assert [token.kind for token in found] == [TokenKind.SPECIAL, TokenKind.TEXT, TokenKind.PART]
    assert found[-1].text == "\\xc3"


def test_ids_beyond_the_tokenizer_are_shown_as_such():
    assert read_tokens(cs.ByteTokenizer(), [300])[0].text == "<300>"
    assert read_tokens(TokenIds(9), [4])[0].text == "<4>"


def test_word_pieces_lose_their_marks(tmp_path):
    tokenizer = word_piece(tmp_path)
    assert read(tokenizer, "we are playing") == [
        ("[CLS]", "special"),
        *((word, "text") for word in ("we", "are", "play", "ing")),
    ]
    assert tokenizer.decode(tokenizer.encode("we are playing")) == "we are playing"


def test_sentence_pieces_show_spaces_and_bytes(tmp_path):
    tokenizer = sentence_piece(tmp_path)
    assert read(tokenizer, "the cats é") == [
        ("<s>", "special"),
        ("␣the", "text"),
        ("␣", "text"),
        ("cat", "text"),
        ("s", "text"),
        ("␣", "text"),
        ("é 1/2", "part"),
        ("é 2/2", "part"),
    ]


@pytest.mark.parametrize(
    ("make", "text", "wanted"),
    [
        (byte_level, "a th東b", [0, 1, 1, 1, 4, 5]),  # 東 is the tokens 2 to 4
        (word_piece, "we playing", [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]),
        (sentence_piece, "the cats", [0, 0, 0, 1, 2, 2, 2, 3]),
    ],
)
def test_every_character_has_its_token(tmp_path, make, text, wanted):
    tokenizer = make(tmp_path)
    ids, numbers = encode_with_numbers(tokenizer, text)
    assert ids.tolist() == tokenizer.encode(text)
    assert list(numbers) == wanted


def test_as_many_tokens_as_characters_need_not_be_one_each(tmp_path):
    tokenizer = byte_level(tmp_path)
    text = "é th"  # two bytes, then one token of three characters
    ids = tokenizer.encode(text)
    assert len(ids) == 3
    text += "é"
    ids, numbers = encode_with_numbers(tokenizer, text)
    assert len(ids) == len(text) == 5
    assert list(numbers) == [1, 2, 2, 2, 4]


@pytest.mark.parametrize(
    ("config", "opener", "words"),
    [
        ({"bos_token": "<|user|>"}, "<|user|>", "names it as the beginning"),
        ({"bos_token": {"content": "<|user|>"}}, "<|user|>", "names it as the beginning"),
        ({}, "<|endoftext|>", "divides documents"),
        ({"bos_token": "<nowhere>"}, "<|endoftext|>", "divides documents"),
    ],
)
def test_the_opener_is_the_models_own_and_the_reason_is_said(tmp_path, config, opener, words):
    tokenizer = byte_level(tmp_path, **config)
    assert tokenizer.opener == opener
    said = describe_opener(tokenizer)
    assert said.startswith(f"{opener} stands in front of the prompt: ")
    assert words in said


def test_without_a_separator_any_special_token_opens(tmp_path):
    assert "a special token of its vocabulary" in describe_opener(word_piece(tmp_path))
    chosen = cs.HuggingFaceTokenizer(tmp_path / "tokenizer.json", opener="[SEP]")
    assert "was chosen" in describe_opener(chosen)
    assert describe_opener(TokenIds(3)) == ""


def test_a_graphs_columns_number_the_parts_of_a_character():
    import circuitscope_core as cs
    from tests.unit.test_bundle import make_bundle

    texts = cs.run_prompt(make_bundle(), "a é").token_texts
    assert texts[1:] == ("a", " ", "é\u20091/2", "é\u20092/2")
