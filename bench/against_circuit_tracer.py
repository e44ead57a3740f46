"""Attribution by this project and by circuit-tracer 0.5.0, the same random weights in turn.

Usage: CIRCUIT_TRACER_PYTHON=/path/to/python python bench/against_circuit_tracer.py [a b c]
       [--repeat 5]

Without that variable only our own figures are printed. Each tool runs in processes of its own;
time is the attribution of a prompt with everything loaded, memory the process's peak beyond what
it held once everything was loaded, and that peak itself.
"""

import argparse
import json
import multiprocessing
import os
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


def run(python, script, folder, repeat):
    """Return one tool's figures as its process prints them."""
    command = [python, str(HERE / script), str(folder), str(repeat)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=["a"])
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    theirs_python = os.environ.get("CIRCUIT_TRACER_PYTHON")
    print("| preset | tool | features | attribution s | prune + scores s | extra MB | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for preset in options.presets:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # apart: a process counts the largest memory of the one that started it as its own
            maker = SPAWN.Process(target=make_weights, args=(preset, folder))
            maker.start()
            maker.join()
            tools = [("ours", sys.executable, "attribute_ours.py")]
            if theirs_python:
                tools.append(("circuit-tracer", theirs_python, "attribute_theirs.py"))
            found = {}
            for tool, python, script in tools:
                found[tool] = figures = run(python, script, folder, options.repeat)
                print(
                    f"| {preset} | {tool} | {figures['features']:,} | {figures['attribute']:.3f} | "
                    f"{figures['prune']:.3f} | {figures['extra']:,.0f} | {figures['peak']:,.0f} |",
                    flush=True,
                )
            if theirs_python:
                ratios = [
                    found["circuit-tracer"][key] / found["ours"][key]
                    for key in ("attribute", "prune", "extra", "peak")
                ]
                cells = " | ".join(f"{ratio:.1f} ×" for ratio in ratios)
                print(f"| {preset} | **ratio** | | {cells} |", flush=True)


if __name__ == "__main__":
    main()
