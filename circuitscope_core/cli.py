"""The command line: train, trace, and look at models and graph files without a browser."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import circuitscope_core as cs
from circuitscope_core.errors import CircuitScopeError, ConfigError
from circuitscope_core.export import export_svg, export_view
from circuitscope_core.graph_file import layout_graph_file
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.skills import SKILLS, exam
from circuitscope_core.training import (
    Event,
    PhaseFinished,
    PhaseStarted,
    Progress,
    TrainingFinished,
    event_to_json,
    measure_speed,
)
from circuitscope_core.view import GraphView, layout_graph

EXAMPLE_PROMPT = "The National Digital Analytics Group (N"
EXIT_ERROR, EXIT_CANCELLED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except CircuitScopeError as error:
        if options.json:
            write(json.dumps({"error": str(error)}))
        else:
            write(f"Error: {error}", sys.stderr)
        return EXIT_ERROR
    return status


def write(line: str, stream: Any = None) -> None:
    """Write a line and flush, so that a reader at the other end of a pipe sees it at once."""
    out = stream or sys.stdout
    out.write(line + "\n")
    out.flush()


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(
        prog="python -m circuitscope_core",
        description="Train a small language model with its transcoder, and trace its predictions.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_train(commands.add_parser("train", help="train a model and save it as a bundle"))
    estimate = commands.add_parser("estimate", help="say how long training would take")
    _add_settings(estimate)
    estimate.set_defaults(run=run_estimate)
    trace = commands.add_parser("trace", help="build the attribution graph of a prompt")
    _add_trace(trace)
    check = commands.add_parser("check", help="say what a graph's JSON file holds, or is wrong")
    check.add_argument("file", type=Path, help="ours, circuit-tracer's or Neuronpedia's")
    check.set_defaults(run=run_check)
    info = commands.add_parser("info", help="show what a bundle holds")
    info.set_defaults(run=run_info)
    bench = commands.add_parser(
        "bench", help="time attribution, take the exam of skills, or score graphs on its evidence"
    )
    bench.add_argument(
        "what",
        nargs="?",
        choices=("speed", "exam", "localization"),
        default="speed",
        help="what to measure (default: speed)",
    )
    bench.add_argument("--questions", type=int, default=100, help="questions of each skill")
    bench.add_argument("--prompt", default=EXAMPLE_PROMPT)
    bench.add_argument("--repeat", type=int, default=5, help="timed runs after a warm-up")
    bench.set_defaults(run=run_bench)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="write JSON instead of text")
    for command in (trace, check):
        command.add_argument("--html", type=Path, help="write the graph as one standalone page")
        command.add_argument("--svg", type=Path, help="write the picture of all nodes as SVG")
    for command in (info, bench):
        command.add_argument("--bundle", default="models/demo", help="folder of the bundle")
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        action="append",
        help="a Parquet file, folder, glob or hf://datasets/owner/name/file.parquet address, or "
        "'builtin'; may be given more than once (default: builtin)",
    )
    parser.add_argument("--out", default="models/mine", help="folder of the bundle to be")
    parser.add_argument("--restart", action="store_true", help="discard an interrupted training")
    _add_settings(parser)
    parser.set_defaults(run=run_train)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, help="JSON file with settings, - for standard input; see bundle.json"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one setting, for example corpus.skill_share=0.25 or transcoder.d_transcoder=512",
    )


def _add_trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", default="models/demo", help="folder of the bundle")
    parser.add_argument("--prompt", default=EXAMPLE_PROMPT)
    parser.add_argument("--target", action="append", help="explain this token; may be repeated")
    parser.add_argument("--max-feature-nodes", type=int, help="keep at most so many features")
    parser.add_argument("--node-threshold", type=float, default=0.8)
    parser.add_argument("--edge-threshold", type=float, default=0.98)
    parser.add_argument("--paths", type=int, default=5, help="how many paths to print")
    parser.add_argument("--graph", type=Path, help="write the graph as Neuronpedia JSON")
    parser.set_defaults(run=run_trace)


def run_train(options: argparse.Namespace) -> int:
    """Train; the first interrupt or termination signal saves a checkpoint and stops."""
    config = read_config(options.config, options.set)
    sources = options.source or ["builtin"]
    command = "python -m circuitscope_core train " + " ".join(
        [*(f"--source {source}" for source in sources), f"--out {options.out}"]
        + [f"--set {item}" for item in options.set]
    )
    asked_to_stop = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: asked_to_stop.append(True))
    events = cs.train(config, sources, options.out, restart=options.restart, command=command)
    for event in events:
        line = event_to_json(event) if options.json else describe_event(event)
        if line:
            write(line)
        if asked_to_stop and not isinstance(event, TrainingFinished):
            events.close()  # type: ignore[attr-defined]  # train() is a generator
            write("Stopped. Run the same command to resume.", sys.stderr)
            return EXIT_CANCELLED
    return 0


def run_estimate(options: argparse.Namespace) -> int:
    """Say how long each phase of a training would take on this machine."""
    config = read_config(options.config, options.set)
    speed = measure_speed(config)
    seconds = speed.estimate(config)
    if options.json:
        write(json.dumps({"seconds": vars(seconds), "seconds_per_token": vars(speed)}))
        return 0
    for name, value in vars(seconds).items():
        write(f"{name.replace('_', ' ')}: {value:.0f} s")
    write(f"total: {seconds.total:.0f} s")
    return 0


def read_config(path: Path | None, settings: Sequence[str]) -> cs.TrainConfig:
    """Return the default settings, changed by a file and by ``NAME=VALUE`` items.

    Raises:
        ConfigError: If the file is no JSON object, or a name or value is not accepted.
    """
    data: dict[str, Any] = cs.TrainConfig().to_json()
    if path is not None:
        try:
            text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
            given = json.loads(text)
        except (OSError, ValueError) as error:
            raise ConfigError(f"The settings file {path} cannot be read: {error}") from error
        if not isinstance(given, dict):
            raise ConfigError(f"The settings file {path} holds no JSON object.")
        for name, value in given.items():
            nested = isinstance(value, dict) and isinstance(data.get(name), dict)
            data[name] = {**data[name], **value} if nested else value
    for item in settings:
        _change(data, item)
    return cs.TrainConfig.from_json(data)


def _change(data: dict[str, Any], item: str) -> None:
    """Put one ``section.field=value`` into nested settings."""
    name, equals, text = item.partition("=")
    *sections, last = name.split(".")
    place: Any = data
    for section in sections:
        place = place.get(section) if isinstance(place, dict) else None
    if not equals or not isinstance(place, dict) or last not in place:
        raise ConfigError(
            f"There is no setting {item!r}; use for example transcoder.d_transcoder=512."
        )
    try:
        place[last] = json.loads(text)
    except ValueError:
        place[last] = text


def describe_event(event: Event) -> str:
    """Return an event as a line for people; empty for events without news."""
    if isinstance(event, PhaseStarted):
        resumed = f", resumed at step {event.first_step:,}" if event.first_step else ""
        return f"{event.phase}: {event.n_steps:,} steps{resumed}"
    if isinstance(event, Progress):
        figures = ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
        rate = f", {event.tokens_per_second:,.0f} tokens/s" if event.tokens_per_second else ""
        return f"  {event.step:,}/{event.n_steps:,}{rate}{', ' if figures else ''}{figures}"
    if isinstance(event, PhaseFinished):
        figures = ", ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
        said = f" {event.message}" if event.message else ""
        return f"{event.phase} done in {event.seconds:.1f} s. {figures}{said}"
    if isinstance(event, TrainingFinished):
        return f"Saved {event.bundle} after {event.seconds:.0f} s."
    return ""


def run_trace(options: argparse.Namespace) -> int:
    """Trace one prompt."""
    started = time.perf_counter()
    bundle = cs.load_bundle(options.bundle)
    config = cs.AttributionConfig(max_feature_nodes=options.max_feature_nodes)
    for event in cs.attribution_steps(bundle, options.prompt, config, options.target):
        if isinstance(event, cs.AttributionPlan) and not options.json:
            size = f"{event.n_bytes / 1e6:,.0f} MB"
            write(f"{event.n_active:,} features are active; the graph takes about {size}.")
        if isinstance(event, cs.AttributionGraph):
            graph = event
    pruned = cs.prune_graph(graph, options.node_threshold, options.edge_threshold)
    supernodes = cs.cluster_features(pruned, bundle.transcoder)
    paths = cs.strongest_paths(pruned, options.paths, cards=bundle.feature_cards)
    if options.html or options.svg:
        parts = (bundle.tokenizer, bundle.feature_cards, supernodes, bundle.global_weights)
        write_pictures(options, layout_graph(pruned, *parts))
    if options.graph:
        cs.export_graph(
            graph, pruned, supernodes=supernodes, path=options.graph, cards=bundle.feature_cards
        )
    summary = summarize(pruned, supernodes, [path.text for path in paths])
    summary["seconds"] = round(time.perf_counter() - started, 3)
    write(json.dumps(summary) if options.json else describe_trace(summary))
    if options.graph and not options.json:
        write(f"Wrote {options.graph}")
    return 0


def write_pictures(options: argparse.Namespace, view: GraphView) -> None:
    """Write a graph as the page and the picture that were asked for, and name them."""
    for path, export in ((options.html, export_view), (options.svg, export_svg)):
        if path:
            export(view, path)
            if not options.json:
                write(f"Wrote {path}")


def run_check(options: argparse.Namespace) -> int:
    """Say what a graph file holds; a file that cannot be opened is an error."""
    file = cs.read_graph_file(options.file)
    if options.html or options.svg:
        write_pictures(options, layout_graph_file(file))
    write(json.dumps(file.summary()) if options.json else file.describe())
    return 0


def summarize(
    pruned: PrunedGraph, supernodes: cs.Supernodes, paths: Sequence[str]
) -> dict[str, Any]:
    """Return what a trace found as plain data."""
    graph = pruned.graph
    scores = cs.graph_scores(graph)
    prediction = [
        {"token": text, "probability": round(float(probability), 6)}
        for text, probability in zip(graph.logit_texts, graph.logit_probabilities, strict=True)
    ]
    return {
        "prompt": graph.prompt,
        "prediction": prediction,
        "scores": vars(scores),
        "nodes": {
            "features": graph.n_features,
            "active_features": graph.n_active_features,
            "errors": graph.n_errors,
            "tokens": graph.n_pos,
            "logits": graph.n_logits,
            "kept": pruned.n_nodes,
        },
        "edges": {"all": graph.n_edges, "kept": pruned.n_edges},
        "supernodes": len(supernodes.merged),
        "paths": list(paths),
    }


def describe_trace(summary: dict[str, Any]) -> str:
    """Return the same as text."""
    nodes, edges, scores = summary["nodes"], summary["edges"], summary["scores"]
    likely = ", ".join(
        f"“{item['token']}” {item['probability']:.1%}" for item in summary["prediction"][:5]
    )
    all_nodes = nodes["features"] + nodes["errors"] + nodes["tokens"] + nodes["logits"]
    lines = [
        f"Prompt      {summary['prompt']!r}",
        f"Next token  {likely}",
        f"Nodes       {nodes['kept']:,} kept of {all_nodes:,} "
        f"({nodes['features']:,} active features)",
        f"Edges       {edges['kept']:,} kept of {edges['all']:,}",
        f"Scores      replacement {scores['replacement']:.3f}, "
        f"completeness {scores['completeness']:.3f}",
        "Strongest paths",
        *(f"  {path}" for path in summary["paths"]),
        f"({summary['seconds']:.2f} s)",
    ]
    return "\n".join(lines)


def run_info(options: argparse.Namespace) -> int:
    """Show a bundle's sizes and metrics."""
    bundle = cs.load_bundle(options.bundle)
    facts = {
        "name": bundle.metadata.name,
        "model": bundle.model.config.to_json(),
        "model_parameters": bundle.model.config.count_parameters(),
        "transcoder": bundle.transcoder.config.to_json(),
        "transcoder_parameters": bundle.transcoder.config.count_parameters(),
        "corpus": dict(bundle.metadata.corpus),
        "metrics": dict(bundle.metadata.metrics),
        "seconds": dict(bundle.metadata.seconds),
        "command": bundle.metadata.command,
    }
    if options.json:
        write(json.dumps(facts))
        return 0
    for name, value in facts.items():
        if isinstance(value, dict):
            write(f"{name}:")
            for key, item in value.items():
                shown = f"{item:.4g}" if isinstance(item, float) else item
                write(f"  {key}: {shown}")
        else:
            write(f"{name}: {value}")
    return 0


def run_bench(options: argparse.Namespace) -> int:
    """Measure what was asked for on a bundle."""
    bundle = cs.load_bundle(options.bundle)
    if options.what == "speed":
        return time_attribution(bundle, options)
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
