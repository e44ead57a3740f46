"""Tokenizer files of every kind: offsets, openers, settings that came with the file."""

import json

import pytest
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

import circuitscope_core as cs
from circuitscope_core.tokenizer.encode import encode_document, encode_with_numbers
from tests.samples import tiny_model, tiny_transcoder
from tests.texts import tiny_config

TEXTS = [
    "The National Digital Analytics Group (NDAG) café",
    "  two  spaces",
    "日本語 text 🙂 emoji",
    "a\nb\tc",
    "İstanbul ﬁne Ａ",
    "e\u0301",
]
SPECIAL = ["<s>", "<unk>"]


def bytes_bpe(special=("<|endoftext|>",), **options):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(**{"add_prefix_space": False} | options)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    return tokenizer


def sentence_pieces():
    lone = [f"<0x{number:02X}>" for number in range(256)]
    vocabulary = {piece: n for n, piece in enumerate(["<unk>", "<s>", "</s>", *lone])}
    letters = sorted({letter for text in TEXTS for letter in text if letter.isascii()} - {" "})
    for piece in ["▁", *letters, "▁T", "he", "▁the"]:
        vocabulary.setdefault(piece, len(vocabulary))
    merges = [("▁", "T"), ("h", "e")]
    model = models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>"])
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    return tokenizer


def word_pieces():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer, tokenizer.decoder = (
        pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(),
    )
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    return tokenizer


KINDS = {
    "bytes": bytes_bpe,
    "bytes with a space": lambda: bytes_bpe(add_prefix_space=True),
    "sentence pieces": sentence_pieces,
    "unigram": unigram,
    "word pieces": word_pieces,
}


def save(tokenizer, folder, config=None):
    tokenizer.save(str(folder / "tokenizer.json"))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder / "tokenizer.json"


@pytest.mark.parametrize("kind", KINDS)
def test_each_character_has_one_token_and_they_rise(kind, tmp_path):
    tokenizer = cs.HuggingFaceTokenizer(save(KINDS[kind](), tmp_path))
    for text in TEXTS:
        token_ids, numbers = encode_with_numbers(tokenizer, text)
        found = list(numbers)
        assert len(found) == len(text)
        assert found == sorted(found)
        assert 0 <= found[0] <= found[-1] < len(token_ids)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "word pieces"])
def test_the_letters_of_an_acronym_fall_on_their_own_tokens(kind, tmp_path):
    tokenizer, text = cs.HuggingFaceTokenizer(save(KINDS[kind](), tmp_path)), TEXTS[0]
    token_ids, numbers = encode_with_numbers(tokenizer, text)
    for place, letter in enumerate(text[:44]):
        token = tokenizer.token_text(int(token_ids[list(numbers)[place]]))
        assert letter in token or letter == " "


def test_tokens_of_sentence_pieces_keep_their_spaces_and_lone_bytes_are_shown(tmp_path):
    tokenizer = cs.HuggingFaceTokenizer(save(sentence_pieces(), tmp_path))
    texts = [tokenizer.token_text(token) for token in tokenizer.encode("The é")]
    assert texts == [" T", "he", " ", r"\xc3", r"\xa9"]
    assert tokenizer.decode(tokenizer.encode("The é")) == " The é"


def test_truncation_and_padding_of_the_file_do_not_act(tmp_path):
    tokenizer = bytes_bpe()
    whole = len(tokenizer.encode(TEXTS[0]).ids)
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=300)
    read = cs.HuggingFaceTokenizer(save(tokenizer, tmp_path))
    assert len(read.encode(TEXTS[0])) == whole > 8
    assert len(encode_document(read, TEXTS[0])) == whole
    assert len(encode_with_numbers(read, TEXTS[0])[0]) == whole


@pytest.mark.parametrize(
    "name", ["<|begin_of_text|>", "<|im_start|>", "[BOS]", "<bos>", "<｜begin▁of▁sentence｜>"]
)
def test_a_beginning_of_any_name_opens_prompts(name, tmp_path):
    assert cs.HuggingFaceTokenizer(save(bytes_bpe([name]), tmp_path)).opener == name


def test_a_token_that_begins_texts_is_taken_before_one_that_ends_them(tmp_path):
    tokenizer = bytes_bpe(["<|endoftext|>", "<s>", "<|user|>"])
    assert cs.HuggingFaceTokenizer(save(tokenizer, tmp_path)).opener == "<s>"
    assert cs.HuggingFaceTokenizer(tmp_path / "tokenizer.json", "<|user|>").opener == "<|user|>"
    config = {"bos_token": {"content": "<|endoftext|>"}}
    assert cs.HuggingFaceTokenizer(save(tokenizer, tmp_path, config)).opener == "<|endoftext|>"


def test_the_token_that_the_file_itself_puts_first_opens_prompts(tmp_path):
    tokenizer = bytes_bpe(["<|endoftext|>", "<s>", "<|go|>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|go|> $A", special_tokens=[("<|go|>", tokenizer.token_to_id("<|go|>"))]
    )
    read = cs.HuggingFaceTokenizer(save(tokenizer, tmp_path))
    assert read.opener == "<|go|>"
    prompt = cs.ReplacementModel(tiny_model(d_vocab=read.d_vocab), tiny_transcoder(), read).encode(
        "a"
    )
    assert prompt.count(read.separator_id) == 1


@pytest.mark.parametrize("config", [[1], "text", None])
def test_a_configuration_that_is_none_is_refused(config, tmp_path):
    path = save(bytes_bpe(), tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(cs.BundleError, match="holds no settings"):
        cs.HuggingFaceTokenizer(path)


def test_files_from_editors_on_windows_are_read(tmp_path):
    path = save(bytes_bpe(["<|endoftext|>", "<s>"]), tmp_path, {"bos_token": "<s>"})
    for file in (path, tmp_path / "tokenizer_config.json"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert cs.HuggingFaceTokenizer(path).opener == "<s>"


def test_a_text_that_has_no_tokens_is_told(tmp_path):
    words = Tokenizer(models.WordLevel({"a": 0, "<s>": 1}, unk_token="<none>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_special_tokens(["<s>"])
    read = cs.HuggingFaceTokenizer(save(words, tmp_path))
    for encode in (read.encode, lambda text: read.encode_many([text]), read.encode_with_spans):
        with pytest.raises(cs.PromptError, match="cannot turn this text into tokens"):
            encode("b")
    replacement = cs.ReplacementModel(tiny_model(d_vocab=2), tiny_transcoder(), read)
    with pytest.raises(cs.PromptError, match="is no tokens"):
        replacement.encode("   ")


def test_a_model_whose_vocabulary_is_padded_takes_the_tokenizer():
    model = tiny_model(d_vocab=264)
    replacement = cs.ReplacementModel(model, tiny_transcoder(), cs.ByteTokenizer())
    assert cs.attribute(replacement, "The (N").token_ids.tolist()[0] == 256
    assert replacement.token_text(260) == "<260>"
    with pytest.raises(cs.ConfigError, match="tokens and the model 100"):
        cs.ReplacementModel(tiny_model(d_vocab=100), tiny_transcoder(), cs.ByteTokenizer())


@pytest.mark.slow
def test_a_training_with_sentence_pieces_comes_to_its_end(tmp_path):
    tokenizer = cs.HuggingFaceTokenizer(save(sentence_pieces(), tmp_path))
    data = tiny_config().to_json()
    data["model"]["d_vocab"] = tokenizer.d_vocab
    events = cs.train(
        cs.TrainConfig.from_json(data), "builtin", tmp_path / "m", tokenizer=tokenizer
    )
    assert isinstance(list(events)[-1], cs.TrainingFinished)


@pytest.mark.parametrize("wrong", [-1, 257, 10**6])
def test_an_id_of_no_token_is_an_error_of_ours(wrong):
    with pytest.raises(cs.PromptError, match=f"no token {wrong}"):
        cs.ByteTokenizer().decode([wrong])


def test_the_name_of_a_special_token_is_read_as_its_library_does(tmp_path):
    tokenizer = bytes_bpe()
    read = cs.HuggingFaceTokenizer(save(tokenizer, tmp_path))
    text = "a<|endoftext|>b"
    assert read.encode(text) == tokenizer.encode(text).ids
    assert read.separator_id in read.encode(text)
    assert read.decode(read.encode(text)) == text


@pytest.mark.parametrize("kind", ["bytes", "learned"])
def test_a_prompt_of_bytes_in_another_encoding_is_refused(kind, tmp_path):
    path = save(bytes_bpe(), tmp_path)
    read = cs.ByteTokenizer() if kind == "bytes" else cs.HuggingFaceTokenizer(path)
    prompt = "caf\xe9 (N".encode("cp1252").decode("utf-8", "surrogateescape")
    replacement = cs.ReplacementModel(tiny_model(d_vocab=400), tiny_transcoder(), read)
    with pytest.raises(cs.PromptError, match="no UTF-8, behind 'caf'"):
        replacement.encode(prompt)
