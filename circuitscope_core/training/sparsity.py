"""The weight of the sparsity penalty through a training."""

import math

from circuitscope_core.config import TranscoderTraining

RAMP = 0.4
"""Share of the steps after which the weight is steered towards a wanted L0."""
RATE = 0.01
"""How far its logarithm moves in a step while L0 is off by a factor of e, or more."""
LEAST = 1e-4
"""Weight that the search begins with where ``sparsity_coefficient`` is 0."""


class Sparsity:
    """A linear ramp from 0; or a shorter ramp, and then whatever brings L0 to a wanted value."""

    def __init__(self, settings: TranscoderTraining, n_steps: int) -> None:
        self.target_l0 = settings.target_l0
        self.ramp_steps = n_steps * (RAMP if self.target_l0 else 1.0)
        least = LEAST if self.target_l0 else 0.0
        self.top = max(settings.sparsity_coefficient, least)
        """Weight at the end of the ramp; steered from there on."""

    def coefficient(self, step: int) -> float:
        """Return the weight at a step."""
        return self.top * min(1.0, step / self.ramp_steps)

    def follow(self, step: int, l0: float, decay: float) -> None:
        """Turn the weight up where a step's L0 is above the wanted one, down where it is below.

        Args:
            step: Nothing is turned before the end of the ramp.
            l0: Active features per token and layer.
            decay: Factor of the learning rate; at a lower one L0 answers more slowly.
        """
        if not self.target_l0 or step < self.ramp_steps:
            return
        off = math.log(max(l0, 1e-3) / self.target_l0)
        self.top *= math.exp(RATE * decay * max(-1.0, min(1.0, off)))
