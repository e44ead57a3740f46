"""Localization of a graph file: does it point at the characters that decide the answer?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from circuitscope_core.errors import ScoreError
from circuitscope_core.evals.localization import share_at
from circuitscope_core.evals.scoring.flow import file_flow
from circuitscope_core.export.graph_json import viewer_text
from circuitscope_core.graph import NodeKind
from circuitscope_core.graph_file import GraphFile
from circuitscope_core.skills import SkillPrompt

OUTPUT_LABEL = re.compile(r'"(.*)"', re.DOTALL)


@dataclass(frozen=True)
class FileLocalization:
    """One file's localization, as ``docs/benchmarks.md`` defines it."""

    skill: str
    localization: float
    """Share of the tokens' influence on the answer that falls on the evidence."""
    chance: float
    """Share of the positions that hold evidence."""


@dataclass(frozen=True)
class _AskedFile:
    """A file's prompt as the beginning of an exam question's sentence."""

    first: int
    """The token at which the sentence begins, after an opening one or not."""
    ends: tuple[int, ...]
    """The end of each token from ``first`` on, in characters of the sentence."""
    follows: str
    """The sentence's text behind the prompt: the answer begins there."""


def find_question(file: GraphFile, questions: Sequence[SkillPrompt]) -> SkillPrompt:
    """Return the question that a file's prompt is.

    A model of words reads a prompt up to the token that holds the answer's first character, so
    that a file's prompt may end a word earlier than the question's. A prompt that extends
    into the answer ends before the character that the evidence decides.

    Raises:
        ScoreError: If it is none of them.
    """
    for question in questions:
        if _match(file, question) is not None:
            return question
    raise ScoreError(
        f"The file's prompt {file.prompt!r:.80} is none of the {len(questions):,} questions of the "
        "exam; trace prompts of skills.exam(), or raise --questions."
    )


def score_localization(file: GraphFile, question: SkillPrompt) -> FileLocalization:
    """Score the influence of a file's token nodes on the output that begins the answer.

    Raises:
        ScoreError: If the file explains no such output, or has no influence of tokens on it.
    """
    asked = _match(file, question)
    assert asked is not None, "find_question() has matched it"
    answer = _answer_node(file, asked.follows)
    flow = file_flow(file, answer)
    parts = torch.zeros(len(file.token_texts), dtype=torch.float64)
    for place, node in enumerate(file.nodes):
        if node.node.kind is NodeKind.TOKEN:
            parts[node.node.position] += float(flow.influence[place])
    if parts.sum() <= 0:
        raise ScoreError(
            f"No path of the file leads from a token to {file.nodes[answer].label!r}; export the "
            "graph with its token nodes, less strongly pruned."
        )
    evidence = [place for place in question.evidence if place < asked.ends[-1]]
    places = {next(n for n, end in enumerate(asked.ends) if place < end) for place in evidence}
    positions = sorted(asked.first + place for place in places)
    share = share_at(parts, torch.tensor(positions, device="cpu"))
    return FileLocalization(question.skill, share, len(positions) / len(parts))


def _match(file: GraphFile, question: SkillPrompt) -> _AskedFile | None:
    """Return how a file's prompt begins a question's sentence; None where it does not."""
    sentence = viewer_text(question.prompt + question.answer + question.rest)
    longest = len(question.prompt) + question.decides
    shortest = max(len(question.prompt.rstrip().rpartition(" ")[0]), 1)
    for first in (1, 0):
        texts = list(file.token_texts[first:])
        if texts and not sentence.startswith(" "):
            texts[0] = texts[0].removeprefix(" ")  # the space before a first word
        prompt = viewer_text("".join(texts))
        if sentence.startswith(prompt) and shortest <= len(prompt) <= longest:
            ends = tuple(accumulate(map(len, texts)))
            return _AskedFile(first, ends, sentence[len(prompt) :])
    return None


def _answer_node(file: GraphFile, answer: str) -> int:
    """Return the output node whose token begins the answer, the longest such token."""
    found = {}
    for place, node in enumerate(file.nodes):
        quoted = OUTPUT_LABEL.search(node.label)
        token = quoted[1] if quoted and node.node.kind is NodeKind.LOGIT else ""
        if token and answer.startswith(token):
            found[len(token)] = place
    if not found:
        raise ScoreError(
            f"The file explains no output that begins the answer {answer!r:.80}; trace with the "
            "first token of the answer as the target."
        )
    return found[max(found)]
