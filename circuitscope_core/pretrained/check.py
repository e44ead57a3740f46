"""The check that a model goes through before it is used: its records are its own pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from circuitscope_core.errors import ModelError
from circuitscope_core.language_model import LayerRecord, MlpPass, MlpSite, Record
from circuitscope_core.pretrained.passes import FrozenParts, given, run_layer
from circuitscope_core.pretrained.pretrained_model import PretrainedModel

N_TOKENS = 8
LARGEST_GAP = {torch.float32: 1e-3, torch.float64: 1e-4}
"""Largest relative difference that is put down to rounding. Families compute norms and patterns in
float32 even in a model in double precision."""
LARGEST_GAP_OF_HALF = 0.1
"""The same for models in 16 bits, whose layers are checked in pairs: reads differ by 1 to 2 %."""


@dataclass(frozen=True)
class SelfCheck:
    """How far a model's records are from its own pass, as shares of the largest value."""

    untouched: float
    """The model's logits while it is recorded, from those of the model left alone."""
    reads: tuple[float, ...]
    """Each layer's MLP input put together from the record, from the model's own. In 16 bits it is
    put together from the model's own stream one layer before."""
    logits: float
    """Logits put together from the record, from the model's own."""
    positions: float
    """The part of the first stream that should not depend on the tokens, from another text's."""

    @property
    def largest(self) -> float:
        """The largest of all gaps."""
        return max(self.untouched, *self.reads, self.logits, self.positions)

    @property
    def parts(self) -> dict[str, float]:
        """Each gap by what it is in.

        The parts come in the order of the pass, since one that is wrong makes all later ones wrong.
        """
        return {
            "the logits of the model while it is recorded": self.untouched,
            "the constant part of the first stream": self.positions,
            **{f"the input of the MLP in layer {n}": far for n, far in enumerate(self.reads)},
            "the logits put together from the record": self.logits,
        }


@torch.no_grad()
def measure(model: PretrainedModel, seed: int = 0) -> SelfCheck:
    """Compare a recorded pass over a few random tokens with the model's own."""
    generator = torch.Generator().manual_seed(seed)
    n_pos, d_vocab = min(N_TOKENS, model.shape.n_ctx), model.shape.d_vocab
    ids, other = (
        model.tokens(torch.randint(d_vocab, (n_pos,), generator=generator).tolist())
        for _ in range(2)
    )
    wanted = untouched_logits(model, ids)
    record, done = model.record(ids), model.mlp_pass(ids)
    exact = model.weight_dtype in LARGEST_GAP
    made = record.sites if exact else layers_in_pairs(model, record, done)
    reads = tuple(
        gap(mine.mlp_in, theirs.mlp_in) for mine, theirs in zip(made, done.sites, strict=True)
    )
    (vectors, before), (_, after) = map(model.first_parts, (ids, other))
    size = (vectors + before).abs().max()
    return SelfCheck(
        untouched=gap(model.shape.capped(model.logits_after(done)), wanted),
        reads=reads,
        logits=gap(model.shape.capped(record.logits), wanted),
        positions=float((before - after).abs().max() / size),
    )


def layers_in_pairs(model: PretrainedModel, record: Record, done: MlpPass) -> list[MlpSite]:
    """Return every layer's MLP input, put together from the model's own stream one layer before.

    A model in 16 bits rounds its stream after every layer, and a record does not: from the first
    layer on, their distance grows with the depth (SmolLM2-135M: 0.1 of the size in layer 10 of 30).
    Two layers, the lower of which is taken to its end, show whether both compute the same.
    """
    sites, before = [], None
    for own, layer in zip(done.sites, record.layers, strict=True):
        assert own.resid_pre is not None

        def run(
            stream: Tensor, own: MlpSite = own, layer: LayerRecord = layer
        ) -> tuple[LayerRecord, Tensor]:
            parts, nothing_frozen = model.layer_parts(own.layer), FrozenParts.of(None, "nothing")
            return run_layer(parts, stream, layer.pattern, nothing_frozen, given(own.mlp_out))

        sites.append(run(own.resid_pre if before is None else before)[0].site)
        before = run(own.resid_pre)[1]
    return sites


@torch.no_grad()
def check_neurons(model: PretrainedModel, seed: int = 0) -> None:
    """Refuse a model whose neurons do not make its MLP outputs.

    Raises:
        ModelError: If they do not; the message names the first such layer.
    """
    view, generator = model.writing_at("raw"), torch.Generator().manual_seed(seed)
    n_pos, d_vocab = min(N_TOKENS, model.shape.n_ctx), model.shape.d_vocab
    ids = model.tokens(torch.randint(d_vocab, (n_pos,), generator=generator).tolist())
    record, allowed = view.record(ids), allowed_gap(model)
    worst = gap(view.shape.capped(record.logits), untouched_logits(model, ids))
    places = {"the logits put together from the record": worst}
    for site in record.sites:
        neurons = view.neurons(site.layer).to(model.dtype)
        made = neurons.activations(site.mlp_in) @ neurons.W_out + neurons.constant(site.mlp_in)
        places[f"the MLP output that neurons make in layer {site.layer}"] = gap(made, site.mlp_out)
    refuse_gaps(model, places, allowed)


def allowed_gap(model: PretrainedModel) -> float:
    """Return the gap that is put down to the precision that a model computes in."""
    is_half = model.weight_dtype not in LARGEST_GAP
    return LARGEST_GAP_OF_HALF if is_half else LARGEST_GAP[model.weight_dtype]


def refuse_gaps(model: PretrainedModel, gaps: Mapping[str, float], allowed: float) -> None:
    """Refuse a model of which one part, by its name, is too far off.

    Raises:
        ModelError: Naming the first such part.
    """
    # NaN is no gap that is allowed
    fault = next((item for item in gaps.items() if not item[1] <= allowed), None)
    if fault is not None:
        name, far = fault
        raise ModelError(
            f"This {model.config.model_type} model cannot be explained exactly: there is a gap of "
            f"{far:.2g} of its size between {name} and the model's own, and {allowed:g} is "
            "allowed. Its layers are built in another way than the table of families says."
        )


def untouched_logits(model: PretrainedModel, ids: Tensor) -> Tensor:
    """Return the logits of the model with an attention of the family's own."""
    module: Any = model.module
    before = module.config._attn_implementation
    module.set_attn_implementation("eager")
    try:
        return model(ids)
    finally:
        module.set_attn_implementation(before)


def gap(given: Tensor, wanted: Tensor) -> float:
    """Return the largest difference as a share of the largest value."""
    size = wanted.abs().max().clamp(min=torch.finfo(wanted.dtype).tiny)
    return float((given - wanted).abs().max() / size)


def check_model(model: PretrainedModel) -> SelfCheck:
    """Return how far a model's records are from its own pass.

    Raises:
        ModelError: If they are not the same pass; the message names the worst part.
    """
    found = measure(model)
    refuse_gaps(model, found.parts, allowed_gap(model))
    return found
