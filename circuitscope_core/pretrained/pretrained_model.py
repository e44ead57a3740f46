"""A Hugging Face language model behind the engine's protocol."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from circuitscope_core.config import ReadPoint, WritePoint
from circuitscope_core.errors import ModelError, PromptError
from circuitscope_core.language_model import (
    Compute,
    EditMlp,
    FinalNorm,
    Frozen,
    HeadSide,
    MlpNeurons,
    MlpPass,
    ModelShape,
    NormMap,
    Record,
    apply_norm,
    norm_before,
    through_norm,
)
from circuitscope_core.pretrained.asked_mlps import AskedMlps
from circuitscope_core.pretrained.attention import use_own_attention, watch_head_norms
from circuitscope_core.pretrained.families import family_of, mask_of, weights_as
from circuitscope_core.pretrained.modules import part
from circuitscope_core.pretrained.passes import (
    FrozenParts,
    LayerNorms,
    LayerParts,
    Suffix,
    edited_or_run,
    final_weights,
    given,
    layer_norms,
    norm_at_home,
    run_frozen_suffix,
    run_layer,
)
from circuitscope_core.pretrained.queries import AskedHead, read_head
from circuitscope_core.pretrained.taps import TappedPass, Taps, first_output
from circuitscope_core.pretrained.unembedding import Unembedding
from circuitscope_core.tokenizer import TokenIds, Tokenizer

KIND = "huggingface"
"""The word for these models in a bundle's record."""


class PretrainedModel(AskedMlps):
    """A language model of ``transformers``, in memory, as the engine sees it.

    The model itself runs the pass; taps record attention patterns and MLP outputs. The stream is
    put together from these in float32 (float64 for a model in double precision), so that rows of a
    graph add up whatever precision the model computes in.

    Args:
        module: A causal or masked language model of a family in the table. A masked one is asked
            for the token in the place of its mask: the tokenizer's, or ``mask_token_id`` of the
            module's configuration.
        tokenizer: Turns text into the model's tokens; without one, prompts are token ids.
        n_opening: Tokens that open every text. They are constants of a graph; 0 for a model
            without such a token. The token that closes a masked model's texts is no constant: its
            features and errors are nodes as at any other position.

    Raises:
        ModelError: If the family is not in the table, or the model is not what the table says.
    """

    def __init__(
        self, module: nn.Module, *, tokenizer: Tokenizer | None = None, n_opening: int = 1
    ) -> None:
        self.module: Any = module.eval()  # its methods are those of transformers
        self.config: Any = module.config
        self.n_opening = n_opening
        self.family = family_of(self.config)
        self._layers = list(part(module, self.family.layers).children())
        self._unembedding = Unembedding(module)
        width, home = self._embedding.shape[1], self.home
        self._devices = [next(layer.parameters()).device for layer in self._layers]
        self.write_point: WritePoint = "added"
        """The place where MLP outputs are recorded and edited; see ``writing_at``."""
        own = (self.family, width, home)
        self._all_norms = tuple(layer_norms(layer, *own) for layer in self._layers)
        self._final_norm = final_weights(module, *own)
        path = self.family.embedding_norm
        self._embedding_norm = norm_at_home(module, path, width, home) if path else None
        attention = [part(layer, self.family.attention) for layer in self._layers]
        self.shows_queries = use_own_attention(module, attention[0])
        """True where ``head_reads`` can be asked: the family's attention shows its queries."""
        self._taps = Taps(module, self.family)
        for each in attention:
            watch_head_norms(each, self.dtype)
        self.tokenizer = tokenizer or TokenIds(self._unembedding.d_vocab)
        self._mask_id = mask_of(self.config, tokenizer) if self.family.masked else None
        self.folder: Path | None = None
        """The folder that the model was read from; None for one that came from memory."""
        torch.no_grad()(self._run)(self.tokens([0]))  # shows the form that outputs come in

    def writing_at(self, write_point: WritePoint) -> "PretrainedModel":
        """Return the same model with MLP outputs recorded and edited at another place."""
        if write_point == self.write_point or self.family.write_norm is None:
            return self
        view = copy(self)
        view.write_point = write_point
        return view

    @property
    def _norms(self) -> tuple[LayerNorms, ...]:
        """Every layer's norms; one behind an MLP is part of it unless outputs are read raw."""
        if self.write_point == "raw":
            return self._all_norms
        return tuple(replace(norms, write_norm=None) for norms in self._all_norms)

    def neurons(self, layer: int) -> MlpNeurons:
        """Return a layer's neurons."""
        own = self.family.neurons(part(self._layers[layer], self.family.mlp))
        return own.to(self._embedding.device)

    def __repr__(self) -> str:
        sizes = f"{len(self._layers)} layers, {self.n_parameters:,} parameters"
        return f"PretrainedModel({self.config.model_type}, {sizes})"

    @property
    def _embedding(self) -> Tensor:
        weight: Tensor = self.module.get_input_embeddings().weight
        return weight.detach()

    @property
    def dtype(self) -> torch.dtype:
        """The precision of records: float32, or float64 for a model in double precision."""
        return torch.float64 if self.weight_dtype == torch.float64 else torch.float32

    @property
    def weight_dtype(self) -> torch.dtype:
        """The precision of the weights, in which the model computes."""
        return self._embedding.dtype

    @property
    def home(self) -> Compute:
        """The device and precision of records; layers may lie on other devices."""
        return Compute(self._embedding.device, self.dtype)

    @property
    def n_parameters(self) -> int:
        """Number of weights; tied ones count once."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def describe(self) -> dict[str, Any]:
        """Return the model's family and sizes as plain values."""
        return {"kind": KIND, "family": str(self.config.model_type), **vars(self.shape)}

    @property
    def shape(self) -> ModelShape:
        """Sizes of the model."""
        return ModelShape(
            n_layers=len(self._layers),
            d_model=self._embedding.shape[1],
            n_heads=self.config.num_attention_heads,
            d_vocab=self._unembedding.d_vocab,
            n_ctx=self.config.max_position_embeddings,
            n_opening=self.n_opening,
            logit_cap=getattr(self.config, "final_logit_softcapping", None),
            causal=not self.family.masked,
            mask_id=self._mask_id,
        )

    def __call__(
        self, token_ids: Int[Tensor, "batch n_pos"]
    ) -> Float[Tensor, "batch n_pos d_vocab"]:
        """Return the model's own logits, soft caps included."""
        self._check(token_ids)
        logits: Tensor = self.module(input_ids=token_ids, **self._no_cache).logits
        return logits.to(self.dtype)

    @property
    def _no_cache(self) -> dict[str, bool]:
        """The argument that turns a model's cache of keys and values off; masked ones have none."""
        return {} if self.family.masked else {"use_cache": False}

    def tokens(self, token_ids: Sequence[int]) -> Int[Tensor, "1 n_pos"]:
        """Return one sequence of token ids on the model's device."""
        return torch.tensor([list(token_ids)], device=self._embedding.device)

    def token_vectors(self, token_ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_model"]:
        """Return what each token adds to the first stream, before a norm over the sum."""
        vectors: Tensor = self.module.get_input_embeddings()(token_ids)
        return vectors.detach().to(self.dtype)

    def unembedding(
        self, token_ids: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, " n"]]:
        """Return the directions and biases of some tokens' logits, before a soft cap."""
        return self._unembedding.of(token_ids)

    def mean_unembedding(self) -> tuple[Float[Tensor, " d_model"], Float[Tensor, ""]]:
        """Return the direction and bias of the mean of all logits."""
        return self._unembedding.mean

    def logits_of(self, final: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_vocab"]:
        """Return logits of the final norm's output, before a soft cap."""
        return self._unembedding.logits(final)

    def _check(self, token_ids: Tensor) -> None:
        n_pos, n_ctx = token_ids.shape[-1], self.shape.n_ctx
        if not 0 < n_pos <= n_ctx:
            raise PromptError(f"The input has {n_pos} tokens; give 1 to {n_ctx}.")

    def layer_parts(self, number: int) -> LayerParts:
        """Return a layer's weights, norms and MLP under the names of the engine."""
        attention = part(self._layers[number], self.family.attention)
        weights = weights_as(self.family.split(attention, self.config), self.home)
        run_mlp = partial(self._run_mlp, number)
        return LayerParts(number, weights, self._norms[number], self.family.parallel, run_mlp)

    def _run(self, token_ids: Tensor, **changes: Any) -> TappedPass:
        """Run the layers, and return what the taps saw."""
        self._check(token_ids)
        run = TappedPass(self.dtype, self._run_mlp, self._read_norm_on, self.write_point, **changes)
        with self._taps.recording(run):
            self.module.base_model(input_ids=token_ids, **self._no_cache)
        return run

    def _read_norm_on(self, number: int, source: Tensor) -> NormMap | None:
        """Return the norm before an MLP with the denominators that it has on a stream."""
        norm = self._norms[number].read_norm
        return None if norm is None else norm.measure(source)

    def _run_mlp(self, number: int, read: Tensor) -> Tensor:
        """Return an MLP's output at the write point, from rows of its input."""
        layer, family = self._layers[number], self.family
        place = (self._devices[number], self.weight_dtype)
        rows = read.to(*place).contiguous()  # GPT-2 views its input
        rows = rows if rows.ndim == 3 else rows.reshape(1, -1, rows.shape[-1])
        with self._taps.recording(None):
            out = first_output(part(layer, family.mlp)(rows))
            if family.write_norm is not None and self.write_point == "added":
                out = part(layer, family.write_norm)(out)
        return out.to(read.device, self.dtype).reshape(read.shape)

    def record(
        self,
        token_ids: Int[Tensor, "batch n_pos"],
        *,
        edit_mlp: EditMlp | None = None,
        embed_change: Float[Tensor, "batch n_pos d_model"] | None = None,
        clean: Record | None = None,
        frozen: Frozen = "norms",
    ) -> Record:
        """Run the model and keep all that the engine needs; see ``LanguageModel.record``.

        Where patterns are frozen, nothing of the model but its MLPs has to run.
        """
        parts = FrozenParts.of(clean, frozen)
        if parts.clean is not None:
            embedding_norm, positions = parts.clean.embedding_norm, parts.clean.position_vectors
            vectors = through_norm(embedding_norm, self.token_vectors(token_ids))
            patterns = [layer.pattern for layer in parts.clean.layers]
            answers = [edited_or_run(edit_mlp)] * len(self._layers)
        else:
            run = self._run(token_ids, edit_mlp=edit_mlp, embed_change=embed_change)
            vectors, positions, embedding_norm = self._normed(*run.first_parts())
            patterns = [run.at_home(run.patterns[n]) for n in range(len(self._layers))]
            answers = [given(run.at_home(run.outputs[n])) for n in range(len(self._layers))]
        stream = vectors + positions
        stream = stream if embed_change is None else stream + embed_change
        streams, layers = [stream], []
        for number, (pattern, answer) in enumerate(zip(patterns, answers, strict=True)):
            layer, stream = run_layer(self.layer_parts(number), stream, pattern, parts, answer)
            layers.append(layer)
            streams.append(stream)
        norm = parts.final_norm(self._final_norm, stream)
        final = apply_norm(norm, stream)
        return Record(
            token_ids=token_ids,
            token_vectors=vectors,
            position_vectors=positions,
            layers=tuple(layers),
            streams=tuple(streams),
            final_norm=norm,
            final=final,
            logits=self.logits_of(final),
            causal=not self.family.masked,
            embedding_norm=embedding_norm,
        )

    def _normed(self, embedded: Tensor, constant: Tensor) -> tuple[Tensor, Tensor, NormMap | None]:
        """Return the two parts of the first stream behind the norm over their sum, and the norm."""
        if self._embedding_norm is None:
            return embedded, constant, None
        norm = self._embedding_norm.measure(embedded + constant)
        return norm.through(embedded), norm.apply(constant.expand_as(embedded)), norm

    def first_parts(self, token_ids: Int[Tensor, "batch n_pos"]) -> tuple[Tensor, Tensor]:
        """Return the tokens' part of the first stream and the constant one, before a norm on it."""
        return self._run(token_ids).first_parts()

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
        """Return logits of the position asked; see ``LanguageModel.run_suffix``."""
        asked = self.shape.asked(clean.token_ids.reshape(-1))
        suffix = Suffix(clean, stream, first_layer, start, asked)
        parts = FrozenParts.of(clean, frozen)
        if parts.clean is not None:
            layers = [self.layer_parts(number) for number in range(len(self._layers))]
            last = run_frozen_suffix(layers, suffix, parts, edited_or_run(edit_mlp))
        elif first_layer == len(self._layers):
            last = suffix.of_asked
        else:
            last = self._run_layers_from(suffix, edit_mlp)[:, asked : asked + 1]
        norm = parts.final_norm(self._final_norm, last, asked)
        return self.logits_of(apply_norm(norm, last)[:, 0])

    def _run_layers_from(self, suffix: Suffix, edit_mlp: EditMlp | None) -> Tensor:
        """Return the stream after the model's own last layer, from a stream in the middle."""
        clean, batch = suffix.clean, len(suffix.stream)
        ids = clean.token_ids.reshape(1, -1).expand(batch, -1)
        run = self._run(
            ids,
            edit_mlp=edit_mlp,
            stream=suffix.whole,
            first_layer=suffix.first_layer,
            start=suffix.start,
            left=tuple(
                site.mlp_out.reshape(clean.n_pos, -1)[: suffix.start] for site in clean.sites
            ),
        )
        assert run.last_stream is not None
        return run.last_stream

    def mlp_pass(
        self, token_ids: Int[Tensor, "batch n_pos"], edit_mlp: EditMlp | None = None
    ) -> MlpPass:
        """Return every layer's MLP inputs and output, without the algebra's weights: fast."""
        run = self._run(token_ids, edit_mlp=edit_mlp)
        assert run.last_stream is not None
        return MlpPass(run.sites, run.last_stream)

    def logits_after(self, done: MlpPass) -> Float[Tensor, "batch n_pos d_vocab"]:
        """Return the logits that follow what ``mlp_pass`` returned."""
        return self.logits_of(self._final_norm.measure(done.stream).apply(done.stream))

    def run_mlp(
        self, clean: Record, layer: int, read: Float[Tensor, "n_pos d_model"], read_point: ReadPoint
    ) -> Float[Tensor, "n_pos d_model"]:
        """Return an MLP's output from its read point, denominators as in a pass."""
        site = clean.sequence().sites[layer]
        return self._run_mlp(layer, site.mlp_in_from(read, read_point))

    def read_norm(self, layer: int, read_point: ReadPoint) -> NormMap | None:
        """Return the norm between the stream and a read point, its denominator taken as 1."""
        norm = self._norms[layer].read_norm
        return None if norm is None else norm_before(norm.unit(), read_point)

    def final_norm(self) -> FinalNorm | None:
        """Return the norm before the unembedding, its denominator and gates taken as 1."""
        return self._final_norm.unit()

    def head_reads(
        self, clean: Record, layer: int, head: int, position: int, side: HeadSide
    ) -> tuple[Float[Tensor, "d_head d_model"], Float[Tensor, " d_head"]]:
        """Return what makes one head's query or key; see ``LanguageModel.head_reads``.

        The family's own attention is asked, so rotary positions and norms of queries and keys are
        in the directions, and a scale of scores that is not the usual one is in the query's.

        Raises:
            ModelError: If the family's attention does not show its queries and keys.
        """
        if not self.shows_queries:
            raise ModelError(
                f"Why a head attended cannot be said of {self.config.model_type} models: their "
                "attention does not show its queries and keys."
            )
        whole = clean.streams[layer].reshape(1, clean.n_pos, -1)
        ids = clean.token_ids.reshape(1, -1)
        with torch.no_grad():
            run = self._run(ids, stream=whole, first_layer=layer)
        asked = AskedHead(layer, head, self.shape.n_heads, position, side)
        return read_head(clean, run.calls[layer], asked, self.weight_dtype)
