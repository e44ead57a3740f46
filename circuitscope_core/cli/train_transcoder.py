"""``train-transcoder``: transcoders for a Hugging Face model, and how long they would take."""

import argparse
import json
import shlex
from dataclasses import replace
from typing import Any

import circuitscope_core as cs
from circuitscope_core.cli.output import (
    MODELS_VARIABLE,
    Commands,
    file_to_write,
    models_folder,
    write,
)
from circuitscope_core.cli.train import (
    add_run_options,
    add_setting_options,
    changed_settings,
    follow,
)
from circuitscope_core.pipeline import PlannedModel, TrainingPlan
from circuitscope_core.pipeline.transcoder_estimate import TranscoderEstimate, estimate_transcoder

KINDS = ("per-layer", "cross-layer")


def add_train_transcoder(commands: Commands) -> None:
    """Describe ``train-transcoder``."""
    parser = commands.add_parser(
        "train-transcoder", help="train transcoders for layers of a Hugging Face model"
    )
    parser.add_argument(
        "--model",
        required=True,
        help="the model's folder, owner/name on the hub, or models/NAME of one that was added",
    )
    parser.add_argument(
        "--out",
        type=file_to_write,
        default=f"{models_folder()}/mine",
        help=f"folder of the bundle to be (default: mine in {MODELS_VARIABLE}, or models/mine)",
    )
    parser.add_argument("--layers", help="10,12-14, middle (three layers) or all (default: middle)")
    parser.add_argument(
        "--kind", choices=KINDS, help="where a feature writes: to its own layer, or to later ones"
    )
    parser.add_argument("--features", type=int, help="features of each layer (default: 2048)")
    parser.add_argument("--tokens", type=int, help="tokens to train on (default: 500000)")
    parser.add_argument(
        "--topk", type=int, metavar="K", help="top-k features, K of them active (default: JumpReLU)"
    )
    parser.add_argument("--skip", action="store_true", help="add a skip connection")
    parser.add_argument(
        "--causal", type=float, metavar="WEIGHT", help="weight of the loss on interventions"
    )
    parser.add_argument("--dtype", help="precision of the model (default: by its size)")
    parser.add_argument(
        "--estimate", action="store_true", help="say what it would take, and do not train"
    )
    add_run_options(parser)
    add_setting_options(parser, "n_ctx=256 or transcoder_training.target_l0=50")
    parser.set_defaults(run=run_train_transcoder)


def run_train_transcoder(options: argparse.Namespace) -> int:
    """Train transcoders, or say what that would take."""
    config = read_transcoder_config(options)
    model = PlannedModel.of(options.model, options.device, options.dtype)
    if options.estimate:
        found = estimate_transcoder(config, model, options.out)
        write(json.dumps(found.to_json()) if options.json else describe_estimate(found))
        return 0
    plan = TrainingPlan(
        config,
        options.source or ["builtin"],
        options.out,
        restart=options.restart,
        overwrite=options.overwrite,
        command=command_of(options, config),
        model=model,
    )
    return follow(plan, options)


def read_transcoder_config(options: argparse.Namespace) -> cs.TranscoderTrainConfig:
    """Return the default settings, changed by the options.

    Raises:
        ConfigError: If a name or value is not accepted, or settings do not fit together.
    """
    topk = options.topk is not None
    plain = cs.TranscoderTrainConfig.for_topk(options.topk) if topk else cs.TranscoderTrainConfig()
    data: dict[str, Any] = changed_settings(plain.to_json(), options.config, options.set)
    for name, value in (
        ("layers", options.layers),
        ("d_transcoder", options.features),
        ("cross_layer", None if options.kind is None else options.kind == "cross-layer"),
        ("skip_connection", options.skip or None),
    ):
        data |= {} if value is None else {name: value}
    for name, value in (("n_tokens", options.tokens), ("causal_weight", options.causal)):
        if value is not None:
            data["transcoder_training"][name] = value
    return cs.TranscoderTrainConfig.from_json(data)


def command_of(options: argparse.Namespace, config: cs.TranscoderTrainConfig) -> str:
    """Return the command that trains the same again: all that is no default, one by one."""
    default = cs.TranscoderTrainConfig()
    if config.k is not None:
        default = replace(cs.TranscoderTrainConfig.for_topk(config.k), activation=config.activation)
    parts = ["--model", str(options.model)]
    for source in options.source or ["builtin"]:
        parts += ["--source", source]
    parts += ["--out", str(options.out)]
    parts += ["--topk", str(config.k)] if config.k is not None else []
    for name in ("device", "dtype"):
        parts += [f"--{name}", getattr(options, name)] if getattr(options, name) else []
    for name, value in _changes(config.to_json(), default.to_json()):
        parts += ["--set", f"{name}={json.dumps(value) if not isinstance(value, str) else value}"]
    return "python -m circuitscope_core train-transcoder " + shlex.join(parts)


def _changes(
    data: dict[str, Any], default: dict[str, Any], before: str = ""
) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, dict):
            found += _changes(value, default[name], f"{before}{name}.")
        elif value != default[name]:
            found.append((before + name, value))
    return found


def describe_estimate(found: TranscoderEstimate) -> str:
    """Return an estimate as lines for people."""
    return "\n".join(found.lines())
