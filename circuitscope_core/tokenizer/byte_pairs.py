"""A vocabulary of words and pieces of words, learned from text by byte-pair encoding (BPE).

Sennrich et al. (2016), "Neural Machine Translation of Rare Words with Subword Units",
https://arxiv.org/abs/1508.07909; over bytes as in GPT-2, so that every text can be encoded.
"""

from collections.abc import Iterable, Iterator, Sequence

from circuitscope_core.tokenizer.hugging_face import PREFIX, HuggingFaceTokenizer
from circuitscope_core.tokenizer.protocol import SEPARATOR

PIECES = "|".join(
    [
        r"'(?:[sdmt]|ll|ve|re)(?!\p{L})",
        r" ?\p{Lu}\p{Ll}+",  # a capitalised word, with its space
        r" ?\p{Lu}",  # other capitals one by one: acronyms are spelled
        r" ?(?:(?!\p{Lu})\p{L})+",
        r" ?\p{N}",  # digits one by one: numbers are spelled
        r" ?[()\[\]{}<>\"'`]",  # brackets and quotes one by one
        r" ?([^\s\p{L}\p{N}])\1*",  # runs of one and the same other sign
        r"\s+(?!\S)|\s+",
    ]
)
"""The parts that text is divided into first; no token reaches over their ends."""
WEIGHT = 1500
"""Times that each whole word counts: more than any word of a sample of text that is not common."""
LEAST = 257
"""Tokens of the smallest vocabulary: the bytes and the separator."""


def learn_tokenizer(
    texts: Iterable[str], d_vocab: int, whole_words: Sequence[str] = ()
) -> HuggingFaceTokenizer:
    """Learn a vocabulary from text; the same texts give the same one.

    Words carry the space before them, capitals and digits are single, and a text's first word is
    given a space, too. Memory and time grow with the number of different words.

    Args:
        texts: Sample of the text that the model will be trained on.
        d_vocab: Most tokens, the separator and the 256 bytes among them; fewer where the text has
            no more that repeats.
        whole_words: Words that become tokens of their own however rare they are in ``texts``.

    Example:
        >>> import circuitscope_core as cs
        >>> tokenizer = cs.learn_tokenizer(["one fox, two foxes"] * 9, 270, ["Group"])
        >>> tokenizer.token_text(tokenizer.encode(" Group")[0])
        ' Group'
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    fast = Tokenizer(models.BPE())
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pieces = pre_tokenizers.Split(Regex(PIECES), "isolated")
    fast.pre_tokenizer = pre_tokenizers.Sequence([pieces, bytes_alone])
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=d_vocab,
        special_tokens=[SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    weighted = "".join(f" {word}" for word in sorted(set(whole_words)))
    fast.train_from_iterator(_weighted(texts, weighted), trainer)
    return HuggingFaceTokenizer.of(fast.to_str(), {"bos_token": SEPARATOR, PREFIX: " "})


def _weighted(texts: Iterable[str], words: str) -> Iterator[str]:
    for _ in range(WEIGHT if words else 0):
        yield words
    yield from texts
