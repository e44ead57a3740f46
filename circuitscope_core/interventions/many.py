"""Many interventions on one prompt in one call: what each does to the next token.

Only what can move is computed. Positions to the left of a change stay as they were, so do layers
below it; of the last layer only the last position counts. What is left runs as a batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.attribution.attribute import HasReplacement
from circuitscope_core.interventions.changes import (
    Change,
    Deltas,
    TokenIntervention,
    check_changes,
    deltas_of,
)
from circuitscope_core.interventions.clean import CleanPass, run_clean
from circuitscope_core.interventions.encoded import run_iterative_suffix
from circuitscope_core.interventions.intervene import Mode, last_clamped_layer
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.transformer import look_at_mlp

BATCH_BYTES = 16 << 20
"""Changes of one batch, about; larger ones leave the processor's cache."""


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


def intervene_many(
    bundle: HasReplacement | ReplacementModel | CleanPass,
    prompt: str | Sequence[int],
    sets: Sequence[Sequence[Change]],
    *,
    mode: Mode = "constrained",
    constrained_layer: int | None = None,
) -> ManyResults:
    """Do what ``intervene`` does for each set of changes, and return the next token's logits.

    Args:
        bundle: A bundle or a replacement model, or a clean pass of the prompt.
        prompt: As for ``attribute``; not read where a clean pass is given.
        sets: Changes that belong together, for each run of the model.
        mode: See ``intervene``.
        constrained_layer: See ``intervene``.

    Raises:
        GraphError: If a place does not exist or is named twice in a set.
        PromptError: If the prompt is empty, too long, or has unknown ids.
    """
    clean = bundle if isinstance(bundle, CleanPass) else run_clean(bundle, prompt)
    before = clean.record.logits[0, -1]
    after = before.expand(len(sets), -1).clone()
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
                after[numbers] = run_iterative_suffix(clean, deltas, sets, *places)
            else:
                after[numbers] = _run_suffix(clean, deltas, batch, freeze_norms=mode == "direct")
    return ManyResults(before, after)


def _job(
    clean: CleanPass,
    number: int,
    changes: tuple[Change, ...],
    mode: Mode,
    constrained_layer: int | None,
) -> _Job:
    layers = [-1 if isinstance(item, TokenIntervention) else item.layer for item in changes]
    positions = [item.position or 0 for item in changes]
    first = min(positions, default=0) if clean.replacement.model.config.causal else 0
    last = last_clamped_layer(clean, changes, mode, constrained_layer)
    return _Job(number, changes, min(layers, default=0), first, last)


def _batches(clean: CleanPass, jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Yield jobs that begin in one layer and are clamped alike, neighbours in position together."""
    config = clean.replacement.model.config
    size = 4 * clean.n_pos * config.d_model * (config.n_layers + 1)
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
    clean: CleanPass, deltas: Deltas, batch: Sequence[_Job], *, freeze_norms: bool
) -> Float[Tensor, "batch d_vocab"]:
    """Run from the first layer and position that change, and return the next token's logits."""
    model = clean.replacement.model
    first_layer, start = batch[0].first_layer, batch[0].first_position
    stream = _Stream(clean, freeze_norms, batch[0].last_clamped)
    if first_layer < 0:
        resid = model.embed_tokens(torch.tensor([clean.token_ids]))[:, start:]
        resid = resid + deltas.embedded[:, start:]
    else:
        site = clean.record.sites[first_layer]
        resid = (site.resid_mid + site.mlp_out)[:, start:] + deltas.outputs[:, first_layer, start:]
    for layer in range(first_layer + 1, model.config.n_layers):
        rows = torch.arange(start, clean.n_pos)
        if layer == model.config.n_layers - 1:
            rows = rows[-1:]
        resid = stream.through_layer(layer, resid, start, rows, deltas.outputs[:, layer, rows])
    return stream.logits(resid[:, -1])


@dataclass(frozen=True)
class _Stream:
    """The model's layers with the clean pass's patterns, on the last few positions."""

    clean: CleanPass
    freeze_norms: bool
    last_clamped: int

    def through_layer(
        self,
        layer: int,
        resid: Float[Tensor, "batch n_seen d_model"],
        start: int,
        rows: Int[Tensor, " n_rows"],
        delta: Float[Tensor, "batch n_rows d_model"],
    ) -> Float[Tensor, "batch n_rows d_model"]:
        """Return the stream after a layer at some positions, from that at all from ``start`` on."""
        record, block = self.clean.record, self.clean.replacement.model.block(layer)
        scale = record.ln1_scales[layer][:, start:] if self.freeze_norms else block.ln1.scale(resid)
        attn_in = block.ln1.apply_gain(block.ln1.normalize(resid, scale))
        seen = block.attn.project(attn_in, block.attn.W_V, block.attn.b_V)
        values = torch.cat([self._left_values(layer, start).expand(len(seen), -1, -1, -1), seen], 2)
        mixed = record.patterns[layer][:, :, rows] @ values
        mid = resid[:, rows - start] + block.attn.write(mixed)
        scale2 = record.ln2_scales[layer][:, rows] if self.freeze_norms else block.ln2.scale(mid)
        if layer > self.last_clamped:
            return mid + look_at_mlp(block, layer, mid, scale2).mlp_out
        before = record.sites[layer]
        out = before.mlp_out[:, rows] + delta
        transcoder = self.clean.replacement.transcoder
        if transcoder.config.skip_connection:
            site = look_at_mlp(block, layer, mid, scale2)
            read_point = transcoder.config.read_point
            moved = site.read(read_point) - before.read(read_point)[:, rows]
            out = out + transcoder.skip(layer, moved)
        return mid + out

    def _left_values(self, layer: int, start: int) -> Float[Tensor, "1 n_heads start d_head"]:
        """Return the values of a layer's heads at the positions that did not change."""
        record, block = self.clean.record, self.clean.replacement.model.block(layer)
        resid = self.clean.stream_before(layer)
        scale = record.ln1_scales[layer][:, :start]
        attn_in = block.ln1.apply_gain(block.ln1.normalize(resid[:, :start], scale))
        values: Tensor = block.attn.project(attn_in, block.attn.W_V, block.attn.b_V)
        return values

    def logits(self, resid: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch d_vocab"]:
        """Return the next token's logits of the stream at the last position."""
        norm = self.clean.replacement.model.ln_final
        frozen = self.clean.record.ln_final_scale[:, -1]
        scale = frozen if self.freeze_norms else norm.scale(resid)
        final = norm.apply_gain(norm.normalize(resid, scale))
        return self.clean.replacement.model.unembed_residual(final)
