"""``models``: the models in a folder; Hugging Face models are added, checked and removed."""

import argparse
import json
from dataclasses import asdict

import circuitscope_core as cs
from circuitscope_core.cli.output import Commands, write
from circuitscope_core.model_library import add_model_steps
from circuitscope_core.values import in_bytes

MODELS = "models"


def add_models(commands: Commands) -> None:
    """Describe ``models`` and its four commands."""
    parser = commands.add_parser("models", help="add, list, check and remove models")
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="add a Hugging Face model; its weights stay in place")
    add.add_argument("source", help="the model's folder, or owner/name on the hub")
    add.add_argument("--name", help="its name among the models (default: of its folder)")
    add.add_argument("--transcoder", help="a transcoder for it (default: its own neurons)")
    add.set_defaults(run=run_add)
    actions.add_parser("list", help="list all models").set_defaults(run=run_list)
    check = actions.add_parser("check", help="open a model and hold it against itself")
    check.set_defaults(run=run_check)
    remove = actions.add_parser("remove", help="remove a model that was added; weights stay")
    remove.set_defaults(run=run_remove)
    for action in (check, remove):
        action.add_argument("name", help="its name in the list")
    for action in actions.choices.values():
        action.add_argument("--models", default=MODELS, help="the folder of models")


def run_add(options: argparse.Namespace) -> int:
    """Add a model, naming each step as it begins."""
    parts = (options.source, options.name)
    for event in add_model_steps(*parts, transcoder=options.transcoder, models=options.models):
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
    found = cs.check_added(options.name, options.models)
    write(json.dumps(asdict(found)) if options.json else found.describe())
    return 0


def run_remove(options: argparse.Namespace) -> int:
    """Remove a model's entry."""
    cs.remove_model(options.name, options.models)
    said = f"Removed {options.name} from {options.models}; its weights are where they were."
    write(json.dumps({"removed": options.name}) if options.json else said)
    return 0
