"""Figures of each layer, as a transcoder's training reports them."""

import pytest
import torch

from circuitscope_core.config import TranscoderTraining
from circuitscope_core.training import ALONE, Activations, Progress
from circuitscope_core.training.batches import BatchPart
from circuitscope_core.training.transcoder_gradients import set_gradients
from circuitscope_core.transcoder import transcoder_loss
from tests.samples import tiny_transcoder
from tests.unit.trainer_samples import transcoder


def test_figures_of_layers_average_to_those_of_all(tmp_path):
    events = [event for event in transcoder(ALONE, tmp_path).events() if type(event) is Progress]
    seen = set()
    for event in events:
        for name in ("normalized_mse", "l0", "dead"):
            layers = [event.metrics[key] for key in event.metrics if key.startswith(f"{name}.")]
            if name in event.metrics:
                assert len(layers) == 2
                assert sum(layers) / 2 == pytest.approx(event.metrics[name], rel=1e-5)
                seen.add(name)
    assert seen == {"normalized_mse", "l0", "dead"}


@pytest.mark.parametrize("kind", [{"n_layers": 3}, {"cross_layer": False, "skip_connection": True}])
def test_a_layers_error_is_the_squared_distance_of_its_own_output(kind):
    torch.manual_seed(2)
    clt = tiny_transcoder(**kind).requires_grad_(True)
    inputs, targets = torch.randn(2, clt.config.n_layers, 12, clt.config.d_model).unbind(0)
    plain = transcoder_loss(clt, inputs, targets, TranscoderTraining(), 0.7)
    with torch.no_grad():
        acts = torch.stack([clt.encode(layer, x) for layer, x in enumerate(inputs)])
        made = clt.decode(acts, inputs)
    by_hand = [
        sum(float(v) ** 2 for v in (made[n] - targets[n]).flatten()) / 12 for n in range(len(made))
    ]
    assert plain.layer_reconstruction.tolist() == pytest.approx(by_hand, rel=1e-4)
    whole = BatchPart.whole(12, 12)
    written = set_gradients(clt, Activations(inputs, targets), TranscoderTraining(), 0.7, whole)
    torch.testing.assert_close(written.layer_reconstruction, plain.layer_reconstruction)
    assert plain.reconstruction.item() == pytest.approx(sum(by_hand), rel=1e-4)
