"""A compiled program as our own transformer, with the transcoder that its MLPs are."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from circuitscope_core.config import ModelConfig, TranscoderConfig
from circuitscope_core.errors import PromptError
from circuitscope_core.evals.known_circuits.program import CompiledProgram
from circuitscope_core.language_model import ModelShape
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transformer import Transformer

NO_THRESHOLD = 1e-30
"""A JumpReLU with so low a threshold is a ReLU."""


class ProgramTokenizer:
    """Tokens are words between spaces; the outputs are further tokens, which no input has."""

    def __init__(self, tokens: Sequence[str], outputs: Sequence[str], separator: str) -> None:
        self.texts = (*tokens, *(f"={value}" if value else "=number" for value in outputs))
        self.separator_id = self.texts.index(separator)
        self.d_vocab = len(self.texts)
        self._ids = {text: number for number, text in enumerate(self.texts)}

    def encode(self, text: str) -> list[int]:
        """Return the ids of words; each must be in the vocabulary.

        Raises:
            PromptError: Naming the first word that is not.
        """
        words = text.split()
        for word in words:
            if word not in self._ids:
                known = ", ".join(self.texts)
                raise PromptError(f"The program has no token {word!r}; it has {known}.")
        return [self._ids[word] for word in words]

    def decode(self, token_ids: list[int]) -> str:
        """Return the words."""
        return " ".join(self.texts[token_id] for token_id in token_ids)

    def token_text(self, token_id: int) -> str:
        """Return one word."""
        return self.texts[token_id]


class ProgramModel(Transformer):
    """A program as our transformer: the opening token is a token like any other.

    Other tokens read the values that a program computes there, and without a causal mask these
    hang on all other tokens. So it has features of its own, where a language model's opening is a
    constant.
    """

    @property
    def shape(self) -> ModelShape:
        """Sizes of the model."""
        return replace(super().shape, n_opening=0)


def program_tokenizer(program: CompiledProgram) -> ProgramTokenizer:
    """Return the tokenizer of a program: its inputs, then one token for each output value."""
    return ProgramTokenizer(program.tokens, program.output_values, program.separator)


def program_model(program: CompiledProgram) -> Transformer:
    """Return a program as our transformer.

    A logit is the number in the residual dimension of its output value; input tokens have the logit
    0, and output tokens the embedding 0.
    """
    weights = {name: torch.from_numpy(array) for name, array in program.weights.items()}
    n_outputs = len(program.output_values)
    W_U = torch.zeros(
        program.d_model, len(program.tokens) + n_outputs, device="cpu", dtype=torch.float32
    )
    for number, dimension in enumerate(program.output_dimensions):
        W_U[dimension, len(program.tokens) + number] = 1
    state = {
        "embed.W_E": torch.cat(
            [
                weights["W_E"],
                torch.zeros(n_outputs, program.d_model, device="cpu", dtype=torch.float32),
            ]
        ),
        "pos_embed.W_pos": weights["W_pos"],
        "unembed.W_U": W_U,
    }
    for layer in range(program.n_layers):
        for ours, theirs in (("W_Q", "Wq"), ("W_K", "Wk"), ("W_V", "Wv")):
            heads = weights[f"l{layer}.attn.{theirs}"].transpose(0, 1)
            state[f"blocks.{layer}.attn.{ours}"] = heads.contiguous()
        state[f"blocks.{layer}.attn.W_O"] = weights[f"l{layer}.attn.Wo"]
        state[f"blocks.{layer}.mlp.W_in"] = weights[f"l{layer}.mlp.W1"]
        state[f"blocks.{layer}.mlp.W_out"] = weights[f"l{layer}.mlp.W2"]
    config = ModelConfig(
        n_layers=program.n_layers,
        d_model=program.d_model,
        n_heads=program.n_heads,
        d_head=program.d_head,
        d_mlp=program.d_mlp,
        n_ctx=program.n_ctx,
        d_vocab=W_U.shape[1],
        activation="relu",
        normalization=None,
        positions="learned",
        tied_embeddings=False,
        causal=program.causal,
    )
    return ProgramModel.from_transformer_lens(state, config).requires_grad_(False)


def oracle_transcoder(program: CompiledProgram) -> CrossLayerTranscoder:
    """Return the transcoder without any error: features are the MLPs' own neurons.

    A ReLU MLP without biases writes a sum of neurons, each to its own layer.
    """
    config = TranscoderConfig(
        program.n_layers, program.d_model, d_transcoder=program.d_mlp, cross_layer=False
    )
    transcoder = CrossLayerTranscoder(config).requires_grad_(False)
    transcoder.log_threshold.fill_(NO_THRESHOLD).log_()
    for layer in range(program.n_layers):
        W_in = torch.from_numpy(program.weights[f"l{layer}.mlp.W1"])
        W_out = torch.from_numpy(program.weights[f"l{layer}.mlp.W2"])
        transcoder.W_enc[layer].copy_(W_in.T)
        transcoder.W_dec[layer].copy_(W_out[:, None])
    return transcoder


def oracle_replacement(program: CompiledProgram) -> ReplacementModel:
    """Return the program's model with the transcoder that has no error."""
    return ReplacementModel(
        program_model(program), oracle_transcoder(program), program_tokenizer(program)
    )


def program_outputs(program: CompiledProgram, model: Transformer, ids: Sequence[int]) -> list[str]:
    """Return what the model puts out at every position but the opening one, as text."""
    with torch.no_grad():
        logits = model(model.tokens(ids))[0, 1:, len(program.tokens) :]
    if program.numeric:
        return [f"{value:.6g}" for value in logits[:, 0].tolist()]
    return [program.output_values[index] for index in logits.argmax(dim=1).tolist()]
