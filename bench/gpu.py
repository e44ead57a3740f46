"""Check and measure everything on one GPU: ``python bench/gpu.py [--device cuda] [--small]``.

Three parts, under 8 minutes on one card. Graphs are held against the CPU's; attribution is timed at
the sizes of Llama-3.2-1B and Gemma-2-2B (random weights, transcoders of each layer) beside the
card's own peaks; transcoders of a model are trained with the shell command. With ``--device cpu
--small`` it runs anywhere at tiny sizes, so that the script itself is tested.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.errors import DeviceError

ROOT = Path(__file__).resolve().parent.parent

CLOSE = 1e-4
"""The largest difference that passes, as a share of a row's largest effect."""
N_NODES = 4096
L0 = 50


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model and its transcoders, and the lengths of its prompts."""

    name: str
    kind: str
    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_mlp: int
    d_vocab: int
    d_transcoder: int = 16_384
    lengths: tuple[int, ...] = (64, 512)


SIZES = (
    Sizes("Llama-3.2-1B", "LlamaConfig", 16, 2048, 32, 8, 8192, 128_256),
    Sizes("Gemma-2-2B", "Gemma2Config", 26, 2304, 8, 4, 9216, 256_000),
)
SMALL = (
    Sizes("small Llama", "LlamaConfig", 4, 64, 4, 2, 128, 512, 256, (16, 32)),
    Sizes("small Gemma", "Gemma2Config", 4, 64, 4, 2, 128, 512, 256, (16, 32)),
)


TRAINING = ("d_transcoder=8192", "transcoder_training.n_tokens=10000000")
SMALL_TRAINING = ("d_transcoder=64", "transcoder_training.n_tokens=4096")


def synchronize(device):
    """Wait until a card has done all that it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def timed(work, device, repeat=1):
    """Return the result of some work and its seconds, the best of several."""
    best, found = float("inf"), None
    for _ in range(repeat):
        synchronize(device)
        started = time.perf_counter()
        found = work()
        synchronize(device)
        best = min(best, time.perf_counter() - started)
    return found, best


class BytesMoved(TorchDispatchMode):
    """Adds up what operations read and write, as if nothing stayed in a cache."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if not function.is_view:
            for value in tree_flatten((args, kwargs, out))[0]:
                if isinstance(value, torch.Tensor):
                    self.total += value.numel() * value.element_size()
        return out


def peaks(device, small):
    """Return multiplications and bytes a second that a device reaches on plain work."""
    n = 512 if small else 8192
    a, b = (torch.randn(n, n, device=device) for _ in range(2))
    _, seconds = timed(lambda: a @ b, device, 3)
    big = torch.zeros((1 if small else 256) * 2**20, device=device)
    _, copied = timed(lambda: big.clone(), device, 3)
    return 2 * n**3 / seconds, 2 * 4 * big.numel() / copied


def random_bundle(sizes, device, n_pos):
    """Return a random model of some sizes with random transcoders that have ``L0`` features."""
    import transformers

    settings = {
        "hidden_size": sizes.d_model,
        "num_hidden_layers": sizes.n_layers,
        "num_attention_heads": sizes.n_heads,
        "num_key_value_heads": sizes.n_kv_heads,
        "intermediate_size": sizes.d_mlp,
        "vocab_size": sizes.d_vocab,
        "max_position_embeddings": max(sizes.lengths),
        "attn_implementation": "eager",
    }
    if sizes.kind == "Gemma2Config":
        settings["head_dim"] = 256 if sizes.d_model > 1000 else 16
    torch.manual_seed(0)
    with device:
        config = getattr(transformers, sizes.kind)(**settings)
        model = cs.PretrainedModel(transformers.AutoModelForCausalLM.from_config(config))
        shape = (sizes.n_layers, sizes.d_model, sizes.d_transcoder)
        transcoder = cs.CrossLayerTranscoder(cs.TranscoderConfig(*shape, cross_layer=False))
    transcoder.requires_grad_(False)
    model.module.requires_grad_(False)
    for decoders in transcoder.W_dec:
        decoders.normal_(std=sizes.d_model**-0.5 / L0)
    tokens = torch.randint(1, sizes.d_vocab, (n_pos,)).tolist()
    n_active = min(L0, sizes.d_transcoder // 8) * (n_pos - 1)
    for site in model.mlp_pass(model.tokens(tokens)).sites:
        read = site.read(transcoder.config.read_point)[0, 1:]
        cut = transcoder.pre_activations(site.layer, read).flatten().topk(n_active).values[-1]
        transcoder.b_enc[site.layer] -= cut
    transcoder.log_threshold.fill_(1e-6).log_()
    return cs.make_bundle(model, transcoder), tokens


def check_equality(device):
    """Hold graphs of the demo and of a small random model against the CPU's."""
    demo = cs.load_bundle(ROOT / "models" / "demo", device="cpu")
    random, tokens = random_bundle(SMALL[0], torch.device("cpu"), 16)
    rows = {}
    for name, bundle, prompt in (
        ("demo", demo, "The National Digital Analytics Group (N"),
        ("random Llama", random, tokens),
    ):
        here, far = bundle, bundle.to(device)
        expected, found = cs.attribute(here, prompt), cs.attribute(far, prompt)
        same = torch.equal(expected.features, found.features)
        largest = expected.adjacency.abs().amax(dim=1, keepdim=True).clamp(min=1e-9)
        gap = float(((found.adjacency - expected.adjacency).abs() / largest).max()) if same else 1.0
        rows[name] = {"largest_gap": gap, "same_features": same, "passed": gap <= CLOSE}
        print(f"equality, {name}: {gap:.1e} of a row's largest effect", flush=True)
    return rows


def measure_attribution(device, small):
    """Time attribution at real sizes."""
    multiplications, bandwidth = peaks(device, small)
    print(f"peaks: {multiplications / 1e12:.2f} TFLOP/s in float32, {bandwidth / 1e9:.0f} GB/s")
    rows = {"peak_flops": multiplications, "peak_bytes": bandwidth}
    for sizes in SMALL if small else SIZES:
        for n_pos in sizes.lengths:
            bundle, tokens = random_bundle(sizes, device, n_pos)
            budget = 200 if small else N_NODES

            def work(bundle=bundle, tokens=tokens, budget=budget):
                return cs.attribute(bundle, tokens, max_feature_nodes=budget)

            graph = work()  # the first call also loads kernels
            graph, seconds = timed(work, device)
            with FlopCounterMode(display=False) as counted, BytesMoved() as moved:
                work()
            row = {
                "seconds": seconds,
                "active_features": graph.n_active_features,
                "nodes": graph.n_features,
                "share_of_matrix_peak": counted.get_total_flops() / seconds / multiplications,
                "share_of_bandwidth": moved.total / seconds / bandwidth,
            }
            if device.type == "cuda":
                row["memory_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
            rows[f"{sizes.name}, {n_pos} tokens"] = row
            figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
            print(f"{sizes.name}, {n_pos} tokens: {figures}", flush=True)
            del bundle, graph
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
    return rows


def train(device, options):
    """Train transcoders by the shell command, and return its last event."""
    if options.model is None or options.source is None:
        print("training: left out; it needs --model FOLDER and --source TEXT")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "circuitscope_core", "train-transcoder", "--json"]
        command += ["--model", str(options.model), "--source", options.source]
        command += ["--out", f"{folder}/transcoders", "--device", str(device)]
        for setting in options.set or (SMALL_TRAINING if options.small else TRAINING):
            command += ["--set", setting]
        started = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode:
        raise SystemExit(f"training failed: {done.stderr.strip() or lines[-1:]}")
    print(f"training: {time.perf_counter() - started:.1f} s, {lines[-1]}")
    return json.loads(lines[-1])


def main():
    """Run the three parts and write their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to test this script")
    parser.add_argument("--model", help="folder of the model that transcoders are trained for")
    parser.add_argument("--source", help="text for the training")
    parser.add_argument(
        "--set", action="append", default=[], help="a setting of the training, as NAME=VALUE"
    )
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    try:
        device = cs.find_device(options.device)
    except DeviceError as error:
        print(f"There is nothing to measure here. {error}")
        return
    print(cs.describe_device(device))
    found = {"device": str(device), "equality": check_equality(device)}
    found["attribution"] = measure_attribution(device, options.small)
    found["training"] = train(device, options)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if not all(row["passed"] for row in found["equality"].values()):
        raise SystemExit("A graph differs from the CPU's.")


if __name__ == "__main__":
    main()
