"""Localization of a graph file: does it point at the characters that decide the answer?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

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
    """One file's localization, as ``docs/benchmark.md`` defines it."""

    skill: str
    localization: float
    """Share of the tokens' influence on the answer that falls on the evidence."""
    chance: float
    """Share of the positions that hold evidence."""


def find_question(file: GraphFile, questions: Sequence[SkillPrompt]) -> SkillPrompt:
    """Return the question that a file's prompt is.

    Raises:
        ScoreError: If it is none of them.
    """
    for question in questions:
        if _first_token(file, question.prompt) is not None:
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
    first = _first_token(file, question.prompt)
    assert first is not None, "find_question() has matched it"
    answer = _answer_node(file, question.answer)
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
    ends: list[int] = []
    positions: set[int] = set()
    for text in file.token_texts[first:]:
        ends.append((ends[-1] if ends else 0) + len(text))
    for character in question.evidence:
        positions.add(first + next(n for n, end in enumerate(ends) if character < end))
    share = share_at(parts, torch.tensor(sorted(positions)))
    return FileLocalization(question.skill, share, len(positions) / len(parts))


def _first_token(file: GraphFile, prompt: str) -> int | None:
    """Return the token at which a prompt begins, after an opening one or not; None: another."""
    for first in (1, 0):
        if "".join(file.token_texts[first:]) == viewer_text(prompt):
            return first
    return None


def _answer_node(file: GraphFile, answer: str) -> int:
    """Return the output node whose token begins the answer, the longest such token."""
    found = {}
    wanted = viewer_text(answer)
    for place, node in enumerate(file.nodes):
        quoted = OUTPUT_LABEL.search(node.label)
        token = quoted[1] if quoted and node.node.kind is NodeKind.LOGIT else ""
        if token and wanted.startswith(token):
            found[len(token)] = place
    if not found:
        raise ScoreError(
            f"The file explains no output that begins the answer {answer!r}; trace with the first "
            "token of the answer as the target."
        )
    return found[max(found)]
