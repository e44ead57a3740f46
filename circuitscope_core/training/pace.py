"""When a loop reports, when it saves, and how fast it is."""

import time
from collections import deque
from dataclasses import dataclass, field


@dataclass
class Pace:
    """A stopwatch for one loop."""

    event_steps: int
    checkpoint_seconds: float
    _marks: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=20))
    _saved: float = 0.0

    def start(self, step: int) -> None:
        """Begin at a step, which is above 0 after a resume."""
        self._saved = time.perf_counter()
        self._marks.clear()
        self._marks.append((step, self._saved))

    def event_due(self, step: int) -> bool:
        """Whether this step is reported."""
        return step % self.event_steps == 0

    def checkpoint_due(self) -> bool:
        """Whether enough time has passed since the last checkpoint; if so, the clock restarts."""
        now = time.perf_counter()
        if now - self._saved < self.checkpoint_seconds:
            return False
        self._saved = now
        return True

    def rate(self, step: int) -> float:
        """Return steps a second over the last reports."""
        first_step, first_time = self._marks[0]
        now = time.perf_counter()
        self._marks.append((step, now))
        return (step - first_step) / max(now - first_time, 1e-9)
