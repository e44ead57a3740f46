"""A model with its transcoder: what attribution explains, and the model with its MLPs replaced."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.errors import ConfigError
from circuitscope_core.tokenizer import Tokenizer
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transformer import MlpSite, Transformer


@dataclass(frozen=True)
class ReplacementModel:
    """A model, the transcoder that stands in for its MLPs, and the tokenizer.

    Raises:
        ConfigError: If the sizes of the three do not fit together.
    """

    model: Transformer
    transcoder: CrossLayerTranscoder
    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        for name in ("n_layers", "d_model"):
            ours = getattr(self.transcoder.config, name)
            theirs = getattr(self.model.config, name)
            if ours != theirs:
                raise ConfigError(
                    f"The transcoder's {name} is {ours} and the model's {theirs}; "
                    "use a transcoder trained on this model."
                )
        if self.tokenizer.d_vocab != self.model.config.d_vocab:
            raise ConfigError(
                f"The tokenizer has {self.tokenizer.d_vocab} tokens and the model "
                f"{self.model.config.d_vocab}; use the tokenizer that the model was trained with."
            )


def run_replacement(
    model: Transformer, transcoder: CrossLayerTranscoder, token_ids: Int[Tensor, "batch n_pos"]
) -> Float[Tensor, "batch n_pos d_vocab"]:
    """Return logits with every MLP replaced by the transcoder, on its own stream, nothing frozen.

    Position 0 keeps its MLP outputs: it holds the separator, whose features are not explained.
    """
    written: list[Tensor] = []

    def replace_mlp(site: MlpSite) -> Tensor:
        read = site.read(transcoder.config.read_point)
        written.append(transcoder.write(site.layer, transcoder.encode(site.layer, read)))
        out = transcoder.b_dec[site.layer] + transcoder.skip(site.layer, read)
        for layer, writes in enumerate(written):
            if site.layer - layer < writes.shape[-2]:
                out += writes[..., site.layer - layer, :]
        out[:, 0] = site.mlp_out[:, 0]
        return out

    with torch.no_grad():
        return model.logits_after(model.mlp_sites(token_ids, replace_mlp))


def run_mean_ablated(
    model: Transformer,
    mean_mlp_out: Float[Tensor, "n_layers d_model"],
    token_ids: Int[Tensor, "batch n_pos"],
) -> Float[Tensor, "batch n_pos d_vocab"]:
    """Return logits with every MLP output replaced by its mean, position 0 aside."""

    def replace_mlp(site: MlpSite) -> Tensor:
        out = mean_mlp_out[site.layer].expand_as(site.mlp_out).clone()
        out[:, 0] = site.mlp_out[:, 0]
        return out

    with torch.no_grad():
        return model.logits_after(model.mlp_sites(token_ids, replace_mlp))
