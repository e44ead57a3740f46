"""Attribution by this project and by circuit-tracer 0.5.0, the same random weights in turn.

Usage: CIRCUIT_TRACER_PYTHON=/path/to/python python bench/against_circuit_tracer.py [a b c]
       [--repeat 5]

Without that variable only our own figures are printed. Each tool has a process of its own that
loads the weights once; then they are asked in turn, so that a slow moment of the machine meets
both. Time is the attribution of a prompt, the median after one run to warm up. Memory is what the
process takes beyond what it held once everything was loaded, at its peak; files that are mapped,
which the system may drop at any time, are counted, and given apart.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs

HERE = Path(__file__).resolve().parent
SPAWN = multiprocessing.get_context("spawn")
N_POS, L0 = 64, 10
# layers, width, heads, features a layer, budget, batch size of circuit-tracer
PRESETS = {
    "a": (3, 64, 4, 512, None, 16),
    "b": (12, 256, 4, 2048, None, 16),
    "c": (12, 768, 12, 8192, 2048, 16),
}


def make_weights(preset, folder):
    """Write random weights whose transcoder has ``L0`` active features a token and layer."""
    n_layers, d_model, n_heads, d_transcoder, budget, batch_size = PRESETS[preset]
    torch.manual_seed(0)
    config = cs.ModelConfig(
        n_layers=n_layers,
        d_model=d_model,
        n_heads=n_heads,
        d_head=d_model // n_heads,
        d_mlp=4 * d_model,
        n_ctx=N_POS,
        positions="learned",
    )
    model = cs.Transformer(config).requires_grad_(False)
    for name, weight in model.named_parameters():
        if name.endswith(("W_O", "W_out")):
            weight.normal_(std=d_model**-0.5)
        elif name.endswith(("W_E", "W_pos", "W_U")):
            weight.normal_()
    transcoder = cs.CrossLayerTranscoder(
        cs.TranscoderConfig(
            n_layers=n_layers,
            d_model=d_model,
            d_transcoder=d_transcoder,
            read_point="hook_resid_mid",
            write_point="hook_mlp_out",
        )
    ).requires_grad_(False)
    for decoders in transcoder.W_dec:
        decoders.normal_(std=(d_model * n_layers) ** -0.5)
    tokens = [256, *torch.randint(0, 256, (N_POS - 1,)).tolist()]
    for site in model.record(torch.tensor([tokens])).sites:
        pre_acts = transcoder.pre_activations(site.layer, site.resid_mid[0, 1:])
        cut = pre_acts.flatten().topk(L0 * (N_POS - 1)).values[-1]
        transcoder.log_threshold[site.layer] = (cut - 1e-6).log()
    save_file(dict(model.state_dict()), folder / "model.safetensors")
    cs.save_transcoder(transcoder, folder / "transcoder")
    settings = {"model": config.to_json(), "tokens": tokens}
    settings |= {"max_feature_nodes": budget, "batch_size": batch_size}
    (folder / "settings.json").write_text(json.dumps(settings))


class Tool:
    """One tool's process."""

    def __init__(self, python, script, folder):
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [python, str(HERE / script), str(folder)]
        self.process = subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, **pipes
        )
        self.runs = []

    def run(self):
        """Attribute once more; return the figures."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                self.runs.append(json.loads(line))
                return
        raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}")

    def figures(self):
        """Return the medians of all runs but the first, and the largest memory."""
        first, *runs = self.runs
        times = {key: statistics.median(run[key] for run in runs) for key in ("attribute", "prune")}
        last = runs[-1]
        memory = {key: last[key] for key in ("extra", "mapped", "peak")}
        return {"features": first["features"], **times, **memory}

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def compare(preset, repeat):
    """Return each tool's figures for a preset."""
    theirs_python = os.environ.get("CIRCUIT_TRACER_PYTHON")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # apart: a process counts the largest memory of the one that started it as its own
        maker = SPAWN.Process(target=make_weights, args=(preset, folder))
        maker.start()
        maker.join()
        tools = {"ours": Tool(sys.executable, "attribute_ours.py", folder)}
        if theirs_python:
            tools["circuit-tracer"] = Tool(theirs_python, "attribute_theirs.py", folder)
        for _ in range(1 + repeat):
            for tool in tools.values():
                tool.run()
        for tool in tools.values():
            tool.close()
    return {name: tool.figures() for name, tool in tools.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=["a"])
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    print(
        "| preset | tool | features | attribution s | prune + scores s | extra MB (mapped) | peak |"
    )
    print("|---|---|---|---|---|---|---|")
    for preset in options.presets:
        found = compare(preset, options.repeat)
        for tool, figures in found.items():
            memory = f"{figures['extra']:,.0f} ({figures['mapped']:,.0f}) | {figures['peak']:,.0f}"
            print(
                f"| {preset} | {tool} | {figures['features']:,} | {figures['attribute']:.3f} | "
                f"{figures['prune']:.3f} | {memory} |"
            )
        if len(found) == 2:
            ours, theirs = found["ours"], found["circuit-tracer"]
            ratios = [theirs[key] / ours[key] for key in ("attribute", "prune", "extra", "peak")]
            cells = " | ".join(f"{ratio:.1f} ×" for ratio in ratios)
            print(f"| {preset} | **ratio** | | {cells} |", flush=True)


if __name__ == "__main__":
    main()
