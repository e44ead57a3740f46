"""Foreign names of read and write points, and what they mean in each layout.

TransformerLens' ``ln2.hook_normalized`` means two things. For models with LayerNorm it lies behind
gain and bias in TransformerLens 2 (the MLP's input, ``in``), and before them in TransformerLens 3
(``unit``); for models with RMSNorm, such as Gemma, Llama and Qwen, it lies before the gain in both
(``unit``). Here it is ``unit`` where the settings name a model of a family with RMSNorm, and ``in``
otherwise: in folders of ours, in those made with TransformerLens 2, and where no model is named. A
set that was made with TransformerLens 3, or with a norm whose gain was folded into the weights
(GPT-2's published set), needs ``load_transcoder(..., read_point="unit")``.

``mlp.hook_out`` is the MLP's own output (``raw``). Folders of ours from earlier releases wrote it
for what is added to the stream.
"""

import re
from pathlib import Path

from circuitscope_core.config import ReadPoint, WritePoint
from circuitscope_core.errors import BundleError
from circuitscope_core.transcoder_formats.found import Points

INPUT_HOOKS: dict[ReadPoint, str] = {
    "pre": "hook_resid_pre",
    "mid": "hook_resid_mid",
    "unit": "ln2.hook_normalized",
    "in": "mlp.hook_in",
}
OUTPUT_HOOKS: dict[WritePoint, str] = {"added": "hook_mlp_out", "raw": "mlp.hook_out"}
"""The names that our own folders give to the points, for readers such as circuit-tracer."""

NORMALIZED = "ln2.hook_normalized"
READS: dict[str, ReadPoint] = {
    "hook_resid_pre": "pre",
    "hook_resid_mid": "mid",
    "hook_mlp_in": "mid",  # before LN2, in spite of its name
    "mlp.hook_in": "in",
}
WRITES: dict[str, WritePoint] = {"hook_mlp_out": "added", "mlp.hook_out": "raw"}
MODULE_READS: dict[str, ReadPoint] = {
    "input_layernorm.input": "pre",
    "pre_feedforward_layernorm.input": "mid",
    "pre_feedforward_layernorm.output": "in",
    "mlp.input": "in",
}
MODULE_WRITES: dict[str, WritePoint] = {
    "post_feedforward_layernorm.output": "added",
    "mlp.output": "raw",
}
RMS_FAMILIES = re.compile(
    r"gemma|llama|qwen|mistral|mixtral|olmo-?2|gpt-?oss|smollm|deepseek|phi-?3", re.IGNORECASE
)
"""Names of models whose norms are RMSNorm."""


def lens_points(read: object, write: object, model_name: object, path: Path) -> Points:
    """Return the points that names of TransformerLens hooks stand for, ``blocks.3.`` aside.

    Args:
        read: The hook that encoders read.
        write: The hook that decoders write to.
        model_name: The model that the settings name, which decides what ``ln2.hook_normalized``
            is; None where they name none.
        path: The settings' file, for messages.

    Raises:
        BundleError: If a hook is none of those known.
    """
    hook = re.sub(r"^blocks\.(\d+|\{layer\})\.", "", str(read))
    if hook == NORMALIZED:
        is_rms = RMS_FAMILIES.search(str(model_name)) is not None
        return Points("unit" if is_rms else "in", _write_of(write, path))
    if hook not in READS:
        raise BundleError(
            f"{path}: the transcoder reads {read!r}. Points that can be read are "
            f"{', '.join([*READS, NORMALIZED])}; a transcoder of another place cannot stand in for "
            "MLPs. If it is one of them under another name, give read_point to load_transcoder."
        )
    return Points(READS[hook], _write_of(write, path))


def _write_of(hook: object, path: Path) -> WritePoint:
    name = re.sub(r"^blocks\.(\d+|\{layer\})\.", "", str(hook))
    if name not in WRITES:
        raise BundleError(
            f"{path}: the transcoder writes to {hook!r}. Points that can be written to are "
            f"{', '.join(WRITES)}; a transcoder of another place cannot stand in for MLPs."
        )
    return WRITES[name]


def module_points(read: object, write: object, path: Path) -> Points:
    """Return the points that inputs and outputs of a Hugging Face model's modules stand for.

    Raises:
        BundleError: If they are none of an MLP's.
    """
    names = [re.sub(r"^.*layers\.\d+\.", "", str(name)) for name in (read, write)]
    if names[0] not in MODULE_READS or names[1] not in MODULE_WRITES:
        raise BundleError(
            f"{path}: the transcoder reads {read!r} and writes to {write!r}. It must read one of "
            f"{', '.join(MODULE_READS)} and write to one of {', '.join(MODULE_WRITES)}; an "
            "autoencoder, or a transcoder of another place, cannot stand in for MLPs."
        )
    return Points(MODULE_READS[names[0]], MODULE_WRITES[names[1]])
