"""The figures that pages, pictures and tables show: name, format and meaning, each written once."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from circuitscope_core.skills import SKILLS


@dataclass(frozen=True)
class Figure:
    """A measured number as people read it."""

    name: str
    form: str
    """The format of its value, for ``str.format``."""
    meaning: str
    """The quantity that it measures, in one sentence."""

    def write(self, value: float) -> str:
        """Return a value as text."""
        return self.form.format(value)


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "loss": Figure(
            "Training loss",
            "{:.3f}",
            "The loss of the batches that are trained on; a language model's in bits a byte.",
        ),
        "causal_loss": Figure(
            "Loss on interventions",
            "{:.3f}",
            "Part of the loss that compares the transcoder's answers with the MLPs' own where "
            "features are removed.",
        ),
        "validation_loss": Figure(
            "Held-out loss",
            "{:.3f}",
            "Cross-entropy of the next token in bits a byte, on text that the model was not "
            "trained on.",
        ),
        "l0": Figure("L0", "{:.1f}", "Features active for one token, in one layer."),
        "normalized_mse": Figure(
            "Normalised MSE",
            "{:.4f}",
            "Share of the MLP outputs' variance that the features leave unexplained; 0 is perfect.",
        ),
        "share_of_squares": Figure(
            "Squared effects",
            "{:.0%}",
            "Share of the sum of all neurons' squared effects that the chosen ones have. Effects "
            "have a long tail that cancels; a high share says that the large ones are shown.",
        ),
        "dead": Figure(
            "Dead features",
            "{:.1%}",
            "Features that fire on no token of a large sample: held-out text, filled up with "
            "training text.",
        ),
        "replacement_agreement": Figure(
            "Replacement agreement",
            "{:.1%}",
            "Share of held-out tokens where the model with its MLPs replaced by features predicts "
            "the same next token.",
        ),
        "ce_recovered": Figure(
            "CE recovered",
            "{:.1%}",
            "Share of the cross-entropy lost with the MLPs' mean outputs that the features win "
            "back.",
        ),
        "kl_bits": Figure(
            "KL of the replacement, bits",
            "{:.3f}",
            "How far the next-token distribution moves once features replace the MLPs.",
        ),
        "replacement_score": Figure(
            "Replacement score",
            "{:.2f}",
            "Share of the outputs' influence that starts at tokens rather than at errors.",
        ),
        "completeness_score": Figure(
            "Completeness score",
            "{:.2f}",
            "Share of a node's input that comes from features and tokens rather than errors, "
            "averaged by influence.",
        ),
        **{
            f"exam.{name}.whole": Figure(
                f"Exam: {name}", "{:.0%}", "Share of the skill's questions answered rightly."
            )
            for name in SKILLS
        },
    }
)
"""The figures by the names that training events, bundles and scores use."""
