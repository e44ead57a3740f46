"""A small pre-LN transformer with TransformerLens' parameter names."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from circuitscope_core.config import ModelConfig
from circuitscope_core.errors import BundleError, PromptError
from circuitscope_core.transformer.activations import Activations, MlpSite

EditMlp = Callable[[MlpSite], Tensor]
"""Receives an MLP's inputs and output, returns the output to use instead."""


class Embed(nn.Module):
    """Token embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.randn(config.d_vocab, config.d_model) * 0.02)


class PosEmbed(nn.Module):
    """Learned position embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.randn(config.n_ctx, config.d_model) * 0.02)


class Unembed(nn.Module):
    """Unembedding. Its bias is kept for models that bring one; training leaves it at 0."""

    b_U: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if not config.tied_embeddings:
            self.W_U = nn.Parameter(torch.randn(config.d_model, config.d_vocab) * 0.02)
        self.register_buffer("b_U", torch.zeros(config.d_vocab))


class Norm(nn.Module):
    """LayerNorm in the two steps that attribution needs apart, or nothing at all."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.enabled = config.normalization is not None
        self.eps = config.ln_eps
        if self.enabled:
            self.w = nn.Parameter(torch.ones(config.d_model))
            self.b = nn.Parameter(torch.zeros(config.d_model))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise in one fused step."""
        if not self.enabled:
            return x
        return F.layer_norm(x, (x.shape[-1],), self.w, self.b, self.eps)

    def scale(self, x: Tensor) -> Tensor:
        """Return the denominator ``[..., 1]``: 1 without normalisation."""
        if not self.enabled:
            return torch.ones_like(x[..., :1])
        return (x.var(dim=-1, keepdim=True, unbiased=False) + self.eps).sqrt()

    def normalize(self, x: Tensor, scale: Tensor) -> Tensor:
        """Centre ``x`` and divide it by ``scale``."""
        return (x - x.mean(dim=-1, keepdim=True)) / scale if self.enabled else x

    def apply_gain(self, normalized: Tensor) -> Tensor:
        """Multiply by the gain and add the bias."""
        return normalized * self.w + self.b if self.enabled else normalized


class Attention(nn.Module):
    """Multi-head attention; rotary positions, where used, only change the pattern."""

    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.n_heads, config.d_model, config.d_head)
        std = config.d_model**-0.5
        self.W_Q = nn.Parameter(torch.randn(shape) * std)
        self.W_K = nn.Parameter(torch.randn(shape) * std)
        self.W_V = nn.Parameter(torch.randn(shape) * std)
        self.W_O = nn.Parameter(torch.zeros(config.n_heads, config.d_head, config.d_model))
        self.b_Q = nn.Parameter(torch.zeros(config.n_heads, config.d_head))
        self.b_K = nn.Parameter(torch.zeros(config.n_heads, config.d_head))
        self.b_V = nn.Parameter(torch.zeros(config.n_heads, config.d_head))
        self.b_O = nn.Parameter(torch.zeros(config.d_model))
        if config.positions == "rotary":
            cos, sin = rotary_tables(config)
            self.register_buffer("rotary_cos", cos, persistent=False)
            self.register_buffer("rotary_sin", sin, persistent=False)

    def project(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Map ``[batch, n_pos, d_model]`` to ``[batch, n_heads, n_pos, d_head]``."""
        n_heads, d_model, d_head = weight.shape
        flat = x @ weight.permute(1, 0, 2).reshape(d_model, n_heads * d_head) + bias.flatten()
        return flat.view(*x.shape[:2], n_heads, d_head).transpose(1, 2)

    def queries_and_keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys ``[batch, n_heads, n_pos, d_head]``, rotated where rotary."""
        query = self.project(x, self.W_Q, self.b_Q)
        key = self.project(x, self.W_K, self.b_K)
        if self.config.positions == "rotary":
            return self.rotate(query), self.rotate(key)
        return query, key

    def rotate(self, x: Tensor) -> Tensor:
        """Turn each pair of coordinates by an angle that grows with the position."""
        n_pos = x.shape[2]
        first, second = x.chunk(2, dim=-1)
        turned = torch.cat([-second, first], dim=-1)
        return x * self.rotary_cos[:n_pos] + turned * self.rotary_sin[:n_pos]

    def pattern(self, x: Tensor) -> Float[Tensor, "batch n_heads n_pos n_pos"]:
        """Return the attention of each query (row) to each key."""
        query, key = self.queries_and_keys(x)
        scores = query @ key.transpose(-1, -2) / self.config.d_head**0.5
        if self.config.causal:
            n_pos = x.shape[1]
            future = torch.ones(n_pos, n_pos, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        pattern: Tensor = scores.softmax(dim=-1)
        return pattern

    def mix(self, x: Tensor, pattern: Tensor) -> Tensor:
        """Move values along a given pattern and write them to the residual stream."""
        value = self.project(x, self.W_V, self.b_V)
        return self.write(pattern @ value)

    def write(self, mixed: Tensor) -> Tensor:
        """Map ``[batch, n_heads, n_pos, d_head]`` to ``[batch, n_pos, d_model]``."""
        batch, n_heads, n_pos, d_head = mixed.shape
        flat = mixed.transpose(1, 2).reshape(batch, n_pos, n_heads * d_head)
        out: Tensor = F.linear(flat, self.W_O.reshape(n_heads * d_head, -1).T, self.b_O)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Attend in one fused step: the same as ``mix`` with ``pattern``."""
        config = self.config
        n_heads, _, d_head = self.W_Q.shape
        weights: list[Tensor] = [self.W_Q, self.W_K, self.W_V]
        biases: list[Tensor] = [self.b_Q, self.b_K, self.b_V]
        if config.positions == "rotary":
            # the two coordinates that turn together side by side: one complex number
            weights[:2] = map(pair_up, weights[:2])
            biases[:2] = map(pair_up, biases[:2])
        weight = torch.cat([w.transpose(0, 1).flatten(1) for w in weights], dim=1)
        flat = torch.addmm(torch.cat([b.flatten() for b in biases]), x.flatten(0, 1), weight)
        heads = flat.view(*x.shape[:2], 3, n_heads, d_head)
        if config.positions == "rotary":
            turns = torch.complex(self.rotary_cos, self.rotary_sin)[: x.shape[1], : d_head // 2]
            pairs = torch.view_as_complex(heads[:, :, :2].reshape(*x.shape[:2], 2, n_heads, -1, 2))
            turned = torch.view_as_real(pairs * turns[:, None, None]).flatten(-2)
            query, key = turned.transpose(1, 3).unbind(dim=2)
        else:
            query, key = heads[:, :, :2].transpose(1, 3).unbind(dim=2)
        value = heads[:, :, 2].transpose(1, 2)
        return self.write(
            F.scaled_dot_product_attention(query, key, value, is_causal=config.causal)
        )


def pair_up(by_head: Tensor) -> Tensor:
    """Reorder the last axis from halves ``a b c, x y z`` to pairs ``a x, b y, c z``."""
    paired: Tensor = by_head.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
    return paired


class Mlp(nn.Module):
    """One hidden layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.W_in = nn.Parameter(torch.randn(config.d_model, config.d_mlp) * config.d_model**-0.5)
        self.b_in = nn.Parameter(torch.zeros(config.d_mlp))
        self.W_out = nn.Parameter(torch.zeros(config.d_mlp, config.d_model))
        self.b_out = nn.Parameter(torch.zeros(config.d_model))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., d_model]`` to ``[..., d_model]``."""
        hidden = F.linear(x, self.W_in.T, self.b_in)
        if self.activation == "relu":
            hidden = F.relu(hidden)
        else:
            approximate = "tanh" if self.activation == "gelu_new" else "none"
            hidden = F.gelu(hidden, approximate=approximate)
        return F.linear(hidden, self.W_out.T, self.b_out)


class Block(nn.Module):
    """Attention, then the MLP, each added to the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln1 = Norm(config)
        self.attn = Attention(config)
        self.ln2 = Norm(config)
        self.mlp = Mlp(config)

    def forward(self, resid: Tensor) -> Tensor:
        """Return the residual stream after the block."""
        resid = resid + self.attn(self.ln1(resid))
        post: Tensor = resid + self.mlp(self.ln2(resid))
        return post


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
        frozen: Activations | None = None,
        freeze_norms: bool = True,
    ) -> Activations:
        """Run the model and keep what later rooms need.

        Args:
            token_ids: Equally long sequences.
            edit_mlp: Called at every MLP; what it returns is written instead of the output.
            frozen: Attention patterns and norm denominators to use in place of the model's own.
            freeze_norms: False takes only the patterns from ``frozen``.
        """
        norms = frozen if freeze_norms else None
        sites: list[MlpSite] = []
        patterns, ln1_scales, ln2_scales = [], [], []
        resid = self.embed_tokens(token_ids)
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


def rotary_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Return cosines and sines ``[n_ctx, d_head]`` of each position's angles."""
    half = config.d_head // 2
    rates = config.rotary_base ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(config.n_ctx, dtype=torch.float64)[:, None] * rates
    doubled = torch.cat([angles, angles], dim=1)
    return doubled.cos().float(), doubled.sin().float()
