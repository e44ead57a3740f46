"""The state of a collection of cards in a file, from which it can go on."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from circuitscope_core.errors import ConfigError
from circuitscope_core.feature_cards.passes import Observer
from circuitscope_core.training.checkpoints import CheckpointFile, SavedState


@dataclass
class Keeper:
    """Keeps what the observers of all passes have learned; without a file it keeps nothing.

    A state holds the finished passes and the running one, so that a resumed collection ends with
    the same cards as one that was never interrupted.
    """

    file: CheckpointFile | None
    work: str = ""
    """Hash of everything that decides the cards: a state of other work is refused."""
    seconds: float = 30.0
    """Time between two writings."""
    _passes: list[Sequence[Observer]] = field(default_factory=list)
    _seen: list[int] = field(default_factory=list)
    """Batches of each pass that its observers have seen."""
    _is_new: bool = False
    """True when observers have seen a batch that the file does not hold yet."""
    _saved_at: float = field(default_factory=time.monotonic)

    @cached_property
    def _saved(self) -> SavedState:
        """The saved state from which the collection resumes.

        Raises:
            ConfigError: If the file is about other work.
            TrainingError: If the file cannot be read.
        """
        saved = None if self.file is None else self.file.load()
        if saved is None or self.file is None:
            return SavedState(0, {}, {"seen": []})
        if saved.extra.get("work") != self.work:
            raise ConfigError(
                f"{self.file.path} is the checkpoint of other cards: of another model, "
                "text, setting or choice of features. Remove it, or name another file."
            )
        return saved

    def begin(self, observers: Sequence[Observer]) -> int:
        """Take in the observers of the next pass; return how many batches they have seen."""
        number, seen = len(self._passes), self._saved.extra["seen"]
        self._passes.append(observers)
        self._seen.append(int(seen[number]) if number < len(seen) else 0)
        if number < len(seen):
            for place, observer in enumerate(observers):
                observer.restore(_named(self._saved.tensors, f"{number}.{place}."))
        return self._seen[-1]

    def saw_batch(self) -> None:
        """Count a batch, and write the state where the last writing was long ago."""
        self._seen[-1] += 1
        self._is_new = True
        if time.monotonic() - self._saved_at >= self.seconds:
            self.save()

    def save(self) -> None:
        """Write the state, whole or not at all.

        Raises:
            TrainingError: If the file cannot be written.
        """
        if self.file is None or not self._is_new:
            return
        tensors = {
            f"{number}.{place}.{name}": value
            for number, observers in enumerate(self._passes)
            for place, observer in enumerate(observers)
            for name, value in observer.state().items()
        }
        self.file.save(sum(self._seen), tensors, work=self.work, seen=self._seen)
        self._saved_at, self._is_new = time.monotonic(), False


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, without that beginning."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
