"""The settings of a transcoder, and the words for where it reads and writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from circuitscope_core.config.base import JsonConfig, require, require_one_of, require_positive

ReadPoint = Literal["mid", "unit", "in", "pre"]
"""The place that features read: the stream that the MLP's norm reads (``mid``), the same normalised
without gain and bias (``unit``), the MLP's input behind both (``in``), or the stream before the
layer and its attention (``pre``)."""
WritePoint = Literal["added", "raw"]
"""The place that features write to: what a layer's MLP adds to the stream, behind the norm that
some families have there (``added``), or the MLP's own output (``raw``)."""
Activation = Literal["jump_relu", "topk", "topk_relu"]
"""The features that are active: those above their threshold; or the ``k`` with the largest
pre-activations of each token, whatever these are, or as far as they are above 0 (``topk_relu``)."""
FORMER_POINTS = {
    "mlp.hook_in": "in",
    "hook_resid_mid": "mid",
    "ln2.hook_normalized": "in",
    "mlp.hook_out": "added",
    "hook_mlp_out": "added",
}
"""Names that settings saved by earlier releases have for the same points."""


@dataclass(frozen=True)
class TranscoderConfig(JsonConfig):
    """Sizes and places of a cross-layer transcoder (CLT)."""

    n_layers: int = 3
    d_model: int = 96
    d_transcoder: int = 2048
    """Features in each layer."""
    read_point: ReadPoint = "in"
    write_point: WritePoint = "added"
    cross_layer: bool = True
    """False: features write to their own layer only (per-layer transcoders)."""
    skip_connection: bool = False
    """True: what a layer reads also goes to its MLP output through one matrix of weights."""
    activation: Activation = "jump_relu"
    k: int | None = None
    """Active features of each token and layer, where the activation is a top-k."""
    trained_layers: tuple[int, ...] | None = None
    """The layers that have features, rising; None: all. In every other layer all weights are 0: no
    feature is ever active, and the MLP's whole output is an error."""

    def __post_init__(self) -> None:
        require_positive(self, "n_layers", "d_model", "d_transcoder")
        require_one_of("read_point", self.read_point, get_args(ReadPoint))
        require_one_of("write_point", self.write_point, get_args(WritePoint))
        require_one_of("activation", self.activation, get_args(Activation))
        if self.activation == "jump_relu":
            require(self.k is None, f"k is {self.k}; a JumpReLU has none, so leave it out.")
        else:
            require(
                self.k is not None and 0 < self.k <= self.d_transcoder,
                f"k is {self.k}; {self.activation} needs a k from 1 to {self.d_transcoder}.",
            )
        chosen = self.trained_layers
        require(
            chosen is None
            or (bool(chosen) and list(chosen) == sorted(set(chosen) & set(range(self.n_layers)))),
            f"trained_layers is {chosen}; it must name layers from 0 to {self.n_layers - 1}, "
            "rising, each once.",
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TranscoderConfig":
        """Build the config from plain data, which may name its points as earlier releases did."""
        points: dict[str, Any] = {
            name: FORMER_POINTS.get(str(data[name]), data[name])
            for name in ("read_point", "write_point")
            if name in data
        }
        if isinstance(chosen := data.get("trained_layers"), list):  # JSON has no tuples
            points["trained_layers"] = tuple(chosen)
        return super().from_json({**data, **points})

    def has_features(self, layer: int) -> bool:
        """Return whether a layer has features that were trained."""
        return self.trained_layers is None or layer in self.trained_layers

    def count_parameters(self) -> int:
        """Count encoder, decoder, bias, threshold and skip parameters."""
        layers = self.n_layers
        writes = layers * (layers + 1) // 2 if self.cross_layer else layers
        encoder = layers * self.d_transcoder * (self.d_model + 2)
        skips = layers * self.d_model**2 if self.skip_connection else 0
        decoder = writes * self.d_transcoder * self.d_model
        return encoder + decoder + layers * self.d_model + skips
