"""The choice of a device in the app: only where there are several, and said on the pages."""

import torch

from circuitscope_core import devices
from tests.app.opening import open_page


def test_one_device_needs_no_choice_and_is_named():
    shown = open_page("models")
    assert not any(box.key == "sidebar_device" for box in shown.sidebar.selectbox)
    assert any("Models run on cpu (" in item.value for item in shown.caption)


def test_several_devices_are_offered_and_one_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(devices, "why_no_cuda", lambda: "")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CIRCUITSCOPE_DEVICE", "cpu")
    shown = open_page("models")
    (box,) = [box for box in shown.sidebar.selectbox if box.key == "sidebar_device"]
    assert (list(box.options), box.value) == (["cuda:0", "cpu"], "cpu")
    monkeypatch.setenv("CIRCUITSCOPE_DEVICE", "cuda:7")
    told = open_page("models")
    said = [item.value.replace("\\", "") for item in told.error]
    assert any("CIRCUITSCOPE_DEVICE is 'cuda:7'" in text for text in said)
