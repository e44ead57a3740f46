"""``trace`` with several prompts: a graph of each, and a table of all."""

import argparse
import json
from pathlib import Path

import circuitscope_core as cs
from circuitscope_core.cli.output import device_of, write
from circuitscope_core.errors import ConfigError, PromptError
from circuitscope_core.files import read_text, reason_of


def trace_many(options: argparse.Namespace, answer: str | int | None) -> int:
    """Trace each prompt of a file; the exit status is 1 if any of them failed."""
    if options.out is None:
        raise ConfigError("Several prompts need a folder for the graphs; add --out FOLDER.")
    if options.chat:
        raise ConfigError("Several prompts are traced as plain texts; leave --chat out.")
    if options.model is not None:
        raise ConfigError(
            "Several prompts are traced with a bundle: add the model with models add, and give "
            "--bundle models/NAME in place of --model."
        )
    refuse_single(options)
    config = cs.AttributionConfig(max_feature_nodes=options.max_feature_nodes)
    prune = cs.PruneConfig(options.node_threshold, options.edge_threshold)
    n_failed = 0
    for done in cs.attribute_many(
        options.bundle,
        read_prompts(options.prompts) if options.prompts else options.prompt,
        options.out,
        backend=options.backend,
        device=device_of(options),
        graphs=not options.table_only,
        resume=options.resume,
        config=config,
        prune=prune,
        answer=answer,
    ):
        n_failed += bool(done.error)
        write(json.dumps(vars(done)) if options.json else describe_traced(done))
    return 1 if n_failed else 0


def refuse_single(options: argparse.Namespace) -> None:
    """Refuse files that are of one prompt's graph.

    Raises:
        ConfigError: If one was asked for.
    """
    for name in ("graph", "html", "svg", "save", "viewer"):
        if getattr(options, name) is not None:
            raise ConfigError(
                f"--{name} writes one prompt's graph, and several prompts were given. Give one "
                "prompt, or leave it out: --out has a file of each graph."
            )


def read_prompts(path: Path) -> list[str]:
    """Return a file's prompts, one from each line that is not empty.

    Raises:
        PromptError: If the file cannot be read, or there is no prompt in it.
    """
    try:
        lines = [line for line in read_text(path).split("\n") if line.strip()]
        prompts = [json.loads(line) for line in lines] if path.suffix == ".jsonl" else lines
    except (OSError, ValueError, RecursionError) as error:
        raise PromptError(f"The prompts in {path} cannot be read: {reason_of(error)}.") from error
    wrong = next((prompt for prompt in prompts if not isinstance(prompt, str)), None)
    if wrong is not None or not prompts:
        problem = f"holds {wrong!r}, which is no JSON string" if prompts else "is empty"
        raise PromptError(f"{path} {problem}; write one prompt a line.")
    return prompts


def describe_traced(done: cs.PromptTraced) -> str:
    """Return a line about one prompt of many."""
    place = f"{done.number + 1}/{done.n_prompts} {done.prompt!r}"
    if done.error:
        return f"{place}: {done.error}"
    return (
        f"{place} → “{done.prediction}” {done.probability:.1%}; {done.n_nodes:,} nodes, "
        f"replacement {done.scores['replacement']:.3f}{done.graph and f', {done.graph}'}"
    )
