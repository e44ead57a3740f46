"""Models of TransformerLens: its configuration in our terms, and its state dicts checked.

A state dict holds more than weights: the tables of rotary positions and the masks of attention say
which positions see which, and how. They are compared with what a ``Transformer`` does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitscope_core.config import ModelConfig
from circuitscope_core.errors import BundleError, ConfigError
from circuitscope_core.transformer.components import rotary_tables

NORMS = ("ln1", "ln2", "ln_final")
ACTIVATIONS = ("gelu", "gelu_new", "relu")
TABLES = ("rotary_cos", "rotary_sin")
TABLE_ERROR = 0.02
"""Tables of half precision, or whose angles were computed in single precision, differ by less."""
SAME: Mapping[str, tuple[Any, ...]] = {
    "normalization_type": ("LN", "LNPre", None),
    "act_fn": ACTIVATIONS,
    "positional_embedding_type": ("standard", "rotary"),
    "attention_dir": ("causal", "bidirectional"),
    "use_attn_scale": (True,),
    "rotary_scaling_factor": (1, None),
    "attn_scores_soft_cap": (-1, 0, None),
    "output_logits_soft_cap": (-1, 0, None),
}
"""Fields of a configuration with the values that a ``Transformer`` can be given."""
SIZES = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "n_ctx", "d_vocab")
DESCRIBING = {
    *("model_name", "original_architecture", "tokenizer_name", "tokenizer_prepends_bos"),
    *("default_prepend_bos", "from_checkpoint", "checkpoint_index", "checkpoint_label_type"),
    *("checkpoint_value", "device", "n_devices", "dtype", "seed", "n_params", "init_mode"),
    *("initializer_range", "init_weights", "trust_remote_code", "use_attn_result", "use_attn_in"),
    *("use_split_qkv_input", "use_hook_mlp_in", "use_hook_tokens", "decoder_start_token_id"),
    *("ungroup_grouped_query_attention", "window_size", "attn_types", "norm_topk_prob"),
    *("NTK_by_parts_low_freq_factor", "NTK_by_parts_high_freq_factor", "NTK_by_parts_factor"),
    *("NTK_original_ctx_len", "yarn_factor", "yarn_attention_factor", "yarn_beta_fast"),
    *("yarn_beta_slow", "yarn_original_max_position_embeddings", "layer_norm_folding"),
    *("tie_word_embeddings", "rotary_adjacent_pairs", "use_local_attn", "default_padding_side"),
}
"""Fields that change no result, or only together with another field that is looked at."""
SWITCHES = ("rotary_adjacent_pairs", "use_local_attn")
"""Fields whose value a ``Transformer`` cannot be given; the weights show which one it is."""


def config_of(given: Any) -> ModelConfig:
    """Return a ``HookedTransformerConfig``, or a mapping with its fields, in our terms.

    Raises:
        ConfigError: If it says something that a ``Transformer`` does not do, naming the field.
    """
    if isinstance(given, ModelConfig):
        return given
    fields: dict[str, Any] = dict(
        given if isinstance(given, Mapping) else getattr(given, "__dict__", {})
    )
    if fields.get("attn_only"):
        raise _not_done("attn_only", True)
    if missing := [name for name in SIZES if not isinstance(fields.get(name), int)]:
        raise ConfigError(
            f"config has {fields.get(missing[0])!r} as {missing[0]}; give a ModelConfig, or a "
            "HookedTransformerConfig of TransformerLens."
        )
    rotary = fields.get("positional_embedding_type") == "rotary"
    d_head = fields["d_head"]
    wanted: dict[str, tuple[Any, ...]] = {
        **SAME,
        "d_vocab_out": (-1, fields["d_vocab"]),
        "n_key_value_heads": (None, fields["n_heads"]),
        "rotary_dim": (None, d_head) if rotary else (None, *range(d_head + 1)),
    }
    for name in SWITCHES:
        wanted[name] = (False,) if rotary or name != "rotary_adjacent_pairs" else (False, True)
    for name, value in fields.items():
        if name == "attn_scale":
            same = not isinstance(value, float | int) or value in (-1, 0)
            same = same or abs(value - d_head**0.5) < 1e-4
        elif name in wanted:
            same = any(value == item for item in wanted[name])
        else:
            known = name in (*SIZES, "eps", "rotary_base") or name in DESCRIBING
            same = known or not value
        if not same:
            raise _not_done(name, value)
    return ModelConfig(
        **{name: fields[name] for name in SIZES},
        activation=fields["act_fn"],
        normalization="LN" if fields.get("normalization_type", "LN") else None,
        positions="rotary" if rotary else "learned",
        causal=fields.get("attention_dir", "causal") == "causal",
        ln_eps=float(fields.get("eps", 1e-5)),
        rotary_base=float(fields.get("rotary_base", 10_000)),
    )


def _not_done(name: str, value: object) -> ConfigError:
    return ConfigError(
        f"config.{name} is {value!r}, which a Transformer does not do. It is a pre-LN model with "
        "full attention, scaled by the root of d_head, one hidden layer in each MLP, and learned "
        "or plain rotary positions. Open the Hugging Face model with cs.load_model instead."
    )


def weights_of(
    state_dict: Mapping[str, Any], config: ModelConfig, wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the weights of a state dict, everything else in it having been compared.

    Args:
        state_dict: TransformerLens' names, with tensors or arrays.
        config: The model to be.
        wanted: A state dict of that model, for names and shapes.

    Raises:
        BundleError: Naming the first thing in which the dict is of another model.
    """
    given: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        tensor = _tensor(name, value)
        if name.endswith((".mask", *TABLES)):
            _check_constant(name, tensor, config)
        elif not name.endswith(".IGNORE"):
            given[name] = _finite(name, tensor)
    _refuse_other_models(given, config)
    if config.tied_embeddings:
        _take_tied(given)
    for name, value in wanted.items():
        if name not in given and ".b_" in name:
            given[name] = torch.zeros_like(value)
    check_state_dict(given, wanted)
    return {name: given[name].to(wanted[name].dtype) for name in wanted}


def _tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fbiu":
        return torch.from_numpy(value)
    raise BundleError(f"{name} is a {type(value).__name__}; weights must be tensors or arrays.")


def _finite(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        raise BundleError(
            f"The weight {name} holds {value.dtype}; weights must be floating-point numbers that "
            "are not quantised."
        )
    if not bool(torch.isfinite(value).all()):
        raise BundleError(
            f"The weight {name} has {int((~torch.isfinite(value)).sum()):,} numbers that are not "
            "finite; the training that made it diverged, or the file is damaged."
        )
    return value


def _check_constant(name: str, value: Tensor, config: ModelConfig) -> None:
    """Refuse a mask or a table that is not the model's own."""
    if name.endswith(".mask"):
        if not config.causal:
            return  # kept in such a model, and not used
        seen = torch.ones(config.n_ctx, config.n_ctx, dtype=torch.bool).tril()
        if value.shape != seen.shape:
            raise _other_size(name, value, seen)
        if not bool((value.bool().cpu() == seen).all()):
            raise BundleError(
                f"{name} lets a position see others than itself and all before it: local attention "
                "is not supported, and bidirectional attention needs causal=False. Open the "
                "Hugging Face model with cs.load_model instead."
            )
        return
    if config.positions != "rotary":
        raise BundleError(f"{name} is a table of rotary positions; set positions='rotary'.")
    own = rotary_tables(config)[TABLES.index(name.rpartition(".")[2])]
    if value.shape != own.shape:
        raise _other_size(name, value, own)
    off = (value.double().cpu() - own.double().cpu()).abs()
    # the farthest angles of a long table may be off by rounding; the first positions are not
    if bool((off[: min(64, len(off))] > TABLE_ERROR).any()):
        raise BundleError(
            f"{name} turns positions in another way than rotary_base={config.rotary_base:g} with "
            "the halves of a head paired: TransformerLens' usual base is 10000; adjacent pairs, "
            "as in GPT-J, and scaled rotary positions are not supported."
        )


def _other_size(name: str, value: Tensor, own: Tensor) -> BundleError:
    return BundleError(
        f"{name} has the shape {list(value.shape)}, and n_ctx and d_head of the configuration call "
        f"for {list(own.shape)}. A rotary table of fewer columns turns a part of each head only, "
        "which is not supported."
    )


def _refuse_other_models(given: dict[str, Tensor], config: ModelConfig) -> None:
    """Refuse weights of other kinds of models by what they are; fill in norms that were folded."""
    if any(".attn.q." in name or name.endswith(".original_component.weight") for name in given):
        raise BundleError(
            "The names are those of a TransformerBridge (TransformerLens 3 and later). Give the "
            "state dict of a HookedTransformer, or open the Hugging Face model with cs.load_model."
        )
    norms = [name for name in given if name.split(".")[-2] in NORMS]
    if norms and config.normalization and not any(name.endswith(".b") for name in norms):
        raise BundleError(
            f"The norms have gains and no biases ({norms[0]}): RMSNorm is not supported here. Open "
            "the Hugging Face model with cs.load_model instead."
        )
    if config.normalization and not norms:  # folded into the weights behind them
        places = [f"blocks.{n}.{norm}" for n in range(config.n_layers) for norm in NORMS[:2]]
        for place in (*places, NORMS[2]):
            given[f"{place}.w"] = torch.ones(config.d_model, device="cpu", dtype=torch.float32)
            given[f"{place}.b"] = torch.zeros(config.d_model, device="cpu", dtype=torch.float32)


def _take_tied(given: dict[str, Tensor]) -> None:
    """Remove an unembedding that is the embedding, transposed."""
    tied, embedding = given.pop("unembed.W_U", None), given.get("embed.W_E")
    if tied is None or embedding is None:
        return
    one, other = tied.float(), embedding.T.float()
    rough = max(torch.finfo(part.dtype).eps for part in (tied, embedding))
    if one.shape != other.shape or not torch.allclose(one, other, rtol=2 * rough, atol=1e-8):
        raise BundleError("unembed.W_U is not embed.W_E transposed; set tied_embeddings=False.")


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
