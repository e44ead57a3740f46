"""MLPs of a Hugging Face model that are asked alone: those of some layers, or on a given stream."""

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import WritePoint
from circuitscope_core.errors import ModelError
from circuitscope_core.language_model import MlpSite, NormMap, apply_norm
from circuitscope_core.pretrained.families import Family
from circuitscope_core.pretrained.taps import TappedPass


@runtime_checkable
class _HasMlps(Protocol):
    """The parts of a ``PretrainedModel`` that are needed here."""

    family: Family
    write_point: WritePoint

    def _run(self, token_ids: Tensor, *, layers: frozenset[int] | None = None) -> TappedPass: ...

    def _run_mlp(self, number: int, read: Tensor) -> Tensor: ...

    def _read_norm_on(self, number: int, source: Tensor) -> NormMap | None: ...


class AskedMlps:
    """The part of a ``PretrainedModel`` that answers for its MLPs alone."""

    def mlp_sites(
        self: _HasMlps, token_ids: Int[Tensor, "batch n_pos"], layers: Collection[int]
    ) -> tuple[MlpSite, ...]:
        """Return MLP inputs and outputs of some layers, rising; the layers above do not run."""
        return self._run(token_ids, layers=frozenset(layers)).sites

    def run_mlp_at(self: _HasMlps, layer: int, resid_mid: Float[Tensor, "n d_model"]) -> MlpSite:
        """Return a layer's MLP at tokens whose stream before it is given.

        Raises:
            ModelError: If what an MLP writes is not simply added to the stream that the next one
                reads.
        """
        family = self.family
        if family.mid_norm is not None or family.end_norm is not None:
            raise ModelError(
                "This model normalises the stream itself, so that what is taken out of one layer "
                "cannot be followed to the MLPs of the next; set causal_weight to 0."
            )
        if family.write_norm is not None and self.write_point == "raw":
            raise ModelError(
                "A norm lies between this model's MLPs and the stream, so that features that write "
                "before it (write_point raw) cannot be followed to the next MLPs; use write_point "
                "added, or set causal_weight to 0."
            )
        norm = self._read_norm_on(layer, resid_mid)
        mlp_in = apply_norm(norm, resid_mid)
        mlp_out = self._run_mlp(layer, mlp_in)
        return MlpSite(layer, resid_mid, mlp_in, mlp_out, resid_pre=resid_mid, norm=norm)
