"""The model that transcoders are trained for: named at first, opened where the work is done."""

from dataclasses import dataclass, field
from pathlib import Path

from circuitscope_core.bundle import is_entry, read_entry
from circuitscope_core.errors import TrainingError
from circuitscope_core.pretrained import PretrainedModel, load_model
from circuitscope_core.tokenizer import TokenIds


@dataclass(frozen=True)
class PlannedModel:
    """A Hugging Face model by its place, or one that is open already."""

    source: str
    """A folder as an absolute path, or ``owner/name`` on the hub."""
    device: str | None = None
    """The device, for example ``cuda``; None: the processor."""
    dtype: str | None = None
    """None: float32 below a billion parameters, bfloat16 above."""
    loaded: PretrainedModel | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        model: str | Path | PretrainedModel,
        device: str | None = None,
        dtype: str | None = None,
    ) -> "PlannedModel":
        """Return the model that a person named.

        Args:
            model: A folder, ``owner/name``, the entry of a model that was added, or an open model.
            device: As for ``load_model``; an open model stays where it is.
            dtype: Likewise.

        Raises:
            TrainingError: If an open model came from no folder, which a bundle has to name.
            BundleError: If an entry's weights are gone.
        """
        if isinstance(model, PretrainedModel):
            if model.folder is None:
                raise TrainingError(
                    "The model is in memory only, and the result has to name its folder. Save it "
                    "with save_pretrained(folder) and open it with load_model(folder)."
                )
            own = str(model.weight_dtype).removeprefix("torch.")
            return cls(str(model.folder.resolve()), str(model.tokens([0]).device), own, model)
        folder = Path(model)
        if is_entry(folder):
            entry = read_entry(folder)
            return cls(str(entry.weights_folder()), device, dtype or entry.dtype)
        return cls(str(folder.resolve()) if folder.is_dir() else str(model), device, dtype)

    def place(self) -> dict[str, str | None]:
        """Return what another process needs to open the same model."""
        return {"source": self.source, "device": self.device, "dtype": self.dtype}

    def open(self) -> PretrainedModel:
        """Return the model, opened if it is not yet.

        Raises:
            ModelError: If it cannot be opened.
            TrainingError: If it has no tokenizer, or finds words in a mask's place.
        """
        model = self.loaded or load_model(self.source, device=self.device, dtype=self.dtype)
        if isinstance(model.tokenizer, TokenIds):
            raise TrainingError(
                f"The model in {self.source} has no tokenizer.json, and text cannot be turned into "
                "its tokens. Put the model's tokenizer.json into its folder."
            )
        if model.shape.mask_id is not None:
            raise TrainingError(
                f"The model in {self.source} finds words in a mask's place. Transcoders are "
                "trained here for models that go on with a text."
            )
        return model
