"""A process's memory while something runs, from Linux's /proc."""

import threading
import time
from pathlib import Path

EVERY_SECONDS = 0.005


def resident():
    """Return the resident memory and how much of it is mapped files, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    values = {line.split()[0]: int(line.split()[1]) / 1000 for line in lines if "kB" in line}
    return values["VmRSS:"], values["RssFile:"]


class PeakMemory:
    """Watches the process inside ``with``; keeps the largest figures over all uses."""

    def __init__(self):
        self.before = resident()
        self.peak = self.before
        self.running = False

    def __enter__(self):
        self.running = True
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def __exit__(self, *_):
        self.running = False
        self.watcher.join()

    def watch(self):
        while self.running:
            self.peak = max(self.peak, resident())
            time.sleep(EVERY_SECONDS)

    def figures(self):
        """Return the peak, what of it came after the start, and what of that is mapped files."""
        extra, mapped = (now - then for now, then in zip(self.peak, self.before, strict=True))
        return {"peak": self.peak[0], "extra": extra, "mapped": mapped}
