"""The parts a transformer is made of, with TransformerLens' parameter names."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from circuitscope_core.config import ModelConfig
from circuitscope_core.initial_values import draw_normal, only_shapes
from circuitscope_core.language_model import MlpNeurons, NormMap


class Embed(nn.Module):
    """Token embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.W_E = nn.Parameter(draw_normal(config.d_vocab, config.d_model, std=0.02))


class PosEmbed(nn.Module):
    """Learned position embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(draw_normal(config.n_ctx, config.d_model, std=0.02))


class Unembed(nn.Module):
    """Unembedding. Its bias is kept for models that bring one; training leaves it at 0."""

    b_U: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if not config.tied_embeddings:
            self.W_U = nn.Parameter(draw_normal(config.d_model, config.d_vocab, std=0.02))
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

    def run(self, x: Tensor) -> tuple[Tensor, NormMap | None]:
        """Normalise in one fused step, and return the norm with its denominators as well."""
        if not self.enabled:
            return x, None
        normalized, _, inverse = torch.native_layer_norm(
            x, (x.shape[-1],), self.w, self.b, self.eps
        )
        return normalized, self.frozen(1 / inverse)

    def scale(self, x: Tensor) -> Tensor:
        """Return the denominator ``[..., 1]``."""
        return (x.var(dim=-1, keepdim=True, unbiased=False) + self.eps).sqrt()

    def frozen(self, scale: Tensor) -> NormMap | None:
        """Return the norm with given denominators; None where there is no normalisation."""
        if not self.enabled:
            return None
        return NormMap(self.w.detach(), self.b.detach(), centred=True, scale=scale)

    def unit(self) -> NormMap | None:
        """Return the norm with the denominator 1 everywhere."""
        return self.frozen(self.w.new_ones(1, 1)) if self.enabled else None

    def measure(self, x: Tensor) -> NormMap | None:
        """Return the norm with the denominators that ``x`` has."""
        return self.frozen(self.scale(x)) if self.enabled else None


class Attention(nn.Module):
    """Multi-head attention; rotary positions, where used, only change the pattern."""

    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.n_heads, config.d_model, config.d_head)
        std = config.d_model**-0.5
        self.W_Q = nn.Parameter(draw_normal(*shape, std=std))
        self.W_K = nn.Parameter(draw_normal(*shape, std=std))
        self.W_V = nn.Parameter(draw_normal(*shape, std=std))
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

    def turn_at(self, position: int) -> Float[Tensor, "d_head d_head"]:
        """Return the rotation of one position as a matrix to multiply with from the right."""
        basis = torch.eye(self.config.d_head, device=self.W_Q.device, dtype=self.W_Q.dtype)
        first, second = basis.chunk(2, dim=-1)
        turned = torch.cat([-second, first], dim=-1)
        return basis * self.rotary_cos[position] + turned * self.rotary_sin[position]

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
        return self.write(pattern @ self.values(x))

    def values(self, x: Tensor) -> Tensor:
        """Return the heads' values ``[batch, n_heads, n_pos, d_head]``."""
        return self.project(x, self.W_V, self.b_V)

    def write(self, mixed: Tensor) -> Tensor:
        """Map ``[batch, n_heads, n_pos, d_head]`` to ``[batch, n_pos, d_model]``."""
        batch, n_heads, n_pos, d_head = mixed.shape
        flat = mixed.transpose(1, 2).reshape(batch, n_pos, n_heads * d_head)
        out: Tensor = F.linear(flat, self.W_O.reshape(n_heads * d_head, -1).T, self.b_O)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Attend in one fused step: the same as ``mix`` with ``pattern``."""
        config = self.config
        if config.positions == "rotary" and x.dtype not in (torch.float32, torch.float64):
            return self.mix(x, self.pattern(x))  # there are no complex numbers of half precision
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
        self.W_in = nn.Parameter(
            draw_normal(config.d_model, config.d_mlp, std=config.d_model**-0.5)
        )
        self.b_in = nn.Parameter(torch.zeros(config.d_mlp))
        self.W_out = nn.Parameter(torch.zeros(config.d_mlp, config.d_model))
        self.b_out = nn.Parameter(torch.zeros(config.d_model))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., d_model]`` to ``[..., d_model]``."""
        hidden = self.act(F.linear(x, self.W_in.T, self.b_in))
        return F.linear(hidden, self.W_out.T, self.b_out)

    def act(self, hidden: Tensor) -> Tensor:
        """Return activations of pre-activations."""
        if self.activation == "relu":
            return F.relu(hidden)
        approximate = "tanh" if self.activation == "gelu_new" else "none"
        return F.gelu(hidden, approximate=approximate)

    def neurons(self) -> MlpNeurons:
        """Return the hidden layer's neurons."""
        return MlpNeurons(
            W_in=self.W_in.detach(),
            b_in=self.b_in.detach(),
            W_out=self.W_out.detach(),
            b_out=self.b_out.detach()[None],
            act=self.act,
        )


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


def rotary_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Return cosines and sines ``[n_ctx, d_head]`` of each position's angles."""
    half = config.d_head // 2
    if only_shapes():
        return torch.empty(config.n_ctx, 2 * half), torch.empty(config.n_ctx, 2 * half)
    rates = config.rotary_base ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(config.n_ctx, dtype=torch.float64)[:, None] * rates
    doubled = torch.cat([angles, angles], dim=1)
    return doubled.cos().float(), doubled.sin().float()
