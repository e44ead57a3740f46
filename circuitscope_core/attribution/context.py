"""One prompt's clean pass: active features, errors, and the frozen model that links them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.config import ReadPoint
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.tokenizer import encode_prompt
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transformer import FrozenTransformer, HeadSide, Spread


@runtime_checkable
class FrozenModel(Protocol):
    """What attribution asks of a language model whose patterns and norms are frozen."""

    @property
    def n_layers(self) -> int:
        """Number of layers."""

    @property
    def n_heads(self) -> int:
        """Number of heads in each layer."""

    @property
    def n_pos(self) -> int:
        """Number of tokens."""

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The prompt's tokens."""

    @property
    def causal(self) -> bool:
        """Whether positions only look to the left."""

    def token_vectors(self) -> Tensor:
        """Return each token's embedding ``[n_pos, d_model]``."""

    def position_vectors(self) -> Tensor:
        """Return what position embeddings add ``[n_pos, d_model]``."""

    def attention_constant(self, layer: int) -> Tensor:
        """Return what attention writes whatever it reads ``[n_pos, d_model]``."""

    def back_from_query(self, layer: int, vectors: Tensor, positions: Tensor) -> Spread:
        """Carry ``[n, d_model]``, each at one position of ``resid_mid``, to ``resid_pre``."""

    def back_to_values(self, layer: int, gradient: Tensor | Spread) -> Tensor:
        """Carry ``[n_seen, d_model, n]`` from ``resid_mid`` to heads' values, ``d_heads`` wide."""

    def back_from_values(self, layer: int, gradient: Tensor, values: Tensor) -> None:
        """Add in place what comes from heads' values: the gradient is then at ``resid_pre``."""

    def to_values(self, layer: int, vectors: Tensor) -> Tensor:
        """Return what heads read of ``[..., d_model]`` at ``resid_pre``: ``[..., d_heads]``."""

    def back_through_heads(self, layer: int, gradient: Tensor) -> Tensor:
        """Carry the same through each head alone ``[n_heads, n_seen, d_model, n]``."""

    def head_reads(
        self, layer: int, head: int, position: int, side: HeadSide
    ) -> tuple[Tensor, Tensor]:
        """Return directions ``[d_head, d_model]`` and biases of a head's query or key."""

    def attention(self, layer: int, head: int, query: int, key: int) -> float:
        """Return how much of a query's attention a key gets."""

    def through_attention(self, layer: int, change: Tensor) -> Tensor:
        """Carry changes ``[..., n_pos, d_model]`` of ``resid_pre`` to ``resid_mid``."""

    def spread_by_attention(self, layer: int, vectors: Tensor) -> Tensor:
        """Return what each of ``[n_pos, d_model]`` becomes: ``[n_pos, n_pos, d_model]``."""

    def through_read_point(self, layer: int, change: Tensor, read_point: ReadPoint) -> Tensor:
        """Carry changes ``[..., n_pos, d_model]`` of ``resid_mid`` to a read point."""

    def back_from_read_point(
        self, layer: int, vectors: Tensor, positions: Tensor, read_point: ReadPoint
    ) -> Tensor:
        """Carry ``[..., d_model]`` from a read point to ``resid_mid``."""

    def read_constant(self, layer: int, vectors: Tensor, read_point: ReadPoint) -> Tensor:
        """Return each vector's product with the read point's constant part ``[...]``."""

    def back_from_final_norm(self, vectors: Tensor) -> Tensor:
        """Carry ``[n, d_model]`` at the last position back through the final norm."""

    def final_constant(self, vectors: Tensor) -> Tensor:
        """Return each vector's product with the final norm's bias ``[n]``."""


@dataclass(frozen=True)
class AttributionContext:
    """Everything about a prompt that does not depend on the target."""

    prompt: str
    token_texts: tuple[str, ...]
    frozen: FrozenModel
    transcoder: CrossLayerTranscoder
    features: Int[Tensor, "n_features 3"]
    """Layer, position and number of the active features, in lexicographic order."""
    activations: Float[Tensor, " n_features"]
    pre_activations: Float[Tensor, " n_features"]
    inputs: Float[Tensor, "n_layers n_pos d_model"]
    """What each layer's encoder reads."""
    error_vectors: Float[Tensor, "n_layers n_pos d_model"]
    constant_outputs: Float[Tensor, "n_layers n_pos d_model"]
    """Part of the MLP outputs that neither is a node nor skips: ``b_dec``, all at position 0."""
    final_normalized: Float[Tensor, " d_model"]
    """The final norm's output at the last position."""
    logits: Float[Tensor, " d_vocab"]
    """At the last position."""


def make_context(replacement: ReplacementModel, prompt: str | Sequence[int]) -> AttributionContext:
    """Run the model once and take its MLP outputs apart.

    Position 0 holds the separator: its features and errors are no nodes, its MLP outputs stay as
    constants.

    Raises:
        PromptError: If the prompt is empty, too long, or has unknown ids.
    """
    model, transcoder = replacement.model, replacement.transcoder
    tokenizer = replacement.tokenizer
    given = prompt if isinstance(prompt, str) else list(prompt)
    token_ids = encode_prompt(tokenizer, given, model.config.n_ctx)
    with torch.no_grad():
        record = model.record(torch.tensor([token_ids]))
        read_point = transcoder.config.read_point
        inputs = torch.stack([site.read(read_point)[0] for site in record.sites])
        pre_acts = torch.stack(
            [transcoder.pre_activations(layer, x) for layer, x in enumerate(inputs)]
        )
        outputs = torch.stack([site.mlp_out[0] for site in record.sites])
        acts = pre_acts * (pre_acts > transcoder.threshold[:, None])
        acts[:, 0] = 0
        features = acts.nonzero()
        layers, positions, numbers = features.T
        activations = acts[layers, positions, numbers]
        errors = outputs - transcoder.decode_active(features, activations, inputs)
        constants = transcoder.b_dec[:, None].expand_as(outputs).clone()
        constants[:, 0] += errors[:, 0]
        errors[:, 0] = 0
        final = model.ln_final(record.resid_post[0, -1])
    return AttributionContext(
        prompt=prompt if isinstance(prompt, str) else tokenizer.decode(token_ids),
        token_texts=tuple(tokenizer.token_text(token_id) for token_id in token_ids),
        frozen=FrozenTransformer(model, record, tuple(token_ids)),
        transcoder=transcoder,
        features=features,
        activations=activations,
        pre_activations=pre_acts[layers, positions, numbers].detach(),
        inputs=inputs.detach(),
        error_vectors=errors.detach(),
        constant_outputs=constants.detach(),
        final_normalized=final.detach(),
        logits=record.logits[0, -1].detach(),
    )
