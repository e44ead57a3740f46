"""The Graph page's ranking: features by what the answer loses without each."""

from circuitscope_core.interventions import ablation
from tests.app.opening import open_page

PROMPT = "The Royal Union of Gardeners (R"


def captions(at):
    return " ".join(caption.value for caption in at.caption)


def table(at):
    return next(frame.value for frame in at.dataframe if "ablation_bits" in frame.value)


def test_the_table_begins_with_the_feature_that_the_answer_needs_most():
    at = open_page("graph", prompt=PROMPT, tab="table")
    rows = table(at)
    assert next(iter(rows.columns)) == "ablation_bits"
    assert rows["ablation_bits"].is_monotonic_decreasing
    assert not rows["influence"].is_monotonic_decreasing
    assert "switched off in the replacement model" in captions(at)
    at.toggle(key="graph_every_feature").set_value(True).run()
    every = table(at)
    known = every["ablation_bits"].notna()
    assert known.sum() == len(rows) < len(every)
    assert known.iloc[: len(rows)].all()  # those that pruning dropped stand behind


def test_a_slow_model_says_what_it_would_take_and_does_it_when_asked(monkeypatch):
    monkeypatch.setattr(ablation, "MOST_WORK", 1.0)
    at = open_page("graph", prompt=PROMPT + "o", tab="table")
    assert "runs of this model take about" in captions(at)
    assert "sorted by influence" in captions(at)
    assert all("ablation_bits" not in frame.value for frame in at.dataframe)
    at.button(key="graph_ablate").click().run()
    assert not at.exception
    assert table(at)["ablation_bits"].is_monotonic_decreasing
    assert at.query_params["ablation"] in ("always", ["always"])
