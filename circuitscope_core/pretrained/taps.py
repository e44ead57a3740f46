"""Taps in a Hugging Face model: they record a pass and edit it, and are not there otherwise.

A tap takes the place of a module's ``forward``. Unless its thread runs a tapped pass just then, it
calls the module's own, so that the model stays the one it was for everybody else.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from circuitscope_core.config import WritePoint
from circuitscope_core.errors import ModelError
from circuitscope_core.language_model import EditMlp, MlpCall, MlpSite, NormMap
from circuitscope_core.pretrained.families import Family
from circuitscope_core.pretrained.modules import part

RunMlp: TypeAlias = Callable[[int, Tensor], Tensor]
"""Runs a layer's MLP, as far as the write point, on rows of its input."""
MeasureNorm: TypeAlias = Callable[[int, Tensor], NormMap | None]
"""Measures the norm before a layer's MLP on the stream that it reads."""


@dataclass
class TappedPass:
    """One pass of the model: what is changed in it, and what was seen.

    All that was seen is in ``dtype``, whatever the model computes in.
    """

    dtype: torch.dtype
    run_mlp: RunMlp
    measure_norm: MeasureNorm
    write_point: WritePoint = "added"
    edit_mlp: EditMlp | None = None
    embed_change: Tensor | None = None
    stream: Tensor | None = None
    """Replaces the stream before ``first_layer``; the layers below do not run."""
    first_layer: int = 0
    start: int = 0
    """Edits see the positions from here on; to the left of it MLPs give what ``left`` holds."""
    left: tuple[Tensor, ...] = ()
    """Each layer's MLP output left of ``start``, ``[start, d_model]``."""
    layers: frozenset[int] | None = None
    """The layers that are recorded, those above the highest of which do not run; None: all."""

    embedded: Tensor | None = None
    """The output of the token embedding."""
    summed: Tensor | None = None
    """The sum of all embeddings, which a norm reads; None where the first stream is that sum."""
    first_stream: Tensor | None = None
    """The stream before layer 0, before ``embed_change`` is added."""
    last_stream: Tensor | None = None
    """The stream after the last layer."""
    patterns: dict[int, Tensor] = field(default_factory=dict)
    streams: dict[int, Tensor] = field(default_factory=dict)
    """The stream before each layer."""
    sources: dict[int, Tensor] = field(default_factory=dict)
    """The stream that each MLP's norm reads."""
    inputs: dict[int, Tensor] = field(default_factory=dict)
    """Each MLP's input."""
    outputs: dict[int, Tensor] = field(default_factory=dict)
    """Each layer's MLP output at the write point."""
    calls: dict[int, "Call"] = field(default_factory=dict)
    """Each layer's attention, as the model called it."""

    def records(self, number: int) -> bool:
        """Return whether a layer is recorded."""
        return self.layers is None or number in self.layers

    def runs(self, number: int) -> bool:
        """Return whether a layer runs."""
        return number >= self.first_layer and (self.layers is None or number <= max(self.layers))

    def at_home(self, value: Tensor) -> Tensor:
        """Return what was seen on the device of the embeddings: layers may lie on several."""
        return value if self.embedded is None else value.to(self.embedded.device)

    @property
    def sites(self) -> tuple[MlpSite, ...]:
        """Every layer's MLP inputs and output."""
        outputs = {number: self.at_home(out) for number, out in self.outputs.items()}
        return tuple(
            MlpSite(number, source, read, outputs[number], resid_pre=before, norm=norm)
            for number in self.inputs
            for source, read, before, norm in (self.around(number),)
        )

    def around(
        self, number: int, seen: slice = slice(None)
    ) -> tuple[Tensor, Tensor, Tensor, NormMap | None]:
        """Return source, input and stream before of a layer's MLP, and its norm, at positions."""
        source, read, before = (
            self.at_home(part[number][:, seen])
            for part in (self.sources, self.inputs, self.streams)
        )
        return source, read, before, self.measure_norm(number, source)

    def first_parts(self) -> tuple[Tensor, Tensor]:
        """Return each token's part of the first stream, and the constant part of it.

        Both are in front of the norm over embeddings, where the model has one.
        """
        whole = self.first_stream if self.summed is None else self.summed
        assert self.embedded is not None
        assert whole is not None
        return self.embedded, (self.at_home(whole) - self.embedded)[0]

    def edited(self, number: int) -> Tensor:
        """Return what the edit puts in place of an MLP's output, at all positions."""
        assert self.edit_mlp is not None
        source, read, before, norm = self.around(number, slice(self.start, None))
        end, run = self.start + read.shape[1], partial(self.run_mlp, number)
        rows = torch.arange(self.start, end, device=read.device) if self.start else None
        call = MlpCall(number, source, read, run, rows, resid_pre=before, norm=norm)
        answer = self.edit_mlp(call)
        if not self.start:
            return answer
        return torch.cat([self.left[number].expand(len(answer), -1, -1), answer], dim=1)


@dataclass(frozen=True)
class Call:
    """A call of a tapped module, which has not run yet."""

    own: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def input(self) -> Tensor:
        """The first argument, which families give by position or by a name of their own."""
        value = self.args[0] if self.args else next(iter(self.kwargs.values()))
        assert isinstance(value, Tensor)
        return value

    def run(self, value: Tensor | None = None) -> Any:
        """Run the module, on another first argument where one is given."""
        if value is None:
            return self.own(*self.args, **self.kwargs)
        if self.args:
            return self.own(value, *self.args[1:], **self.kwargs)
        return self.own(**{**self.kwargs, next(iter(self.kwargs)): value})


def first_output(out: Any) -> Tensor:
    """Return a module's output, which some families give as the first part of a tuple."""
    value = out[0] if isinstance(out, tuple) else out
    assert isinstance(value, Tensor)
    return value


class Taps:
    """The taps of one model."""

    def __init__(self, module: Any, family: Family) -> None:
        self._now = threading.local()
        self._n_more: dict[str, int] = {}
        """How many outputs a kind of module gives beside the first, in a tuple."""
        self.layers = list(part(module, family.layers).children())
        self._tap(module.get_input_embeddings(), self._around_embedding)
        if family.embedding_norm is not None:
            self._tap(part(module, family.embedding_norm), self._around_embedding_norm)
        for number, layer in enumerate(self.layers):
            self._tap(layer, self._around_layer, number)
            self._tap(part(layer, family.attention), self._around_attention, number)
            if family.read_norm is not None:
                self._tap(part(layer, family.read_norm), self._around_read_norm, number)
            around = self._around_mlp if family.write_norm is None else self._around_normed_mlp
            self._tap(part(layer, family.mlp), around, number)
            if family.write_norm is not None:
                self._tap(part(layer, family.write_norm), self._around_write_norm, number)

    @contextlib.contextmanager
    def recording(self, run: TappedPass | None) -> Iterator[None]:
        """Let this thread's taps record and edit passes inside the block; with None they rest."""
        before = getattr(self._now, "run", None)
        self._now.run = run
        try:
            yield
        finally:
            self._now.run = before

    def _tap(self, module: nn.Module, around: Callable[..., Any], number: int = 0) -> None:
        own = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            run = getattr(self._now, "run", None)
            if run is None:
                return own(*args, **kwargs)
            return around(run, Call(own, args, kwargs), number)

        module.forward = forward

    def _remember(self, kind: str, out: Any) -> None:
        self._n_more[kind] = len(out) - 1 if isinstance(out, tuple) else 0

    def _in_form(self, kind: str, value: Tensor) -> Any:
        """Return an output in the form that a kind of module gives it in."""
        n_more = self._n_more.get(kind, 0)
        return (value, *[None] * n_more) if n_more else value

    def _around_embedding(self, run: TappedPass, call: Call, _: int) -> Any:
        out = call.run()
        run.embedded = out.to(run.dtype, copy=True)
        return out

    def _around_embedding_norm(self, run: TappedPass, call: Call, _: int) -> Any:
        run.summed = call.input.to(run.dtype, copy=True)
        return call.run()

    def _around_layer(self, run: TappedPass, call: Call, number: int) -> Any:
        stream = call.input
        if not run.runs(number):
            return self._in_form("layer", stream)
        if number == run.first_layer and run.stream is not None:
            stream = run.stream.to(stream)
        if number == 0:
            run.first_stream = stream.to(run.dtype, copy=True)
            if run.embed_change is not None:
                stream = stream + run.embed_change.to(stream)
        if run.records(number):
            run.streams[number] = stream.to(run.dtype, copy=True)
        out = call.run(stream)
        self._remember("layer", out)
        if number + 1 == len(self.layers):
            run.last_stream = run.at_home(first_output(out).to(run.dtype, copy=True))
        return out

    def _around_attention(self, run: TappedPass, call: Call, number: int) -> Any:
        if not run.records(number):
            return call.run()
        run.calls[number] = call
        out = call.run()
        pattern = out[1] if isinstance(out, tuple) and len(out) > 1 else None
        if pattern is None:
            raise ModelError(
                'The model\'s attention gives no pattern; load it with attn_implementation="eager".'
            )
        run.patterns[number] = pattern.to(run.dtype)
        return out

    def _around_read_norm(self, run: TappedPass, call: Call, number: int) -> Any:
        if run.records(number):
            run.sources[number] = call.input.to(run.dtype, copy=True)
        return call.run()

    def _around_mlp(self, run: TappedPass, call: Call, number: int) -> Any:
        if not run.records(number):
            return call.run()
        read = run.inputs[number] = call.input.to(run.dtype, copy=True)
        run.sources.setdefault(number, read)
        if run.edit_mlp is None:
            out = call.run()
            self._remember("mlp", out)
            # copied, since Falcon adds what attention wrote into it
            run.outputs[number] = first_output(out).to(run.dtype, copy=True)
            return out
        run.outputs[number] = run.edited(number)
        return self._in_form("mlp", run.outputs[number].to(call.input, copy=True))

    def _around_normed_mlp(self, run: TappedPass, call: Call, number: int) -> Any:
        """An MLP with a norm behind it, where its output is read unless it is read raw."""
        if run.write_point == "raw" or not run.records(number):
            return self._around_mlp(run, call, number)
        read = run.inputs[number] = call.input.to(run.dtype, copy=True)
        run.sources.setdefault(number, read)
        return call.input if run.edit_mlp is not None else call.run()

    def _around_write_norm(self, run: TappedPass, call: Call, number: int) -> Any:
        if run.write_point == "raw" or not run.records(number):
            return call.run()
        out = call.run() if run.edit_mlp is None else run.edited(number).to(call.input)
        run.outputs[number] = out.to(run.dtype, copy=True)
        return out
