"""Many interventions on one prompt in one call: what each does to the next token.

Only what can move is computed. Positions to the left of a change stay as they were, so do layers
below it; of the last layer only the last position counts. The rest runs as a batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.answers import PromptLike
from circuitscope_core.arguments import checked
from circuitscope_core.interventions.changes import (
    Change,
    Deltas,
    TokenIntervention,
    check_changes,
    deltas_of,
)
from circuitscope_core.interventions.encoded import changed_stream, run_iterative_suffix
from circuitscope_core.interventions.intervene import Mode, last_clamped_layer
from circuitscope_core.interventions.runs import ClampedMlp, run_clamped, run_iterative
from circuitscope_core.language_model import Frozen
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.replacement import Explainable
from circuitscope_core.values import one_line

BATCH_BYTES = 16 << 20
"""Changes of one batch, about; larger ones leave the processor's cache."""
RUNS_AT_ONCE = 4
"""Runs whose logits at all positions are held together."""


@one_line
@dataclass(frozen=True)
class ManyResults:
    """The next token's logits without an intervention and with each."""

    logits_before: Float[Tensor, " d_vocab"]
    logits_after: Float[Tensor, "n_sets d_vocab"]


@dataclass(frozen=True)
class _Job:
    """One set of changes and where its effect begins."""

    number: int
    changes: tuple[Change, ...]
    first_layer: int
    """Below it nothing moves; -1 where a token changes."""
    first_position: int
    last_clamped: int


@checked
def intervene_many(
    bundle: Explainable | PromptPass,
    prompt: PromptLike,
    sets: Sequence[Sequence[Change]],
    *,
    mode: Mode = "constrained",
    constrained_layer: int | None = None,
    freeze_patterns: bool = False,
) -> ManyResults:
    """Do what ``intervene`` does for each set of changes, and return the next token's logits.

    Args:
        bundle: A bundle or a replacement model, or a clean pass of the prompt.
        prompt: As for ``attribute``; not read where a clean pass is given.
        sets: Changes that belong together, for each run of the model.
        mode: See ``intervene``.
        constrained_layer: See ``intervene``.
        freeze_patterns: With ``iterative``: attention patterns are those of the clean pass. That is
            the local replacement model, but for norms, which follow the stream. The other modes
            freeze them anyway.

    Raises:
        GraphError: If a place does not exist or is named twice in a set.
        PromptError: If the prompt is empty, too long, or has unknown ids.
    """
    clean = run_prompt(bundle, prompt)
    after = logits_with(
        clean,
        sets,
        mode=mode,
        constrained_layer=constrained_layer,
        freeze_patterns=freeze_patterns,
    )
    return ManyResults(clean.logits.cpu(), after.cpu())


def logits_with(
    clean: PromptPass,
    sets: Sequence[Sequence[Change]],
    *,
    mode: Mode,
    constrained_layer: int | None = None,
    freeze_patterns: bool = False,
) -> Float[Tensor, "n_sets d_vocab"]:
    """Return the next token's logits with each set of changes, where the model is.

    Arguments and errors are those of ``intervene_many``.
    """
    after = clean.logits.expand(len(sets), -1).clone()
    jobs = [
        _job(clean, number, check_changes(changes, clean), mode, constrained_layer)
        for number, changes in enumerate(sets)
    ]
    with torch.no_grad():
        for batch in _batches(clean, [job for job in jobs if job.changes]):
            deltas = deltas_of(clean, [job.changes for job in batch])
            numbers = [job.number for job in batch]
            if mode == "iterative":
                sets = [job.changes for job in batch]
                places = (batch[0].first_layer, batch[0].first_position)
                frozen: Frozen = "patterns" if freeze_patterns else "nothing"
                after[numbers] = run_iterative_suffix(clean, deltas, sets, *places, frozen=frozen)
            else:
                after[numbers] = _run_suffix(clean, deltas, batch, freeze_norms=mode == "direct")
    return after


def logits_at(
    clean: PromptPass, sets: Sequence[Sequence[Change]], positions: Sequence[int], mode: Mode
) -> Float[Tensor, "n_sets n_positions d_vocab"]:
    """Return the logits at some positions with each set of changes, in the host's memory.

    Where only the position that is asked is wanted, no more than it needs is run.
    """
    if tuple(positions) == (clean.asked,):
        return intervene_many(clean, (), sets, mode=mode).logits_after[:, None]
    found = clean.logits.new_empty(len(sets), len(positions), len(clean.logits))
    checked_sets = [check_changes(changes, clean) for changes in sets]
    last = [last_clamped_layer(clean, changes, mode, None) for changes in checked_sets]
    order = sorted(range(len(last)), key=last.__getitem__)
    batches = [order[start : start + RUNS_AT_ONCE] for start in range(0, len(order), RUNS_AT_ONCE)]
    with torch.no_grad():
        for batch in batches:
            for layer in sorted({last[number] for number in batch}):
                numbers = [number for number in batch if last[number] == layer]
                some = [checked_sets[number] for number in numbers]
                deltas = deltas_of(clean, some)
                if mode == "iterative":
                    record = run_iterative(clean, some, deltas)
                else:
                    record = run_clamped(clean, deltas, layer, freeze_norms=mode == "direct")
                found[numbers] = record.logits[:, list(positions)]
    return found.cpu()


def _job(
    clean: PromptPass,
    number: int,
    changes: tuple[Change, ...],
    mode: Mode,
    constrained_layer: int | None,
) -> _Job:
    layers = [-1 if isinstance(item, TokenIntervention) else item.layer for item in changes]
    positions = [item.position or 0 for item in changes]
    first = min(positions, default=0) if clean.replacement.model.shape.causal else 0
    last = last_clamped_layer(clean, changes, mode, constrained_layer)
    return _Job(number, changes, min(layers, default=0), first, last)


def _batches(clean: PromptPass, jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Yield jobs that begin in one layer and are clamped alike, neighbours in position together."""
    shape = clean.replacement.model.shape
    size = 4 * clean.n_pos * shape.d_model * (shape.n_layers + 1)
    n_at_once = max(1, BATCH_BYTES // size)
    ordered = sorted(jobs, key=lambda job: (job.first_layer, job.last_clamped, job.first_position))
    batch: list[_Job] = []
    for job in ordered:
        alike = batch and (batch[0].first_layer, batch[0].last_clamped) == (
            job.first_layer,
            job.last_clamped,
        )
        if batch and (not alike or len(batch) == n_at_once):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def _run_suffix(
    clean: PromptPass, deltas: Deltas, batch: Sequence[_Job], *, freeze_norms: bool
) -> Float[Tensor, "batch d_vocab"]:
    """Run from the first layer and position that change, and return the next token's logits."""
    start = batch[0].first_position
    stream, layer = changed_stream(clean, deltas, batch[0].first_layer, start)
    return clean.replacement.model.run_suffix(
        clean.record,
        stream,
        layer,
        start,
        edit_mlp=ClampedMlp(clean, deltas.outputs, batch[0].last_clamped, direct=freeze_norms),
        frozen="norms" if freeze_norms else "patterns",
    )
