"""``models``: the models in a folder are added, checked, renamed, and moved into its bin."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import circuitscope_core as cs
from circuitscope_core.bundle import RETENTION_DAYS
from circuitscope_core.cli.output import (
    MODELS_VARIABLE,
    Commands,
    add_device,
    device_of,
    models_folder,
    write,
)
from circuitscope_core.config import CorpusConfig, FeatureCardConfig
from circuitscope_core.corpus import ReadCounter, open_sources
from circuitscope_core.model_library import add_model_steps
from circuitscope_core.notes import NOTES, notes_follow
from circuitscope_core.values import in_bytes


def add_models(commands: Commands) -> None:
    """Describe ``models`` and its commands."""
    parser = commands.add_parser(
        "models", help="add, list, check, rename and remove models, collect cards"
    )
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="add a Hugging Face model; its weights stay in place")
    add.add_argument("source", help="the model's folder, or owner/name on the hub")
    add.add_argument("--name", help="its name among the models (default: of its folder)")
    add.add_argument("--transcoder", help="a transcoder for it (default: its own neurons)")
    add.set_defaults(run=run_add)
    actions.add_parser("list", help="list all models").set_defaults(run=run_list)
    check = actions.add_parser("check", help="open a model and hold it against itself")
    check.set_defaults(run=run_check)
    cards = actions.add_parser("cards", help="collect feature cards of a model that was added")
    add_card_options(cards)
    remove = actions.add_parser("remove", help="move a model into the bin")
    remove.set_defaults(run=run_remove)
    rename = actions.add_parser("rename", help="give a model another name")
    rename.set_defaults(run=run_rename)
    seen = actions.add_parser("bin", help="list what is in the bin, or empty it")
    seen.add_argument("--empty", action="store_true", help="delete all of it for good")
    seen.set_defaults(run=run_bin)
    restore = actions.add_parser("restore", help="take a model out of the bin")
    restore.add_argument("token", help="its name in the bin")
    restore.add_argument("--name", help="another name for it")
    restore.set_defaults(run=run_restore)
    for action in (add, check, cards):
        add_device(action)
    for action in (check, cards, remove, rename):
        action.add_argument("name", help="its name in the list")
    rename.add_argument("new", help="its name from now on")
    for action in actions.choices.values():
        action.add_argument(
            "--models",
            default=models_folder(),
            help=f"the folder of models (default: what {MODELS_VARIABLE} says, or models)",
        )


def run_add(options: argparse.Namespace) -> int:
    """Add a model, naming each step as it begins."""
    more = {"transcoder": options.transcoder, "models": options.models}
    steps = add_model_steps(options.source, options.name, **more, device=device_of(options))
    for event in steps:
        if isinstance(event, cs.ModelEntry):
            place = f"{options.models}/{event.name}"
            added = f"Added {event.name}. Trace it with: trace --bundle {place} --prompt …"
            write(json.dumps(event.to_json()) if options.json else added)
        elif not options.json:
            write(event)
    return 0


def run_list(options: argparse.Namespace) -> int:
    """List the models of the folder."""
    found = cs.list_models(options.models)
    if options.json:
        write(json.dumps([asdict(model) for model in found]))
    else:
        write("\n".join(map(describe, found)) or f"There is no model in {options.models}.")
    return 0


def describe(model: cs.ListedModel) -> str:
    """Return a line about a model."""
    if model.problem and not model.n_layers:
        return f"{model.name}: {model.problem}"
    cards = ", feature cards" if model.has_cards else ""
    line = (
        f"{model.name}: {model.family}, {model.n_layers} layers, {model.n_parameters:,} "
        f"parameters, {in_bytes(model.n_bytes)} of memory, {in_bytes(model.disk_bytes)} on disk; "
        f"{model.features}{cards}"
    )
    return f"{line}. {model.problem}" if model.problem else line


def run_check(options: argparse.Namespace) -> int:
    """Open a model and say what was found."""
    found = cs.check_added(options.name, options.models, device=device_of(options))
    write(json.dumps(asdict(found)) if options.json else found.describe())
    return 0


def add_card_options(parser: argparse.ArgumentParser) -> None:
    """Describe what ``models cards`` needs."""
    parser.add_argument(
        "--text", required=True, action="append", help="Parquet files or builtin; may be repeated"
    )
    parser.add_argument(
        "--graphs", nargs="+", help="graphs that trace --save wrote; only their features get cards"
    )
    parser.add_argument("--tokens", type=int, help="most tokens of text to look at")
    parser.add_argument("--replace", action="store_true", help="replace the cards that it has")
    parser.set_defaults(run=run_cards)


def run_cards(options: argparse.Namespace) -> int:
    """Collect a model's cards, naming each step and the share that is done."""
    sources = [item for text in options.text for item in open_sources(text, CorpusConfig())]
    documents = (item for source in sources for item in source.documents(ReadCounter()))
    graphs = [cs.load_graph(path) for path in options.graphs or ()]
    config = FeatureCardConfig() if options.tokens is None else FeatureCardConfig(options.tokens)
    steps = cs.collect_model_cards(
        options.name,
        documents,
        cs.places_of(graphs) if graphs else None,
        models=options.models,
        config=config,
        replace=options.replace,
        device=device_of(options),
    )
    shown = ""
    for event in steps:
        if isinstance(event, cs.FeatureCards):
            said = f"Saved {len(event):,} feature cards of {options.name} with it."
            write(json.dumps({"cards": len(event)}) if options.json else said)
        elif not options.json and (line := describe_progress(event)) != shown:
            shown = line
            write(line)
    return 0


def describe_progress(event: cs.CardProgress) -> str:
    """Return a line about a collection, another one for each tenth of the work."""
    done = f"{int(10 * event.share) * 10} %" if event.share else "…"
    return f"{event.step}: {done}"


def run_remove(options: argparse.Namespace) -> int:
    """Move a model into the bin."""
    cs.remove_model(options.name, options.models)
    said = (
        f"Moved {options.name} into the bin of {options.models}, for {RETENTION_DAYS} days; "
        "models restore takes it out again."
    )
    write(json.dumps({"removed": options.name}) if options.json else said)
    return 0


def run_rename(options: argparse.Namespace) -> int:
    """Give a model another name, and its notes too."""
    with notes_follow(Path(options.models) / NOTES, options.name, options.new):
        cs.rename_model(options.name, options.new, options.models)
    said = f"{options.name} is called {options.new} now."
    write(json.dumps({"renamed": options.new}) if options.json else said)
    return 0


def run_bin(options: argparse.Namespace) -> int:
    """List the bin, or empty it."""
    if options.empty:
        n = cs.empty_bin(options.models)
        write(json.dumps({"deleted": n}) if options.json else f"Deleted {n} models for good.")
        return 0
    found = cs.list_bin(options.models)
    if options.json:
        write(json.dumps([asdict(model) for model in found]))
    else:
        lines = [
            f"{model.token}: {in_bytes(model.n_bytes)}, {max(0.0, model.days_left):.0f} days left"
            for model in found
        ]
        write("\n".join(lines) or "The bin is empty.")
    return 0


def run_restore(options: argparse.Namespace) -> int:
    """Take a model out of the bin."""
    name = cs.restore_model(options.token, options.models, options.name)
    write(json.dumps({"restored": name}) if options.json else f"{name} is among the models again.")
    return 0
