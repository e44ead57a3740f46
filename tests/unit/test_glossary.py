"""The glossary holds every figure that is shown, whole."""

from circuitscope_core.glossary import FIGURES
from circuitscope_core.training.metrics import ReplacementMetrics


def test_every_figure_has_a_name_of_its_own_a_format_and_a_sentence():
    assert len({figure.name for figure in FIGURES.values()}) == len(FIGURES)
    for key, figure in FIGURES.items():
        assert figure.write(0.5) != figure.write(0.25), key
        assert figure.meaning.endswith("."), key


def test_the_figures_of_a_replacement_are_those_that_are_measured():
    measured = ReplacementMetrics(1, 2.0, 0.1, 0.9, 0.2, 1.0, 1.1, 3.0).to_json()
    assert {"l0", "normalized_mse", "replacement_agreement", "kl_bits", "ce_recovered"} <= set(
        measured
    ) & set(FIGURES)
