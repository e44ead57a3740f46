"""The parts of each family of Hugging Face models: where they lie and how fused weights split.

A line of the table is all that the engine has to know of a family. Norms are recognised by
probing (see ``norms``), so the table has their places and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from torch import Tensor, nn

from circuitscope_core.errors import ModelError
from circuitscope_core.language_model import Compute, MlpNeurons
from circuitscope_core.pretrained.mlp_weights import clamped_experts, experts, gated, plain
from circuitscope_core.pretrained.modules import matrix, part
from circuitscope_core.tokenizer import HuggingFaceTokenizer, Tokenizer


@dataclass(frozen=True)
class ValueWeights:
    """The part of one layer's attention that is linear: from its input to values, to the output."""

    W_V: Tensor
    """``[n_kv_heads, d_model, d_head]``; each is read by as many neighbouring heads."""
    b_V: Tensor
    """``[n_kv_heads, d_head]``"""
    W_O: Tensor
    """``[n_heads, d_head, d_model]``"""
    b_O: Tensor
    """``[d_model]``"""


Split: TypeAlias = Callable[[nn.Module, Any], ValueWeights]
"""Takes a layer's attention module and the model's configuration."""


@dataclass(frozen=True)
class Family:
    """The names of a family's parts; those of norms are None where a layer has none."""

    layers: str
    """Path from the model to its list of layers."""
    final_norm: str
    """Path from the model to the norm before the unembedding."""
    split: Split
    attention: str = "self_attn"
    mlp: str = "mlp"
    neurons: Callable[[nn.Module], MlpNeurons] = gated
    """Takes a layer's MLP module."""
    attention_norm: str | None = "input_layernorm"
    """Before attention."""
    attention_post_norm: str | None = None
    """Path to the norm on attention's output, before it is added to the stream."""
    read_norm: str | None = "post_attention_layernorm"
    """Before the MLP."""
    write_norm: str | None = None
    """Path to the norm on the MLP's output, before it is added to the stream."""
    parallel: bool = False
    """True where attention and MLP both read the stream before the layer."""
    mid_norm: str | None = None
    """Path to the norm on the stream after attention, before the MLP reads it."""
    end_norm: str | None = None
    """Path to the norm on the stream after the MLP."""
    embedding_norm: str | None = None
    """Path from the model to the norm over the sum of token and position embeddings."""
    final_linear: str | None = None
    """Path to the linear layer that, with an activation function, comes before the final norm."""
    masked: bool = False
    """True for models that look to both sides and find the word in a mask's place."""


def by_head(weight: Tensor, bias: Tensor, n_heads: int) -> tuple[Tensor, Tensor]:
    """Return projections to heads that lie side by side, a matrix and a bias for each head."""
    return weight.unflatten(1, (n_heads, -1)).transpose(0, 1), bias.unflatten(0, (n_heads, -1))


def outputs(module: nn.Module, n_heads: int) -> tuple[Tensor, Tensor]:
    """Return the output projection, a matrix for each head, and its bias."""
    weight, bias = matrix(module)
    return weight.unflatten(0, (n_heads, -1)), bias


def separate(value: str = "v_proj", output: str = "o_proj") -> Split:
    """Return the split of attention whose values have a projection of their own."""

    def split(attention: nn.Module, config: Any) -> ValueWeights:
        n_heads = config.num_attention_heads
        n_kv_heads = getattr(config, "num_key_value_heads", None) or n_heads
        W_V, b_V = by_head(*matrix(part(attention, value)), n_kv_heads)
        return ValueWeights(W_V, b_V, *outputs(part(attention, output), n_heads))

    return split


def thirds(attention: nn.Module, config: Any) -> ValueWeights:
    """Split GPT-2's fused projection: all queries, all keys, all values."""
    weight, bias = matrix(part(attention, "c_attn"))
    d_model, n_heads = config.n_embd, config.n_head
    W_V, b_V = by_head(weight[:, 2 * d_model :], bias[2 * d_model :], n_heads)
    return ValueWeights(W_V, b_V, *outputs(part(attention, "c_proj"), n_heads))


def interleaved(attention: nn.Module, config: Any) -> ValueWeights:
    """Split a fused projection in groups, each of some queries, a key and a value.

    GPT-NeoX has a group for each head, Falcon one for each head, for eight heads, or for all.
    """
    weight, bias = matrix(part(attention, "query_key_value"))
    n_heads = config.num_attention_heads
    n_groups = _n_groups(config)
    d_head = weight.shape[1] // (n_heads + 2 * n_groups)
    shape = (n_groups, n_heads // n_groups + 2, d_head)
    W_V = weight.unflatten(1, shape)[:, :, -1].transpose(0, 1)
    return ValueWeights(
        W_V, bias.unflatten(0, shape)[:, -1], *outputs(part(attention, "dense"), n_heads)
    )


def _n_groups(config: Any) -> int:
    if getattr(config, "new_decoder_architecture", False):
        return int(config.num_kv_heads)
    return 1 if getattr(config, "multi_query", False) else int(config.num_attention_heads)


LLAMA = Family(layers="model.layers", final_norm="model.norm", split=separate())
GPT = Family(
    layers="transformer.h",
    final_norm="transformer.ln_f",
    split=thirds,
    attention="attn",
    neurons=plain("c_fc", "c_proj"),
    attention_norm="ln_1",
    read_norm="ln_2",
)
SANDWICH = replace(
    LLAMA,
    attention_post_norm="post_attention_layernorm",
    read_norm="pre_feedforward_layernorm",
    write_norm="post_feedforward_layernorm",
)
PHI = replace(
    LLAMA,
    final_norm="model.final_layernorm",
    split=separate(output="dense"),
    neurons=plain("fc1", "fc2"),
    read_norm="input_layernorm",
    parallel=True,
)
NEOX = Family(
    layers="gpt_neox.layers",
    final_norm="gpt_neox.final_layer_norm",
    split=interleaved,
    attention="attention",
    neurons=plain("dense_h_to_4h", "dense_4h_to_h"),
)
FALCON = Family(
    layers="transformer.h",
    final_norm="transformer.ln_f",
    split=interleaved,
    attention="self_attention",
    neurons=plain("dense_h_to_4h", "dense_4h_to_h"),
)
DISTILBERT = Family(
    layers="distilbert.transformer.layer",
    final_norm="vocab_layer_norm",
    split=separate("v_lin", "out_lin"),
    attention="attention",
    mlp="ffn",
    neurons=plain("lin1", "lin2"),
    attention_norm=None,
    read_norm=None,
    mid_norm="sa_layer_norm",
    end_norm="output_layer_norm",
    embedding_norm="distilbert.embeddings.LayerNorm",
    final_linear="vocab_transform",
    masked=True,
)
FAMILIES: dict[str, Family] = {
    "gpt2": GPT,
    "gptj": replace(
        GPT,
        split=separate(output="out_proj"),
        neurons=plain("fc_in", "fc_out"),
        read_norm="ln_1",
        parallel=True,
    ),
    "gpt_neox": NEOX,
    "falcon": FALCON,
    "phi": PHI,
    "llama": LLAMA,
    "mistral": LLAMA,
    "mixtral": replace(LLAMA, neurons=experts),
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "smollm3": LLAMA,
    "gpt_oss": replace(LLAMA, neurons=clamped_experts),
    "gemma2": SANDWICH,
    "gemma3_text": SANDWICH,
    "olmo2": replace(SANDWICH, attention_norm=None, read_norm=None),
    "distilbert": DISTILBERT,
}
"""Families by the ``model_type`` of their configuration."""


def check_family(kind: str) -> None:
    """Refuse a family that is not in the table.

    Raises:
        ModelError: With the families that are.
    """
    if kind not in FAMILIES:
        raise ModelError(
            f"Models of the family {kind!r} cannot be opened. Those that can are "
            f"{', '.join(sorted(FAMILIES))}."
        )


def family_of(config: Any) -> Family:
    """Return the parts of the family that a configuration belongs to.

    Raises:
        ModelError: If the family is not in the table.
    """
    kind = str(config.model_type)
    check_family(kind)
    family = FAMILIES[kind]
    if kind == "gpt_neox":
        return replace(family, parallel=bool(config.use_parallel_residual))
    return _falcon(config, family) if kind == "falcon" else family


def mask_of(config: Any, tokenizer: Tokenizer | None) -> int:
    """Return the token in whose place a masked model is asked for a word.

    Raises:
        ModelError: If neither the tokenizer nor the configuration names one.
    """
    own = tokenizer.mask_id if isinstance(tokenizer, HuggingFaceTokenizer) else None
    found = getattr(config, "mask_token_id", None) if own is None else own
    if found is None:
        raise ModelError(
            f"Models of the family {config.model_type!r} are asked for the word in a mask's place, "
            "and neither the tokenizer nor the configuration names a mask. Give the model's "
            "tokenizer.json, or set mask_token_id in its configuration."
        )
    return int(found)


def _falcon(config: Any, family: Family) -> Family:
    """Falcon's layers differ from size to size: one norm or two, parallel or not."""
    new = config.new_decoder_architecture
    parallel = bool(config.parallel_attn or new)
    if new and config.num_ln_in_parallel_attn in (None, 2):
        return replace(family, attention_norm="ln_attn", read_norm="ln_mlp", parallel=True)
    read_norm = "input_layernorm" if parallel else family.read_norm
    return replace(family, read_norm=read_norm, parallel=parallel)


def weights_as(weights: ValueWeights, home: Compute) -> ValueWeights:
    """Return the weights in a precision and on a device; the same where they have both."""
    return ValueWeights(
        *map(home.take, (weights.W_V, weights.b_V, weights.W_O, weights.b_O)),
    )
