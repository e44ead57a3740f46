"""``measure_faithfulness``: all measures over many prompts."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from circuitscope_core.arguments import checked
from circuitscope_core.errors import ModelError, PromptError
from circuitscope_core.evals.faithfulness.direct import direct_errors
from circuitscope_core.evals.faithfulness.figures import Figure, summarize
from circuitscope_core.evals.faithfulness.flips import measure_flips
from circuitscope_core.evals.faithfulness.jacobians import measure_jacobians
from circuitscope_core.evals.faithfulness.measured_nodes import measure_nodes
from circuitscope_core.evals.faithfulness.pairs import measure_pairs
from circuitscope_core.evals.faithfulness.report import (
    DirectEffects,
    FaithfulnessProgress,
    FaithfulnessReport,
    order_of,
)
from circuitscope_core.evals.faithfulness.states import measure_states
from circuitscope_core.evals.faithfulness.traced import TracedPrompt, shuffle_decoders, trace
from circuitscope_core.language_model import LanguageModel
from circuitscope_core.pretrained import PretrainedModel, load_model
from circuitscope_core.prompt_pass import run_prompt
from circuitscope_core.replacement import (
    Explainable,
    replacement_of,
    thresholded_transcoder_of,
)

Kind = TypeVar("Kind")

N_SOURCES = 16
N_DIRECT = 3


@checked
def measure_faithfulness(
    bundle: Explainable,
    prompts: Sequence[str | Sequence[int]],
    *,
    n_sources: int = N_SOURCES,
    n_direct: int = N_DIRECT,
    seed: int = 0,
) -> Iterator[FaithfulnessProgress | FaithfulnessReport]:
    """Hold graphs against what the model does: yields how far it is, at last the report.

    Stop asking to cancel. ``docs/faithfulness.md`` defines every figure.

    Args:
        bundle: A bundle or a replacement model.
        prompts: As for ``attribute``; text that the model was not trained on.
        n_sources: Kept features of each prompt that pairs and changed states are measured on.
        n_direct: Graphs, from the first prompt on, whose edges are all measured: the slowest part.
        seed: Decides the sampled features, the shuffle and the intervals.

    Raises:
        ConfigError: If the features have no thresholds of their own.
        PromptError: If there is no prompt, or one is empty, too long, or has unknown ids.
    """
    if not prompts:
        raise PromptError("There is no prompt to measure on; give at least one.")
    replacement = replacement_of(bundle)
    thresholded_transcoder_of(replacement)
    control = shuffle_decoders(replacement, seed)
    values: dict[tuple[str, str], list[float]] = {}
    for number, prompt in enumerate(prompts):
        yield FaithfulnessProgress("Ablate features", number, len(prompts))
        for key, value in measure_prompt(
            trace(replacement, control, prompt), n_sources, seed + number
        ).items():
            values.setdefault(key, []).append(value)
    errors = []
    for number, prompt in enumerate(prompts[:n_direct]):
        yield FaithfulnessProgress("Measure every edge", number, len(prompts[:n_direct]))
        errors.append(both_precisions(trace(replacement, control, prompt)))
    yield FaithfulnessReport(len(prompts), seed, tables(values, seed), put_together(errors))


def measure_prompt(traced: TracedPrompt, n_sources: int, seed: int) -> dict[tuple[str, str], float]:
    """Return one prompt's value of every measure and method."""
    generator = torch.Generator().manual_seed(seed)
    return {
        **measure_nodes(traced),
        **measure_pairs(traced, n_sources, generator),
        **measure_states(traced, n_sources, generator),
        **measure_jacobians(traced, generator),
        **measure_flips(traced, generator),
    }


def tables(values: dict[tuple[str, str], list[float]], seed: int) -> dict[str, dict[str, Figure]]:
    """Return the figures by measure and method."""
    found: dict[str, dict[str, Figure]] = {}
    for name, method in sorted(values, key=order_of):
        figure = summarize(values[name, method], seed)
        if figure is not None:
            found.setdefault(name, {})[method] = figure
    return found


def both_precisions(traced: TracedPrompt) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a graph's column errors against the model in double and in single precision."""
    plain = traced.clean.replacement
    double = replace(
        plain,
        model=model_in_double(plain.model),
        transcoder=doubled(plain.transcoder),
    )
    clean = run_prompt(double, traced.clean.token_ids)
    return direct_errors(replace(traced, clean=clean)), direct_errors(traced)


def model_in_double(model: LanguageModel) -> LanguageModel:
    """Return a copy of a model in double precision; a Hugging Face model is opened once more.

    Raises:
        ModelError: If a Hugging Face model is in memory only, or does not fit into it twice.
    """
    if not isinstance(model, PretrainedModel):
        return doubled(model)
    if model.folder is None:
        raise ModelError(
            "Edges are measured in double precision, and this model is in memory only. Open it "
            "from a folder with load_model, or measure without edges (n_direct=0)."
        )
    return load_model(model.folder, device=model.home.device, dtype="float64")


def doubled(module: Kind) -> Kind:
    """Return a copy of a model or transcoder in double precision."""
    assert isinstance(module, nn.Module), "models and transcoders that are trained are modules"
    return copy.deepcopy(module).double()


def put_together(errors: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> DirectEffects | None:
    """Return the largest errors over graphs."""
    if not errors:
        return None
    double = torch.cat([one for one, _ in errors])
    single = torch.cat([other for _, other in errors])
    above = (single > DirectEffects.bar).double().mean()
    return DirectEffects(
        len(errors), len(double), float(double.max()), float(single.max()), float(above)
    )
