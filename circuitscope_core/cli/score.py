"""``bench score``: what another tool's graph files are worth."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import circuitscope_core as cs
from circuitscope_core.cli.output import device_of, named_place, write
from circuitscope_core.errors import ScoreError
from circuitscope_core.evals.scoring import (
    file_flow,
    find_question,
    score_circuit,
    score_effects,
    score_localization,
)
from circuitscope_core.skills import SKILLS, SkillPrompt, exam


def add_score_options(parser: argparse.ArgumentParser) -> None:
    """Describe what ``bench score`` needs."""
    parser.add_argument(
        "files", nargs="*", type=named_place, help="score: graph files, or folders of them"
    )
    parser.add_argument(
        "--evidence", action="store_true", help="score: prompts are exam questions; localization"
    )
    parser.add_argument(
        "--circuit", type=named_place, help="score: the compiled program's .json file"
    )


def run_score(options: argparse.Namespace) -> int:
    """Score graph files from what they hold, and from more where it is given."""
    paths = _find_files(options.files)
    bundle = cs.load_bundle(options.bundle, device=device_of(options)) if options.bundle else None
    program = cs.load_program(options.circuit) if options.circuit else None
    questions = (
        [question for skill in SKILLS for question in exam(skill, options.questions)]
        if options.evidence
        else []
    )
    rows = [_score(path, bundle, program, questions) for path in paths]
    if options.json:
        write(json.dumps(rows))
        return 0
    for row in rows:
        said = [
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in row.items()
            if name != "file"
        ]
        write(f"{row['file']}: {', '.join(said)}")
    return 0


def _find_files(given: Sequence[Path]) -> list[Path]:
    paths = []
    for path in given:
        paths += sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not paths:
        raise ScoreError("bench score needs FILE: a graph's JSON file, or a folder of them.")
    return paths


def _score(
    path: Path,
    bundle: cs.Bundle | None,
    program: cs.CompiledProgram | None,
    questions: Sequence[SkillPrompt],
) -> dict[str, Any]:
    file = cs.read_graph_file(path)
    scores = file_flow(file).scores()
    row: dict[str, Any] = {"file": str(path), "nodes": len(file.nodes), "links": len(file.links)}
    row |= vars(scores)
    if questions:
        row |= vars(score_localization(file, find_question(file, questions)))
    if bundle is not None:
        row |= vars(score_effects(file, bundle))
    if program is not None:
        found = vars(score_circuit(file, program))
        row |= {f"circuit_{name}": value for name, value in found.items()}
    return row
