"""The questions that the engine asks of a language model, whatever its family."""

from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from circuitscope_core.config import ReadPoint, WritePoint
from circuitscope_core.language_model.neurons import MlpNeurons
from circuitscope_core.language_model.record import (
    EditMlp,
    FinalNorm,
    MlpPass,
    MlpSite,
    NormMap,
    Record,
)
from circuitscope_core.language_model.shape import ModelShape

HeadSide: TypeAlias = Literal["query", "key"]
Frozen: TypeAlias = Literal["norms", "patterns", "nothing"]
"""Parts of a clean pass that a run takes over: attention patterns and norm denominators, patterns
alone, or nothing."""


@runtime_checkable
class LanguageModel(Protocol):
    """A language model, as far as the engine knows it.

    Nothing else of a model is touched: no module, no weight's name. Tensors that go in and come out
    lie on the model's device.
    """

    @property
    def shape(self) -> ModelShape:
        """Sizes of the model."""

    @property
    def n_parameters(self) -> int:
        """Number of weights; shared ones count once."""

    def describe(self) -> dict[str, Any]:
        """Return the model's sizes and settings as plain values."""

    def writing_at(self, write_point: WritePoint) -> "LanguageModel":
        """Return the same model with MLP outputs recorded and edited at a write point."""

    def neurons(self, layer: int) -> MlpNeurons:
        """Return a layer's neurons."""

    def __call__(self, token_ids: Tensor) -> Tensor:
        """Return the next token's logits ``[batch, n_pos, d_vocab]`` at every position."""

    def tokens(self, token_ids: Sequence[int]) -> Tensor:
        """Return one sequence of token ids as ``[1, n_pos]`` on the model's device."""

    def token_vectors(self, token_ids: Tensor) -> Tensor:
        """Return what each token adds to the first stream: ``[*batch, d_model]``.

        Where the model normalises that sum (``Record.embedding_norm``), before the norm.
        """

    def unembedding(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the directions ``[n, d_model]`` and biases ``[n]`` of some tokens' logits."""

    def mean_unembedding(self) -> tuple[Tensor, Tensor]:
        """Return the direction ``[d_model]`` and bias of the mean of all logits."""

    def logits_of(self, final: Tensor) -> Tensor:
        """Return logits of the final norm's output ``[*batch, d_model]``."""

    def record(
        self,
        token_ids: Tensor,
        *,
        edit_mlp: EditMlp | None = None,
        embed_change: Tensor | None = None,
        clean: Record | None = None,
        frozen: Frozen = "norms",
    ) -> Record:
        """Run the model on ``[batch, n_pos]`` and keep all that the engine needs.

        Args:
            token_ids: Equally long sequences.
            edit_mlp: Called at every MLP; its answer is written in place of the MLP's output.
            embed_change: Added to the first stream.
            clean: A pass over one sequence, or as many, to take frozen parts from; None freezes
                nothing.
            frozen: The parts that are taken from ``clean``.
        """

    def run_suffix(
        self,
        clean: Record,
        stream: Tensor,
        first_layer: int,
        start: int,
        *,
        edit_mlp: EditMlp | None = None,
        frozen: Frozen = "nothing",
    ) -> Tensor:
        """Return logits ``[batch, d_vocab]`` of the position asked, from a stream in the middle.

        Args:
            clean: The clean pass of one sequence: all positions left of ``start`` stay as in it.
            stream: The stream before ``first_layer`` from position ``start`` on,
                ``[batch, n_pos - start, d_model]``.
            first_layer: The first layer that runs; may be the number of layers.
            start: The first position that may differ from the clean pass.
            edit_mlp: As for ``record``; sees the positions from ``start`` on, or the one asked
                alone.
            frozen: As for ``record``.
        """

    def mlp_pass(self, token_ids: Tensor, edit_mlp: EditMlp | None = None) -> MlpPass:
        """Return every layer's MLP inputs and output, without patterns or logits: fast.

        Args:
            token_ids: Equally long sequences.
            edit_mlp: Called at every MLP; its answer is written in place of the MLP's output.
        """

    def logits_after(self, done: MlpPass) -> Tensor:
        """Return the logits that follow what ``mlp_pass`` returned."""

    def run_mlp(self, clean: Record, layer: int, read: Tensor, read_point: ReadPoint) -> Tensor:
        """Return an MLP's output from its read point, ``[n_pos, d_model]``.

        Denominators of the norm between the two, where there is one, are those of the pass, and so
        is what attention adds in between.
        """

    def read_norm(self, layer: int, read_point: ReadPoint) -> NormMap | None:
        """Return the norm between the stream and a read point, its denominator taken as 1."""

    def final_norm(self) -> FinalNorm | None:
        """Return the norm before the unembedding, its denominator and gates taken as 1."""

    def head_reads(
        self, clean: Record, layer: int, head: int, position: int, side: HeadSide
    ) -> tuple[Tensor, Tensor]:
        """Return directions ``[d_head, d_model]`` and biases ``[d_head]`` of a query or key.

        Each coordinate is a direction's product with the stream before the layer, plus a bias,
        denominators being those of the pass.
        """


@runtime_checkable
class RunsMlps(Protocol):
    """A language model whose MLPs can be asked one by one, each token for itself."""

    def run_mlp_at(self, layer: int, resid_mid: Tensor) -> MlpSite:
        """Return a layer's MLP at tokens whose stream before it is ``[n, d_model]``."""


@runtime_checkable
class RunsLayers(Protocol):
    """A language model that can stop in the middle of a pass."""

    def mlp_sites(self, token_ids: Tensor, layers: Collection[int]) -> tuple[MlpSite, ...]:
        """Return MLP inputs and outputs of some layers, rising; the layers above do not run."""
