"""``trace``: one prompt's graph, as text, JSON, page and picture."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import circuitscope_core as cs
from circuitscope_core.cli.output import EXAMPLE_PROMPT, Commands, add_bundle, write
from circuitscope_core.cli.pictures import add_pictures, write_pictures
from circuitscope_core.pruning import PrunedGraph
from circuitscope_core.view import layout_graph


def add_trace(commands: Commands) -> None:
    """Describe ``trace``."""
    parser = commands.add_parser("trace", help="build the attribution graph of a prompt")
    add_pictures(parser)
    add_bundle(parser)
    parser.add_argument("--prompt", default=EXAMPLE_PROMPT)
    parser.add_argument("--target", action="append", help="explain this token; may be repeated")
    parser.add_argument("--max-feature-nodes", type=int, help="keep at most so many features")
    parser.add_argument("--node-threshold", type=float, default=0.8)
    parser.add_argument("--edge-threshold", type=float, default=0.98)
    parser.add_argument("--paths", type=int, default=5, help="how many paths to print")
    parser.add_argument("--graph", type=Path, help="write the graph as Neuronpedia JSON")
    parser.set_defaults(run=run_trace)


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
