"""A small pre-LN transformer with TransformerLens' parameter names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from circuitscope_core.config import ModelConfig, ReadPoint, WritePoint
from circuitscope_core.errors import PromptError
from circuitscope_core.language_model import (
    EditMlp,
    FinalNorm,
    Frozen,
    HeadSide,
    LayerRecord,
    MlpCall,
    MlpNeurons,
    MlpPass,
    MlpSite,
    ModelShape,
    NormMap,
    Record,
    apply_norm,
    norm_at,
    norm_before,
)
from circuitscope_core.transformer.components import Block, Embed, Norm, PosEmbed, Unembed
from circuitscope_core.transformer.lens import config_of, weights_of


class Transformer(nn.Module):
    """The language model. ``model(token_ids)`` gives logits ``[batch, n_pos, d_vocab]``.

    New models start with output projections of 0, so that every block begins as the identity.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = Embed(config)
        if config.positions == "learned":
            self.pos_embed = PosEmbed(config)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layers)])
        self.ln_final = Norm(config)
        self.unembed = Unembed(config)

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab"]:
        """The unembedding, also where it is tied to the embedding."""
        tied = self.config.tied_embeddings
        W_U: Tensor = self.embed.W_E.T if tied else self.unembed.W_U
        return W_U

    def block(self, layer: int) -> Block:
        """Return one layer's block."""
        block = self.blocks[layer]
        assert isinstance(block, Block)
        return block

    def forward(
        self, token_ids: Int[Tensor, "batch n_pos"]
    ) -> Float[Tensor, "batch n_pos d_vocab"]:
        """Return the next token's logits everywhere; ``PromptError`` if ``n_ctx`` is exceeded."""
        return self.logits_of(self.final_vectors(token_ids))

    def final_vectors(
        self, token_ids: Int[Tensor, "batch n_pos"]
    ) -> Float[Tensor, "batch n_pos d_model"]:
        """Return the final norm's output, of which ``logits_of`` makes the logits."""
        resid = self.embed_tokens(token_ids)
        for block in self.blocks:
            resid = block(resid)
        final: Tensor = self.ln_final(resid)
        return final

    @property
    def shape(self) -> ModelShape:
        """Sizes of the model."""
        config = self.config
        return ModelShape(
            n_layers=config.n_layers,
            d_model=config.d_model,
            n_heads=config.n_heads,
            d_vocab=config.d_vocab,
            n_ctx=config.n_ctx,
            causal=config.causal,
        )

    @property
    def n_parameters(self) -> int:
        """Number of weights; shared ones count once."""
        return self.config.count_parameters()

    def describe(self) -> dict[str, Any]:
        """Return the model's configuration as plain values."""
        return self.config.to_json()

    def writing_at(self, write_point: WritePoint) -> "Transformer":
        """Return the model itself: an MLP's output is what its layer adds."""
        del write_point
        return self

    def neurons(self, layer: int) -> MlpNeurons:
        """Return a layer's neurons."""
        return self.block(layer).mlp.neurons()

    def tokens(self, token_ids: Sequence[int]) -> Int[Tensor, "1 n_pos"]:
        """Return one sequence of token ids on the model's device."""
        return torch.tensor([list(token_ids)], device=self.embed.W_E.device)

    def token_vectors(self, token_ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_model"]:
        """Return each token's embedding."""
        return F.embedding(token_ids, self.embed.W_E)

    def unembedding(
        self, token_ids: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
        """Return the directions and biases of some tokens' logits."""
        return self.W_U[:, token_ids].T.detach(), self.unembed.b_U[token_ids]

    def mean_unembedding(self) -> tuple[Float[Tensor, " d_model"], Float[Tensor, ""]]:
        """Return the direction and bias of the mean of all logits."""
        return self.W_U.mean(dim=1).detach(), self.unembed.b_U.mean()

    def mlp_pass(
        self, token_ids: Int[Tensor, "batch n_pos"], edit_mlp: EditMlp | None = None
    ) -> MlpPass:
        """Return every layer's MLP inputs and output; see ``LanguageModel.mlp_pass``."""
        sites: list[MlpSite] = []
        resid = self.embed_tokens(token_ids)
        for layer in range(self.config.n_layers):
            block = self.block(layer)
            mid = resid + block.attn(block.ln1(resid))
            mlp_in, norm = block.ln2.run(mid)
            call = MlpCall(layer, mid, mlp_in, block.mlp, resid_pre=resid, norm=norm)
            site = run_site(call, edit_mlp)
            sites.append(site)
            resid = mid + site.mlp_out
        return MlpPass(tuple(sites), resid)

    def run_mlp_at(self, layer: int, resid_mid: Float[Tensor, "n d_model"]) -> MlpSite:
        """Return a layer's MLP at tokens whose stream before it is given."""
        mlp_in, norm = self.block(layer).ln2.run(resid_mid)
        mlp = self.block(layer).mlp
        return MlpSite(layer, resid_mid, mlp_in, mlp(mlp_in), resid_pre=resid_mid, norm=norm)

    def logits_after(self, done: MlpPass) -> Float[Tensor, "batch n_pos d_vocab"]:
        """Return the logits that follow what ``mlp_pass`` returned."""
        return self.logits_of(self.ln_final(done.stream))

    def embed_tokens(
        self, token_ids: Int[Tensor, "batch n_pos"]
    ) -> Float[Tensor, "batch n_pos d_model"]:
        """Return the residual stream before the first block."""
        vectors = self.token_vectors(token_ids)
        positions = self.position_vectors(token_ids.shape[1])
        return vectors + positions if self.config.positions == "learned" else vectors

    def position_vectors(self, n_pos: int) -> Float[Tensor, "n_pos d_model"]:
        """Return the position embeddings; 0 with rotary positions.

        Raises:
            PromptError: If there are more positions than the model reads, or none.
        """
        if not 0 < n_pos <= self.config.n_ctx:
            raise PromptError(f"The input has {n_pos} tokens; give 1 to {self.config.n_ctx}.")
        if self.config.positions == "learned":
            return self.pos_embed.W_pos[:n_pos]
        return self.embed.W_E.new_zeros(n_pos, self.config.d_model)

    def logits_of(self, final: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_vocab"]:
        """Return logits of the final norm's output."""
        logits: Tensor = final @ self.W_U + self.unembed.b_U
        return logits

    def record(
        self,
        token_ids: Int[Tensor, "batch n_pos"],
        *,
        edit_mlp: EditMlp | None = None,
        embed_change: Float[Tensor, "batch n_pos d_model"] | None = None,
        clean: Record | None = None,
        frozen: Frozen = "norms",
    ) -> Record:
        """Run the model and keep all that the engine needs; see ``LanguageModel.record``."""
        freeze = Freeze.of(clean, frozen)
        layers: list[LayerRecord] = []
        vectors = self.token_vectors(token_ids)
        positions = self.position_vectors(token_ids.shape[1])
        resid = vectors + positions
        if embed_change is not None:
            resid = resid + embed_change
        streams = [resid]
        for layer in range(self.config.n_layers):
            block = self.block(layer)
            norm = freeze.norm(layer, "attention_norm") or block.ln1.measure(resid)
            attn_in = apply_norm(norm, resid)
            pattern = freeze.pattern(layer)
            pattern = block.attn.pattern(attn_in) if pattern is None else pattern
            middle = resid + block.attn.mix(attn_in, pattern)
            read_norm = freeze.norm(layer, "read_norm") or block.ln2.measure(middle)
            inputs = (layer, middle, apply_norm(read_norm, middle))
            call = MlpCall(*inputs, block.mlp, resid_pre=resid, norm=read_norm)
            site = run_site(call, edit_mlp)
            resid = middle + site.mlp_out
            streams.append(resid)
            attn = block.attn
            weights = (attn.W_V.detach(), attn.b_V.detach(), attn.W_O.detach(), attn.b_O.detach())
            layers.append(LayerRecord(pattern, *weights, site, norm))
        final_norm = freeze.final_norm or self.ln_final.measure(resid)
        final = apply_norm(final_norm, resid)
        return Record(
            token_ids=token_ids,
            token_vectors=vectors,
            position_vectors=positions,
            layers=tuple(layers),
            streams=tuple(streams),
            final_norm=final_norm,
            final=final,
            logits=self.logits_of(final),
            causal=self.config.causal,
        )

    def run_suffix(
        self,
        clean: Record,
        stream: Float[Tensor, "batch n_seen d_model"],
        first_layer: int,
        start: int,
        *,
        edit_mlp: EditMlp | None = None,
        frozen: Frozen = "nothing",
    ) -> Float[Tensor, "batch d_vocab"]:
        """Return the next token's logits from a stream; see ``LanguageModel.run_suffix``."""
        n_pos, n_layers = clean.n_pos, self.config.n_layers
        freeze = Freeze.of(clean, frozen)
        for layer in range(first_layer, n_layers):
            first = start if layer < n_layers - 1 else n_pos - 1
            rows = torch.arange(first, n_pos, device=stream.device)
            block = self.block(layer)
            own = stream[:, first - start :]
            middle = own + self._attend_rows(clean, layer, stream, rows, frozen)
            norm = freeze.norm(layer, "read_norm")
            read_norm = block.ln2.measure(middle) if norm is None else norm_at(norm, rows)
            mlp_in = apply_norm(read_norm, middle)
            call = MlpCall(layer, middle, mlp_in, block.mlp, rows, resid_pre=own, norm=read_norm)
            stream = middle + (edit_mlp(call) if edit_mlp else call.mlp_out())
            start = first
        last = stream[:, -1:]
        final_norm = freeze.final_norm
        last_norm = self.ln_final.measure(last) if final_norm is None else final_norm.rows([-1])
        return self.logits_of(apply_norm(last_norm, last)[:, 0])

    def _attend_rows(
        self,
        clean: Record,
        layer: int,
        stream: Float[Tensor, "batch n_seen d_model"],
        rows: Int[Tensor, " n_rows"],
        frozen: Frozen,
    ) -> Float[Tensor, "batch n_rows d_model"]:
        """Return what attention writes at some positions, those on the left being unchanged."""
        block, before = self.block(layer), clean.layers[layer]
        start = clean.n_pos - stream.shape[1]
        if frozen == "nothing":
            left = clean.streams[layer][..., :start, :].expand(len(stream), -1, -1)
            written: Tensor = block.attn(block.ln1(torch.cat([left, stream], dim=1)))[:, rows]
            return written
        seen_rows = torch.arange(start, clean.n_pos, device=stream.device)
        kept = before.attention_norm if frozen == "norms" else None
        norm = block.ln1.measure(stream) if kept is None else norm_at(kept, seen_rows)
        seen = block.attn.values(apply_norm(norm, stream))
        left_norm = norm_at(before.attention_norm, torch.arange(start, device=stream.device))
        left = clean.streams[layer].view(1, clean.n_pos, -1)[:, :start]
        left_in = apply_norm(left_norm, left)
        left_values = block.attn.values(left_in).expand(len(seen), -1, -1, -1)
        values = torch.cat([left_values, seen], dim=2)
        return block.attn.write(before.pattern[..., rows, :] @ values)

    def run_mlp(
        self, clean: Record, layer: int, read: Float[Tensor, "n_pos d_model"], read_point: ReadPoint
    ) -> Float[Tensor, "n_pos d_model"]:
        """Return an MLP's output from its read point, denominators as in a pass."""
        site = clean.sequence().sites[layer]
        out: Tensor = self.block(layer).mlp(site.mlp_in_from(read, read_point))
        return out

    def read_norm(self, layer: int, read_point: ReadPoint) -> NormMap | None:
        """Return the norm between the stream and a read point, its denominator taken as 1."""
        return norm_before(self.block(layer).ln2.unit(), read_point)

    def final_norm(self) -> NormMap | None:
        """Return the norm before the unembedding, its denominator taken as 1."""
        return self.ln_final.unit()

    def head_reads(
        self, clean: Record, layer: int, head: int, position: int, side: HeadSide
    ) -> tuple[Float[Tensor, "d_head d_model"], Float[Tensor, " d_head"]]:
        """Return what makes one head's query or key; see ``LanguageModel.head_reads``.

        Rotary positions are in the directions.
        """
        attn = self.block(layer).attn
        weights = (attn.W_Q if side == "query" else attn.W_K)[head].detach()
        bias = (attn.b_Q if side == "query" else attn.b_K)[head].detach()
        if self.config.positions == "rotary":
            turn = attn.turn_at(position)
            weights, bias = weights @ turn, bias @ turn
        norm = norm_at(clean.sequence().layers[layer].attention_norm, [position])
        if norm is None:
            return weights.T, bias
        assert norm.bias is not None, "LayerNorm has a bias"
        return norm.back(weights.T).detach(), bias + norm.bias.detach() @ weights

    @classmethod
    def from_transformer_lens(cls, state_dict: Mapping[str, Any], config: Any) -> "Transformer":
        """Build a model, in float32, from a TransformerLens state dict.

        Supported are models with LayerNorm (also folded) or no norm, full attention that is scaled
        by the root of ``d_head``, one hidden layer in each MLP, and learned positions or rotary
        ones that turn whole heads, their halves paired. The masks and rotary tables in the dict
        are compared with the model's own; missing biases are 0.

        Args:
            state_dict: Of a ``HookedTransformer``: tensors or NumPy arrays by name.
            config: A ``ModelConfig``, or TransformerLens' own ``HookedTransformerConfig``.

        Raises:
            ConfigError: If the configuration asks for something else.
            BundleError: If a weight is missing, unknown, not finite, no floating-point number, or
                of another shape than ``config`` says; or a mask or table shows another model.
        """
        model = cls(config_of(config)).float()
        model.load_state_dict(weights_of(state_dict, model.config, model.state_dict()))
        return model


@dataclass(frozen=True)
class Freeze:
    """The parts of a clean pass that a run takes over."""

    clean: Record | None
    norms: bool

    @classmethod
    def of(cls, clean: Record | None, frozen: Frozen) -> "Freeze":
        """Return what is frozen: nothing where there is no clean pass."""
        return cls(None if frozen == "nothing" else clean, frozen == "norms")

    def pattern(self, layer: int) -> Tensor | None:
        """Return a layer's frozen pattern; None where it follows the stream."""
        return self.clean.layers[layer].pattern if self.clean else None

    def norm(self, layer: int, which: Literal["attention_norm", "read_norm"]) -> NormMap | None:
        """Return a layer's frozen norm; None where it follows the stream or there is none."""
        if self.clean is None or not self.norms:
            return None
        norm: NormMap | None = getattr(self.clean.layers[layer], which)
        return norm

    @property
    def final_norm(self) -> FinalNorm | None:
        """The frozen norm before the unembedding, likewise."""
        return self.clean.final_norm if self.clean and self.norms else None


def run_site(call: MlpCall, edit_mlp: EditMlp | None) -> MlpSite:
    """Run an MLP, or the edit that stands in for it."""
    return call.with_output(edit_mlp(call) if edit_mlp else call.mlp_out())
