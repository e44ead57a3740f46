"""The device that the visitor's models run on: chosen below the menu where there are several."""

import streamlit as st

from circuitscope_core.devices import (
    available_devices,
    describe_device,
    find_device,
    prefer_repeatable,
)

KEY = "sidebar_device"


def chosen_device() -> str:
    """Return the name of the device that models are loaded onto.

    Raises:
        DeviceError: If the environment names a device that is not there.
    """
    picked: str | None = st.session_state.get(KEY)
    return picked if picked in available_devices() else str(find_device())


def choose_device() -> None:
    """Let the visitor choose among several devices; one alone needs no choice.

    Raises:
        DeviceError: If the environment names a device that is not there.
    """
    names = available_devices()
    if len(names) == 1:
        return
    if st.session_state.get(KEY) not in names:
        st.session_state[KEY] = chosen_device()
    with st.popover("Device", help="The device that models run on"):
        picked = st.selectbox("Device", names, key=KEY, help="Graphs are the same on each.")
    prefer_repeatable(picked)


def draw_device() -> None:
    """Say which device models run on."""
    st.caption(f"Models run on {describe_device(chosen_device())}")
