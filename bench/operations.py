"""How many operations attribution needs, and how many a second the machine can do.

As a program it prints the latter, once for each line read: in a process of its own, since what its
matrices take would count as attribution's memory.
"""

import json
import sys
import time

import torch

SIZE, REPEAT = 2048, 10


def peak_rate():
    """Return the floating-point operations a second of a large matrix product."""
    left, right, out = (torch.randn(SIZE, SIZE) for _ in range(3))
    torch.mm(left, right, out=out)
    started = time.perf_counter()
    for _ in range(REPEAT):
        torch.mm(left, right, out=out)
    return REPEAT * 2 * SIZE**3 / (time.perf_counter() - started)


def count_operations(config, active, targets):
    """Return the operations of the method, a multiplication and an addition being two.

    No padding and no position to the right of a target is counted, only what the edges need: each
    target's gradient goes from its layer down to layer 1 through output weights, patterns and value
    weights, without those that the method saves (the first two layers' output weights, layer 1's
    value weights), and is multiplied by every source at every layer and position on its way.

    Args:
        config: Of the model.
        active: Layer, position and number of all active features.
        targets: The same for those whose rows are computed.
    """
    n_layers, n_pos = config.n_layers, int(active[:, 1].max()) + 1
    width, d_heads = config.d_model, config.n_heads * config.d_head
    counts = torch.zeros(n_layers, n_pos, dtype=torch.float64)
    counts.index_put_((active[:, 0], active[:, 1]), torch.ones(()).double(), accumulate=True)
    # constant, errors and features up to each layer, summed over the positions up to each
    sources = 2 + torch.arange(n_layers)[:, None] + counts.cumsum(0)
    seen_sources = sources.cumsum(1)
    total = 0.0
    for layer, position, _ in targets.tolist():
        seen = position + 1
        full = max(0, layer - 2)
        total += full * 2 * (2 * width * d_heads) * seen
        total += max(0, layer - 1) * d_heads * seen * (seen + 1)  # patterns: 2 for each pair
        total += 2 * width * float(seen_sources[:layer, position].sum())
        if layer >= 2:
            total += 2 * d_heads * float(seen_sources[0, position])
            total += width * seen * (seen + 1)  # embeddings
    return total


if __name__ == "__main__":
    for _ in sys.stdin:
        print(json.dumps({"peak_rate": peak_rate()}), flush=True)
