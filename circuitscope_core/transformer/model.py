"""A small pre-LN transformer with TransformerLens' parameter names."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from circuitscope_core.config import ModelConfig
from circuitscope_core.errors import BundleError, PromptError
from circuitscope_core.transformer.activations import Activations, MlpSite
from circuitscope_core.transformer.components import Block, Embed, Norm, PosEmbed, Unembed

EditMlp = Callable[[MlpSite], Tensor]
"""Receives an MLP's inputs and output, returns the output to use instead."""


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
        """Return the logits of the next token at every position.

        Raises:
            PromptError: If the sequences are longer than ``n_ctx`` or empty.
        """
        resid = self.embed_tokens(token_ids)
        for block in self.blocks:
            resid = block(resid)
        return self.unembed_residual(self.ln_final(resid))

    def mlp_sites(
        self, token_ids: Int[Tensor, "batch n_pos"], edit_mlp: EditMlp | None = None
    ) -> tuple[MlpSite, ...]:
        """Return every layer's MLP inputs and output, without patterns or logits: fast.

        Args:
            token_ids: Equally long sequences.
            edit_mlp: Called at every MLP; what it returns is written instead of the output.
        """
        sites: list[MlpSite] = []
        resid = self.embed_tokens(token_ids)
        for layer in range(self.config.n_layers):
            block = self.block(layer)
            resid = resid + block.attn(block.ln1(resid))
            mlp_in = block.ln2(resid)
            site = MlpSite(layer, resid, mlp_in, block.mlp(mlp_in))
            if edit_mlp:
                site = MlpSite(layer, resid, mlp_in, edit_mlp(site))
            sites.append(site)
            resid = resid + site.mlp_out
        return tuple(sites)

    def logits_after(self, sites: tuple[MlpSite, ...]) -> Float[Tensor, "batch n_pos d_vocab"]:
        """Return the logits that follow what ``mlp_sites`` returned."""
        return self.unembed_residual(self.ln_final(sites[-1].resid_mid + sites[-1].mlp_out))

    def embed_tokens(self, token_ids: Int[Tensor, "batch n_pos"]) -> Tensor:
        """Return the residual stream before the first block."""
        n_pos = token_ids.shape[1]
        if not 0 < n_pos <= self.config.n_ctx:
            raise PromptError(f"The input has {n_pos} tokens; give 1 to {self.config.n_ctx}.")
        resid = F.embedding(token_ids, self.embed.W_E)
        if self.config.positions == "learned":
            resid = resid + self.pos_embed.W_pos[:n_pos]
        return resid

    def unembed_residual(self, normalized: Tensor) -> Tensor:
        """Return logits of the final norm's output."""
        logits: Tensor = normalized @ self.W_U + self.unembed.b_U
        return logits

    def record(
        self,
        token_ids: Int[Tensor, "batch n_pos"],
        *,
        edit_mlp: EditMlp | None = None,
        embed_change: Float[Tensor, "batch n_pos d_model"] | None = None,
        frozen: Activations | None = None,
        freeze_norms: bool = True,
    ) -> Activations:
        """Run the model and keep what later rooms need.

        Args:
            token_ids: Equally long sequences.
            edit_mlp: Called at every MLP; what it returns is written instead of the output.
            embed_change: Added to the embeddings.
            frozen: Attention patterns and norm denominators to use in place of the model's own, of
                a pass over one sequence or over as many.
            freeze_norms: False takes only the patterns from ``frozen``.
        """
        norms = frozen if freeze_norms else None
        sites: list[MlpSite] = []
        patterns, ln1_scales, ln2_scales = [], [], []
        resid = self.embed_tokens(token_ids)
        if embed_change is not None:
            resid = resid + embed_change
        for layer in range(self.config.n_layers):
            block = self.block(layer)
            scale1 = norms.ln1_scales[layer] if norms else block.ln1.scale(resid)
            attn_in = block.ln1.apply_gain(block.ln1.normalize(resid, scale1))
            pattern = frozen.patterns[layer] if frozen else block.attn.pattern(attn_in)
            resid = resid + block.attn.mix(attn_in, pattern)
            scale2 = norms.ln2_scales[layer] if norms else block.ln2.scale(resid)
            site = look_at_mlp(block, layer, resid, scale2)
            if edit_mlp:
                edited = edit_mlp(site)
                site = MlpSite(layer, site.resid_mid, site.mlp_in, edited)
            resid = resid + site.mlp_out
            sites.append(site)
            patterns.append(pattern)
            ln1_scales.append(scale1)
            ln2_scales.append(scale2)
        scale = norms.ln_final_scale if norms else self.ln_final.scale(resid)
        final = self.ln_final.apply_gain(self.ln_final.normalize(resid, scale))
        logits = self.unembed_residual(final)
        scales = (tuple(ln1_scales), tuple(ln2_scales), scale)
        return Activations(tuple(sites), tuple(patterns), *scales, resid, logits)

    @classmethod
    def from_transformer_lens(
        cls, state_dict: Mapping[str, Tensor], config: ModelConfig
    ) -> "Transformer":
        """Build a model from a TransformerLens state dict.

        Attention masks and other constants of theirs are passed over; missing biases are 0.

        Raises:
            BundleError: If a weight is missing, unknown, or of another shape than ``config`` says.
        """
        model = cls(config)
        wanted = model.state_dict()
        constants = (".mask", ".IGNORE", ".rotary_sin", ".rotary_cos")
        given = {name: value for name, value in state_dict.items() if not name.endswith(constants)}
        if config.tied_embeddings:
            tied = given.pop("unembed.W_U", None)
            if tied is not None and not torch.allclose(tied, given["embed.W_E"].T):
                raise BundleError(
                    "unembed.W_U is not embed.W_E transposed; set tied_embeddings=False."
                )
        for name in wanted:
            if name not in given and ".b_" in name:
                given[name] = torch.zeros_like(wanted[name])
        check_state_dict(given, wanted)
        model.load_state_dict({name: given[name].to(wanted[name].dtype) for name in wanted})
        return model


def look_at_mlp(block: Block, layer: int, resid_mid: Tensor, scale: Tensor) -> MlpSite:
    """Return a layer's MLP inputs and output for a given residual stream."""
    mlp_in = block.ln2.apply_gain(block.ln2.normalize(resid_mid, scale))
    return MlpSite(layer, resid_mid, mlp_in, block.mlp(mlp_in))


def check_state_dict(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Compare names and shapes.

    Raises:
        BundleError: Naming the first weight that is missing, unknown or of another shape.
    """
    for name in sorted(set(wanted) - set(given)):
        raise BundleError(f"The weight {name} is missing; the file does not fit the configuration.")
    for name in sorted(set(given) - set(wanted)):
        raise BundleError(f"The weight {name} is unknown; the file does not fit the configuration.")
    for name, value in given.items():
        if value.shape != wanted[name].shape:
            raise BundleError(
                f"The weight {name} has shape {tuple(value.shape)}; "
                f"the configuration needs {tuple(wanted[name].shape)}."
            )
