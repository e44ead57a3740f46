"""``trace``: one prompt's graph, as text, JSON, page and picture."""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any, get_args

import circuitscope_core as cs
from circuitscope_core.cli.many_prompts import trace_many
from circuitscope_core.cli.output import (
    EXAMPLE_PROMPT,
    Commands,
    add_bundle,
    add_device,
    device_of,
    file_to_write,
    named_place,
    write,
)
from circuitscope_core.cli.pictures import add_pictures, lay_out_with_story, write_pictures
from circuitscope_core.config import Ablation, ReadPoint
from circuitscope_core.errors import ConfigError
from circuitscope_core.export import ViewerGraph

N_FEATURES = 5
"""Features that are listed."""


def add_trace(commands: Commands) -> None:
    """Describe ``trace``."""
    parser = commands.add_parser("trace", help="build the attribution graph of a prompt")
    add_pictures(parser)
    traced = parser.add_mutually_exclusive_group()
    add_bundle(traced)
    traced.add_argument(
        "--model", help="a Hugging Face model in place of a bundle: a folder, or owner/name"
    )
    parser.add_argument(
        "--transcoder",
        help="with --model: its folder, or hf://owner/name; without it the graph is of "
        "the model's own neurons",
    )
    parser.add_argument(
        "--read-point",
        choices=get_args(ReadPoint),
        help="with --transcoder: where its features read, if its files have the wrong word for it",
    )
    add_device(parser)
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float64"),
        help="the precision of a Hugging Face model's weights",
    )
    parser.add_argument(
        "--prompt", action="append", help="the text; several are traced one after the other"
    )
    parser.add_argument(
        "--chat", action="store_true", help="give the prompt as a message, by the chat template"
    )
    parser.add_argument("--target", action="append", help="explain this token; may be repeated")
    answered = parser.add_mutually_exclusive_group()
    answered.add_argument("--answer", help="explain this whole text, one output for each token")
    answered.add_argument(
        "--continue",
        dest="continued",
        type=int,
        metavar="N",
        help="explain the N tokens that the model itself gives next, in one graph",
    )
    parser.add_argument("--minus", help="explain why the target and not this token")
    parser.add_argument(
        "--against",
        help="a second prompt, which leads to another answer: without a transcoder neurons are "
        "chosen by it; with one the kept features are patched from it",
    )
    parser.add_argument(
        "--patch",
        action="store_true",
        help="with --against: also patch the nodes of a graph of neurons",
    )
    parser.add_argument("--max-feature-nodes", type=int, help="the most features to keep")
    parser.add_argument("--node-threshold", type=float, default=0.8)
    parser.add_argument("--edge-threshold", type=float, default=0.98)
    parser.add_argument(
        "--ablate",
        choices=get_args(Ablation),
        default="auto",
        help="switch each kept feature off alone, to rank them: auto does where that takes a few "
        "seconds at most",
    )
    parser.add_argument("--paths", type=int, default=5, help="how many paths to print")
    parser.add_argument("--graph", type=file_to_write, help="write the graph as Neuronpedia JSON")
    parser.add_argument(
        "--viewer",
        type=file_to_write,
        metavar="FOLDER",
        help="add the graph and its feature cards to a folder for circuit-tracer's own viewer",
    )
    parser.add_argument(
        "--save", type=file_to_write, help="write the exact graph, unpruned, as a safetensors file"
    )
    parser.add_argument(
        "--prompts",
        type=named_place,
        help="trace every line of this file instead; in a .jsonl file each is a JSON string",
    )
    parser.add_argument(
        "--out", type=file_to_write, help="of several prompts: folder for graphs and table"
    )
    parser.add_argument(
        "--backend", default="local", help="of several prompts: local, procs:2, ray:2 or ray:2@auto"
    )
    parser.add_argument(
        "--table-only", action="store_true", help="of several prompts: write no file for each graph"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="of several prompts: compute only those that the table in --out lacks",
    )
    parser.set_defaults(run=run_trace)


def run_trace(options: argparse.Namespace) -> int:
    """Trace one prompt, or each of a file."""
    options.prompt = options.prompt or [EXAMPLE_PROMPT]
    if options.prompts or len(options.prompt) > 1:
        return trace_many(options, answer_of(options))
    started = time.perf_counter()
    bundle = bundle_of(options)
    fit = None if options.transcoder is None else read_point_fit(bundle, options)
    found = traced(bundle, options)
    paths = cs.strongest_paths(found, options.paths)
    if options.html or options.svg:
        write_pictures(options, lay_out_with_story(bundle, found, asked(bundle, options)))
    if options.graph:
        cs.export_graph(found, options.graph, supernodes=found.supernodes)
    if options.save:
        found.graph.save(options.save)
    viewed = write_for_viewer(bundle, found, options)
    summary = summarize(found, [path.text for path in paths])
    summary |= patching(bundle, found, options)
    summary |= {} if fit is None else {"read_point": fit}
    summary |= {} if viewed is None else {"viewer": {"slug": viewed.slug, "at": viewed.address}}
    summary["seconds"] = round(time.perf_counter() - started, 3)
    write(json.dumps(summary) if options.json else describe_trace(summary))
    if options.graph and not options.json:
        write(f"Wrote {options.graph}")
    if viewed is not None and not options.json:
        write(f"Wrote {options.viewer / viewed.slug}.json; circuit-tracer's viewer opens it at")
        write(f"  index.html{viewed.address}")
    return 0


def write_for_viewer(
    bundle: cs.Bundle, found: cs.Trace, options: argparse.Namespace
) -> ViewerGraph | None:
    """Add a trace to the folder for circuit-tracer's viewer; None where none was asked for."""
    if options.viewer is None:
        return None
    return cs.write_viewer_folder(
        options.viewer,
        found,
        cards=found.cards,
        tokenizer=bundle.tokenizer,
        supernodes=found.supernodes,
    )


def traced(bundle: cs.Bundle, options: argparse.Namespace) -> cs.Trace:
    """Return the prompt's trace; says what it will take before it begins."""
    config = cs.TraceConfig(
        cs.AttributionConfig(max_feature_nodes=options.max_feature_nodes),
        cs.PruneConfig(options.node_threshold, options.edge_threshold),
        ablation=options.ablate,
    )
    prompt, against = prompts_of(bundle, options)
    # a transcoder's features need no second prompt to be chosen; see ``patching``
    chosen_by = against if bundle.transcoder.shape.exact else None
    parts = (prompt, config, targets_of(options), chosen_by)
    for event in cs.trace_steps(bundle, *parts, answer_of(options)):
        if isinstance(event, cs.AttributionPlan) and not options.json:
            write(f"{event}.")
        if isinstance(event, cs.Trace):
            found = event
    return found


def prompts_of(bundle: cs.Bundle, options: argparse.Namespace) -> list[Any]:
    """Return the prompt and the second one, None where there is none, as the core takes them."""
    prompts = [*options.prompt, options.against]
    if options.chat:
        return [text and cs.chat_prompt(bundle, text).token_ids for text in prompts]
    return prompts


def asked(bundle: cs.Bundle, options: argparse.Namespace) -> Any:
    """Return the prompt with its answer, if one is explained."""
    prompt, answer = prompts_of(bundle, options)[0], answer_of(options)
    return prompt if answer is None else cs.answer_prompt(bundle, prompt, answer)


def patching(
    bundle: cs.Bundle, found: cs.Trace, options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Return what becomes of the answer with the kept nodes patched from the second prompt.

    Raises:
        ConfigError: If there is nothing to patch from.
    """
    if options.patch and not options.against:
        raise ConfigError("--patch needs a second prompt to patch from; add --against TEXT.")
    if not options.against or (bundle.transcoder.shape.exact and not options.patch):
        return {}
    curve = cs.verify_by_patching(bundle, found, prompts_of(bundle, options)[1])
    names = ("answer", "clean", "other", "sizes", "patched", "carried", "random")
    told = {name: getattr(curve, name) for name in names}
    rest = {} if curve.rest is None else {"rest": vars(curve.rest)}
    return {"patching": {**told, **rest, "nodes": [vars(node) for node in curve.nodes]}}


def read_point_fit(bundle: cs.Bundle, options: argparse.Namespace) -> dict[str, Any]:
    """Return how well the transcoder fits at each read point; says so if another is far better."""
    fit = cs.check_read_point(bundle)
    if fit.better is not None and not options.json:
        write(fit.describe())
    shares = {point: round(share, 4) for point, share in fit.explained.items()}
    return {"own": fit.read_point, "explained": shares, "better": fit.better}


def bundle_of(options: argparse.Namespace) -> cs.Bundle:
    """Return the bundle that was asked for, or a Hugging Face model with its transcoder."""
    if options.model is None:
        if options.transcoder is not None:
            raise ConfigError("--transcoder needs the model that it was trained on; add --model.")
        if options.read_point is not None:
            raise ConfigError("--read-point needs a transcoder; add --model and --transcoder.")
        return cs.load_bundle(options.bundle, device=device_of(options), dtype=options.dtype)
    model = cs.load_model(options.model, device=device_of(options), dtype=options.dtype)
    if options.transcoder is None:
        if options.read_point is not None:
            raise ConfigError("--read-point needs a transcoder; add --transcoder.")
        return cs.make_bundle(model)
    more = {"read_point": options.read_point, "device": model.home.device}
    transcoder = cs.load_transcoder(options.transcoder, **more)
    return cs.make_bundle(model, transcoder)


def targets_of(options: argparse.Namespace) -> list[Any] | None:
    """Return what is to be explained; None for the likeliest tokens."""
    if options.minus is None:
        targets: list[Any] | None = options.target
        return targets
    if not options.target or len(options.target) != 1:
        raise ConfigError("--minus compares one token with another; give that one as --target.")
    return [cs.TokenDifference(options.target[0], options.minus)]


def answer_of(options: argparse.Namespace) -> str | int | None:
    """Return the answer that is to be explained as a whole; None where it is the next token."""
    answer: str | int | None = options.continued if options.answer is None else options.answer
    return answer


def summarize(found: cs.Trace, paths: Sequence[str]) -> dict[str, Any]:
    """Return a trace's figures as plain data."""
    graph, pruned = found.graph, found.pruned
    columns = (graph.logit_texts, graph.logit_probabilities, graph.target_positions.tolist())
    prediction = [
        {"token": text, "probability": round(float(probability), 6), "position": position}
        for text, probability, position in zip(*columns, strict=True)
    ]
    answer = {} if graph.answer is None else {"answer": vars(graph.answer)}
    return {
        "prompt": graph.prompt,
        "prediction": prediction,
        **answer,
        **how_good(found),
        "nodes": {
            "features": graph.n_features,
            "active_features": graph.n_active_features,
            "rest_share": round(graph.rest_share, 6),
            "errors": graph.n_errors,
            "tokens": graph.n_pos,
            "logits": graph.n_logits,
            "kept": pruned.n_nodes,
        },
        "edges": {"all": graph.n_edges, "kept": pruned.n_edges},
        "supernodes": len(found.supernodes.merged),
        "features": strongest_features(found),
        "not_ablated": found.not_ablated,
        "paths": list(paths),
    }


def strongest_features(found: cs.Trace) -> list[dict[str, Any]]:
    """Return the features that matter most, by ablation where it was computed."""
    circuit = found.circuit
    rows = circuit.rows_of(cs.NodeKind.FEATURE)
    order = circuit.strength[rows].argsort(descending=True, stable=True)[:N_FEATURES]
    return [
        {
            "id": circuit.ids[row],
            "name": circuit.names[row],
            "token": circuit.token_texts[int(circuit.positions[row])],
            "ablation_bits": None if found.not_ablated else float(circuit.ablation_bits[row]),
            "influence": float(circuit.influence[row]),
        }
        for row in rows[order].tolist()
    ]


def how_good(found: cs.Trace) -> dict[str, Any]:
    """Return the scores of a graph, or how its neurons were chosen, of which scores say nothing."""
    choice = found.graph.choice
    if choice is None:
        return {"scores": vars(found.scores)}
    told = ("n_candidates", "share_of_squares", "folded", "against")
    return {"neurons": {name: getattr(choice, name) for name in told}}


def describe_trace(summary: dict[str, Any]) -> str:
    """Return the same as text."""
    nodes, edges = summary["nodes"], summary["edges"]
    answer = summary.get("answer")
    shown = summary["prediction"] if answer else summary["prediction"][:5]
    likely = ", ".join(f"“{item['token']}” {item['probability']:.1%}" for item in shown)
    all_nodes = nodes["features"] + nodes["errors"] + nodes["tokens"] + nodes["logits"]
    lines = [
        f"Prompt      {summary['prompt']!r}",
        f"Answer      “{answer['text']}” {answer['probability']:.1%}: {likely}"
        if answer
        else f"Next token  {likely}",
        f"Nodes       {nodes['kept']:,} kept of {all_nodes:,} "
        f"({nodes['features']:,} {'neurons' if 'neurons' in summary else 'active features'})",
        f"Edges       {edges['kept']:,} kept of {edges['all']:,}",
        describe_quality(summary),
        describe_ranking(summary),
        *(f"  {describe_feature(feature)}" for feature in summary["features"]),
        "Strongest paths",
        *(f"  {path}" for path in summary["paths"]),
        *describe_patching(summary.get("patching")),
        f"({summary['seconds']:.2f} s)",
    ]
    return "\n".join(lines)


def describe_patching(told: dict[str, Any] | None) -> list[str]:
    """Return lines about the nodes patched from the second prompt; none where there is none."""
    if told is None:
        return []
    n, value, share = told["sizes"][-1], told["patched"][-1], told["carried"][-1]
    lines = [
        f"Why not the other  {told['answer']}: {told['clean']:+.2f} here, {told['other']:+.2f} "
        "after the second prompt",
        f"  {value:+.2f} with {n} nodes patched: they carry {share:.0%} of the change",
    ]
    if "rest" in told:
        rest = told["rest"]
        lines.append(
            f"  {rest['features']:+.2f} with all features that differ, {rest['errors']:+.2f} with "
            f"errors too, {rest['tokens']:+.2f} with the tokens too"
        )
    return lines


def describe_ranking(summary: dict[str, Any]) -> str:
    """Return the line above the strongest features: what ranks them."""
    if summary["not_ablated"]:
        return f"{summary['not_ablated']}\nFeatures by influence"
    where = "model" if "neurons" in summary else "replacement"
    return f"Features by what switching each off in the {where} changes of the answer"


def describe_feature(feature: dict[str, Any]) -> str:
    """Return a line about a feature."""
    bits = feature["ablation_bits"]
    size = f"{feature['influence']:6.1%}" if bits is None else f"{bits:.2g} bits"
    return f"{size}  {feature['id']} at “{feature['token']}”: {feature['name']}"


def describe_quality(summary: dict[str, Any]) -> str:
    """Return the line about a graph's scores, or about the choice of its neurons."""
    if "neurons" in summary:
        choice, n_nodes = summary["neurons"], summary["nodes"]["features"]
        return (
            f"Neurons     {n_nodes:,} of {choice['n_candidates']:,} that have an effect, "
            f"{choice['share_of_squares']:.0%} of the squared effects"
        )
    scores = summary["scores"]
    return (
        f"Scores      replacement {scores['replacement']:.3f}, "
        f"completeness {scores['completeness']:.3f}"
    )
