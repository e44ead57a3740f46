"""A transcoder at a wrong read point is told from one at the right one."""

import dataclasses
import json

import pytest
import torch

import circuitscope_core as cs
from circuitscope_core import read_point_fit
from circuitscope_core.prompt_pass import active_features, reconstruct
from tests.samples import PROMPT, tiny_replacement


@pytest.fixture(scope="module")
def demo():
    return cs.load_bundle("models/demo")


def at(bundle, read_point):
    """Return the bundle with its transcoder at another read point."""
    config = dataclasses.replace(bundle.transcoder.config, read_point=read_point)
    transcoder = cs.CrossLayerTranscoder(config)
    transcoder.load_state_dict(bundle.transcoder.state_dict())
    return dataclasses.replace(bundle, transcoder=transcoder)


def test_a_transcoder_at_its_own_read_point_fits_best(demo):
    fit = cs.check_read_point(demo)
    assert fit.read_point == "in"
    assert fit.better is None
    assert fit.explained["in"] > 0.9
    share = f"{fit.explained['in']:.0%}"
    said = f"explains {share} of the variance of MLP outputs at its read point 'in'."
    assert fit.describe().endswith(said)


@pytest.mark.parametrize("wrong", ["mid", "unit", "pre"])
def test_a_wrong_read_point_is_named_with_the_right_one(demo, wrong):
    fit = cs.check_read_point(at(demo, wrong))
    assert fit.better == "in"
    share = f"{fit.explained['in']:.0%}"
    assert f"at its read point '{wrong}' and {share} at 'in'" in fit.describe()
    assert "Load it with the read point 'in'" in fit.describe()


def test_points_that_are_the_same_tensor_fit_alike():
    replacement = tiny_replacement(model={"normalization": None}, transcoder={"read_point": "mid"})
    fit = cs.check_read_point(replacement)
    assert fit.explained["in"] == fit.explained["unit"] == fit.explained["mid"]
    assert fit.better != "in"


@pytest.mark.parametrize(
    "kind", [{}, {"cross_layer": False, "skip_connection": True}, {"activation": "topk", "k": 5}]
)
def test_the_share_is_that_of_the_reconstruction(kind, monkeypatch):
    monkeypatch.setattr(read_point_fit, "FEATURES_AT_ONCE", 5)
    replacement = tiny_replacement(n_layers=3, transcoder=kind)
    ids = [256, *PROMPT.encode()]
    record = replacement.model.record(torch.tensor([ids]))
    features, inputs = replacement.transcoder, record.inputs("in")[:, 0]
    given = reconstruct(features, *active_features(features, inputs, range(len(ids))), inputs)
    wanted = record.outputs()[:, 0]
    given, wanted = given[:, 1:], wanted[:, 1:]
    spread = ((wanted - wanted.mean(1, keepdim=True)) ** 2).sum((1, 2))
    shares = 1 - ((given - wanted) ** 2).sum((1, 2)) / spread
    fit = cs.check_read_point(replacement, ids)
    assert fit.n_tokens == len(PROMPT)
    assert fit.explained["in"] == pytest.approx(float(shares.median()), rel=1e-4)


def test_a_long_text_is_cut_and_an_empty_one_refused():
    replacement = tiny_replacement()
    assert cs.check_read_point(replacement, "x" * 500).n_tokens == 31
    with pytest.raises(cs.PromptError, match="The prompt is empty"):
        cs.check_read_point(replacement, "")


def fit_of(own, other):
    return cs.ReadPointFit("in", {"in": own, "unit": other}, 200)


@pytest.mark.parametrize(
    ("own", "other", "better"),
    [(0.79, 0.7, None), (0.7, 0.79, None), (0.21, 0.59, "unit"), (-0.5, -0.3, None)],
)
def test_another_point_is_named_only_where_it_is_far_better(own, other, better):
    assert fit_of(own, other).better == better
    assert json.dumps(dict(fit_of(own, other).explained))
