"""Prompts that a model was not trained on."""

from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from circuitscope_core.config import CorpusConfig
from circuitscope_core.corpus import Corpus, open_sources, read_corpus
from circuitscope_core.errors import CorpusError
from circuitscope_core.evals.exam import encode_question
from circuitscope_core.skills import SKILLS, exam
from circuitscope_core.tokenizer import Tokenizer

N_TOKENS = 64


@dataclass(frozen=True)
class HeldOutPrompts:
    """Token ids, each opening with the separator, and where they come from."""

    token_ids: tuple[tuple[int, ...], ...]
    text: str
    """A sentence for whoever reads the figures."""


def held_out_prompts(
    source: str | None,
    n: int,
    tokenizer: Tokenizer,
    config: CorpusConfig,
    n_tokens: int = N_TOKENS,
) -> HeldOutPrompts:
    """Return the beginnings of held-out documents.

    Args:
        source: What a training would read first, so that the documents held out there are those
            held out here. None: exam questions and built-in text in turn.
        n: Prompts; fewer where there is less text.
        tokenizer: Makes the ids.
        config: The training's: which documents are held out.
        n_tokens: Of each document, the separator aside; exam questions are whole, and no longer.

    Raises:
        CorpusError: If the text cannot be read, or no held-out document is long enough.
    """
    if source is not None:
        found = beginnings(source, n, tokenizer, config, n_tokens)
        text = f"{len(found)} beginnings of {n_tokens} tokens of documents held out in {source}."
        return HeldOutPrompts(found, text)
    questions = exam_prompts(n - n // 2, tokenizer, n_tokens)
    passages = beginnings("builtin", n // 2, tokenizer, config, n_tokens) if n > 1 else ()
    text = (
        f"No text was named: {len(questions)} exam questions, which no training reads, and "
        f"{len(passages)} beginnings of the built-in text, which a training that reads other text "
        "before it does not hold out. Name the text of the training with --source."
    )
    return HeldOutPrompts((*questions, *passages), text)


def beginnings(
    source: str, n: int, tokenizer: Tokenizer, config: CorpusConfig, n_tokens: int
) -> tuple[tuple[int, ...], ...]:
    """Return the first tokens of held-out documents, spread over all of them."""
    plain = replace(config, skill_share=0.0)
    *_, corpus = read_corpus(open_sources(source, plain), plain, tokenizer, seed=0)
    assert isinstance(corpus, Corpus)
    tokens = corpus.held_out_tokens
    documents = np.split(tokens, np.flatnonzero(tokens == tokenizer.separator_id))[1:]
    documents = [piece for piece in documents if len(piece) > n_tokens]
    if not documents:
        raise CorpusError(
            f"No held-out document of {source} has {n_tokens} tokens; name longer text."
        )
    chosen = documents[:: max(1, len(documents) // n)][:n]
    return tuple(tuple(piece[: n_tokens + 1].tolist()) for piece in chosen)


def exam_prompts(n: int, tokenizer: Tokenizer, n_tokens: int) -> tuple[tuple[int, ...], ...]:
    """Return exam questions of at most ``n_tokens`` tokens, one skill after the other."""
    by_skill = [exam(skill, n) for skill in SKILLS]
    questions = chain.from_iterable(zip(*by_skill, strict=True))
    every = (tuple(encode_question(tokenizer, item).before_decided) for item in questions)
    return tuple(islice((ids for ids in every if len(ids) <= n_tokens + 1), n))
