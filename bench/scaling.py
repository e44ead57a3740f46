"""Time and memory of attribution against tokens, features a layer and layers.

Usage: python bench/scaling.py [PLOT.svg]
"""

import sys
from pathlib import Path

from against_circuit_tracer import HERE, Tool
from matplotlib import pyplot
from random_weights import Sizes, random_weights

BASE = {"n_layers": 6, "d_model": 256, "n_heads": 4, "d_transcoder": 2048, "n_pos": 64}
SWEEPS = {
    "n_pos": ("tokens", (16, 32, 64, 128, 256)),
    "d_transcoder": ("features a layer", (512, 1024, 2048, 4096, 8192)),
    "n_layers": ("layers", (3, 6, 9, 12)),
}
REPEAT = 3


def measure(sizes):
    """Return our figures for one size."""
    with random_weights(sizes) as folder:
        tool = Tool(sys.executable, "attribute_ours.py", folder)
        machine = Tool(sys.executable, "operations.py", folder)
        for _ in range(1 + REPEAT):
            tool.run()
            machine.run()
        tool.close()
        machine.close()
    return tool.figures() | machine.figures()


def main():
    plot = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "scaling.svg"
    base = ", ".join(f"{value} {name}" for name, value in BASE.items())
    print(f"Base: {base}; 10 active features a token and layer.\n")
    print("| varied | value | features | attribution s | prune + scores s | extra MB | of peak |")
    print("|---|---|---|---|---|---|---|")
    figure, axes = pyplot.subplots(1, len(SWEEPS), figsize=(10, 3), layout="constrained")
    for (field, (label, values)), axis in zip(SWEEPS.items(), axes, strict=True):
        found = []
        for value in values:
            found.append(figures := measure(Sizes(**BASE | {field: value})))
            share = figures["operations"] / figures["attribute"] / figures["peak_rate"]
            print(
                f"| {label} | {value:,} | {figures['features']:,} | {figures['attribute']:.2f} | "
                f"{figures['prune']:.2f} | {figures['extra']:,.0f} | {share:.0%} |",
                flush=True,
            )
        axis.loglog(values, [f["attribute"] for f in found], "o-", color="#1b7837")
        axis.set(xlabel=label, xticks=values, xticklabels=values)
        axis.minorticks_off()
        other = axis.twinx()
        other.loglog(values, [f["extra"] for f in found], "s--", color="#762a83")
        axis.set_ylabel("seconds (solid)", color="#1b7837")
        other.set_ylabel("extra MB (dashed)", color="#762a83")
    figure.savefig(plot, metadata={"Date": None})


if __name__ == "__main__":
    main()
