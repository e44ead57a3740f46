"""``bench faithfulness``: what a bundle's graphs are worth, in lines or as JSON."""

import argparse
import json
import sys
from collections.abc import Mapping

import circuitscope_core as cs
from circuitscope_core.cli.output import write
from circuitscope_core.evals.faithfulness import (
    METHODS,
    N_TOKENS,
    FaithfulnessReport,
    Figure,
    describe_measure,
    held_out_prompts,
    measure_faithfulness,
)


def bench_faithfulness(bundle: cs.Bundle, options: argparse.Namespace) -> int:
    """Measure on held-out prompts; progress goes to the error stream."""
    settings = bundle.metadata.training.get("corpus")
    config = cs.CorpusConfig() if settings is None else cs.CorpusConfig.from_json(settings)
    n_tokens = min(N_TOKENS, bundle.model.shape.n_ctx - 1)
    prompts = held_out_prompts(options.source, options.prompts, bundle.tokenizer, config, n_tokens)
    for step in measure_faithfulness(bundle, prompts.token_ids):
        if isinstance(step, FaithfulnessReport):
            if options.json:
                write(json.dumps({"text": prompts.text, **step.to_json()}))
            else:
                write(prompts.text)
                for line in lines_of(step):
                    write(line)
        else:
            write(f"{step.step}: {step.done} of {step.total} prompts", sys.stderr)
    return 0


def lines_of(report: FaithfulnessReport) -> list[str]:
    """Return the report as text, what is hardest first."""
    lines = [
        f"{describe_measure(name).title}: {beside(name, figures)}"
        for name, figures in report.figures.items()
    ]
    direct = report.direct
    if direct is not None:
        lines.append(
            f"Direct effects, {direct.n_columns:,} columns of {direct.n_graphs} graphs: largest "
            f"relative error {direct.largest:.1e} against the model in double precision (bar "
            f"{direct.bar:.0e}); in single precision {direct.largest_single:.1e}, with "
            f"{direct.share_above_bar_single:.1%} above the bar."
        )
    return lines


def beside(name: str, figures: Mapping[str, Figure]) -> str:
    """Return a measure's figures by method, its bar and what was published."""
    parts = [f"{METHODS[method]} {in_words(figure)}" for method, figure in figures.items()]
    measure = describe_measure(name)
    if measure.bar is not None:
        parts.append(f"bar {measure.bar:g}")
    if measure.published is not None:
        parts.append(f"published {measure.published:g}")
    return ", ".join(parts)


def in_words(figure: Figure) -> str:
    """Return a figure with its interval."""
    return f"{figure.mean:.3f} ({figure.low:.3f} to {figure.high:.3f})"
