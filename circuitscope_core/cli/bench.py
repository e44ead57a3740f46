"""``bench``: how fast attribution is, and what a model, its graphs and others' are worth."""

import argparse
import json
import time

import circuitscope_core as cs
from circuitscope_core.cli.circuits import add_circuit_options, run_circuits
from circuitscope_core.cli.faithfulness import bench_faithfulness
from circuitscope_core.cli.output import (
    DEFAULT_BUNDLE,
    EXAMPLE_PROMPT,
    Commands,
    add_bundle,
    add_device,
    count,
    device_of,
    write,
)
from circuitscope_core.cli.score import add_score_options, run_score
from circuitscope_core.skills import SKILLS, exam


def add_bench(commands: Commands) -> None:
    """Describe ``bench``."""
    parser = commands.add_parser(
        "bench",
        help="time attribution, take the exam of skills, score graphs on its evidence, or hold "
        "them against what the model does",
    )
    add_bundle(parser)
    add_device(parser)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("speed", "exam", "localization", "faithfulness", "circuits", "score"),
        default="speed",
        help="what to measure (default: speed)",
    )
    parser.add_argument("--questions", type=count, default=100, help="questions of each skill")
    parser.add_argument("--prompt", default=EXAMPLE_PROMPT)
    parser.add_argument("--repeat", type=count, default=5, help="timed runs after a warm-up")
    parser.add_argument("--source", help="text of the training, for faithfulness")
    parser.add_argument("--prompts", type=count, default=100, help="prompts for faithfulness")
    add_score_options(parser)
    add_circuit_options(parser)
    parser.set_defaults(run=run_bench, bundle=None)  # a file is scored without a bundle


def run_bench(options: argparse.Namespace) -> int:
    """Measure what was asked for: a bundle, compiled programs, or graph files."""
    if options.what == "circuits":
        return run_circuits(options)
    if options.what == "score":
        return run_score(options)
    bundle = cs.load_bundle(options.bundle or DEFAULT_BUNDLE, device=device_of(options))
    if options.what == "speed":
        return time_attribution(bundle, options)
    if options.what == "faithfulness":
        return bench_faithfulness(bundle, options)
    questions = {skill: exam(skill, options.questions) for skill in SKILLS}
    rows: dict[str, dict[str, float]] = {}
    for skill, asked in questions.items():
        if options.what == "exam":
            marks = cs.take_exam(bundle.model, bundle.tokenizer, asked)
            rows[skill] = {} if marks is None else vars(marks)
        else:
            rows[skill] = vars(cs.measure_localization(bundle.replacement, asked))
        if not options.json:
            figures = (f"{name} {value:.4g}" for name, value in rows[skill].items())
            write(f"{skill}: {', '.join(figures)}")
    if options.json:
        write(json.dumps(rows))
    return 0


def time_attribution(bundle: cs.Bundle, options: argparse.Namespace) -> int:
    """Time attribution, pruning and scores of one prompt."""
    attribution, pruning = [], []
    for _ in range(options.repeat + 1):
        started = time.perf_counter()
        graph = cs.attribute(bundle, options.prompt)
        built = time.perf_counter()
        cs.prune_graph(graph)
        cs.graph_scores(graph)
        attribution.append(built - started)
        pruning.append(time.perf_counter() - built)
    figures = {
        "prompt_tokens": graph.n_pos,
        "features": graph.n_features,
        "edges": graph.n_edges,
        "attribution_seconds": sorted(attribution[1:])[options.repeat // 2],
        "pruning_and_scores_seconds": sorted(pruning[1:])[options.repeat // 2],
    }
    for name, value in figures.items():
        if not options.json:
            write(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value:,}")
    if options.json:
        write(json.dumps(figures))
    return 0
