"""Tiny random models of every family of Hugging Face models that can be opened."""

import pytest
import torch

transformers = pytest.importorskip("transformers")

SMALL = {"vocab_size": 97}
SIZES = SMALL | {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "max_position_embeddings": 64,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
WIDE_HEADS = GROUPED | {"head_dim": 16}
GPT = SMALL | {"n_positions": 64, "n_embd": 48, "n_layer": 3, "n_head": 4}
FALCON = SMALL | {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6}
SANDWICH = WIDE_HEADS | {"sliding_window": 5, "query_pre_attn_scalar": 16}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}


def rope(**more):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, **more}}


LLAMA3_ROPE = rope(
    rope_type="llama3",
    rope_theta=5e5,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
CONFIGURATIONS = {
    "GPT-2": ("GPT2Config", GPT),
    "Phi-2": ("PhiConfig", SIZES | {"qk_layernorm": True} | rope(partial_rotary_factor=0.5)),
    "GPT-J": ("GPTJConfig", GPT | {"rotary_dim": 4}),
    "LLaMA-2": ("LlamaConfig", SIZES),
    "LLaMA-3": (
        "LlamaConfig",
        GROUPED
        | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}
        | LLAMA3_ROPE,
    ),
    "Mistral": ("MistralConfig", GROUPED | {"sliding_window": 5}),
    "Mixtral": ("MixtralConfig", GROUPED | EXPERTS),
    "Falcon-7B": (
        "FalconConfig",
        FALCON | {"multi_query": True, "parallel_attn": True, "bias": False},
    ),
    "Falcon-40B": (
        "FalconConfig",
        FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": True},
    ),
    "Falcon-11B": (
        "FalconConfig",
        FALCON
        | {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": True}
        | {"num_ln_in_parallel_attn": 1},
    ),
    "Falcon-RW": (
        "FalconConfig",
        FALCON
        | {"num_attention_heads": 4, "multi_query": False, "parallel_attn": False}
        | {"alibi": True, "bias": True},
    ),
    "Pythia": ("GPTNeoXConfig", SIZES | rope(partial_rotary_factor=0.25)),
    "GPT-NeoX": ("GPTNeoXConfig", SIZES | {"use_parallel_residual": False}),
    "Gemma-2": (
        "Gemma2Config",
        SANDWICH | {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 2.0},
    ),
    "Gemma-3": (
        "Gemma3TextConfig",
        SANDWICH | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "Qwen2": ("Qwen2Config", GROUPED),
    "Qwen3": ("Qwen3Config", WIDE_HEADS),
    "SmolLM3": (
        "SmolLM3Config",
        GROUPED | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    ),
    "OLMo-2": ("Olmo2Config", GROUPED),
    "DistilBERT": (
        "DistilBertConfig",
        SMALL
        | {"dim": 48, "hidden_dim": 64, "n_layers": 3, "n_heads": 4}
        | {"max_position_embeddings": 64, "mask_token_id": 95},
    ),
    "GPT-OSS": ("GptOssConfig", WIDE_HEADS | EXPERTS | {"sliding_window": 5}),
}
"""Names of configuration classes and their arguments, by the models that are built so."""


def random_module(name, dtype=torch.float64, seed=0):
    """Return a random model of a configuration, as ``transformers`` builds it."""
    kind, sizes = CONFIGURATIONS[name]
    config = getattr(transformers, kind)(**sizes)
    config._attn_implementation = "eager"
    if "num_local_experts" in sizes:
        config._experts_implementation = "eager"  # the grouped kernels know no float64
    torch.manual_seed(seed)
    masked = "mask_token_id" in sizes
    auto = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    module = auto.from_config(config)
    return randomise(module, seed).to(dtype).eval()


def with_mask(model, token_ids, place=9):
    """Return token ids with the mask in one place, where a model is asked for a word there."""
    mask = model.shape.mask_id
    if mask is None:
        return list(token_ids)
    return [*token_ids[:place], mask, *token_ids[place + 1 :]]


@torch.no_grad()
def randomise(module, seed):
    """Give every weight a size that matters: gains differ from 1, biases from 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in module.named_parameters():
        drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        if weight.ndim == 1 and name.endswith("weight"):
            one = 0.0 if "gemma" in module.config.model_type else 1.0
            weight.copy_(one + 0.3 * drawn)
        elif weight.ndim == 1:
            weight.copy_(0.3 * drawn)
        elif any(part in name for part in ("embed", "wte", "wpe")):
            weight.copy_(0.7 * drawn)
        else:
            weight.copy_(1.2 * drawn / min(weight.shape[-2:]) ** 0.5)
    return module
