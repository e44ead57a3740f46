"""Large graph files: what opening one takes, and what a threshold, groups and saving take after.

``python bench/graph_files.py`` makes a file of 5,000 nodes and 150,000 links and prints processor
seconds, and the size of what goes to the browser.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from circuitscope_core.graph_file import (
    circuit_of_file,
    circuit_scores,
    edit_graph_json,
    layout_graph_file,
    parse_graph_json,
    prune_circuit,
)
from circuitscope_core.supernodes import cluster_features

N_LAYERS, N_TOKENS, N_OUTPUTS = 26, 32, 5


def sample_file(n_nodes, n_links, seed=0):
    """Return a graph's JSON with features spread over layers and tokens."""
    generator = torch.Generator().manual_seed(seed)
    nodes = [node(f"E_{t}_{t}", "E", t, "embedding", generator) for t in range(N_TOKENS)]
    for number in range(n_nodes - N_TOKENS - N_OUTPUTS):
        layer = int(torch.randint(N_LAYERS, (1,), generator=generator))
        token = int(torch.randint(N_TOKENS, (1,), generator=generator))
        nodes.append(
            node(
                f"{layer}_{number}_{token}", str(layer), token, "cross layer transcoder", generator
            )
        )
    outputs = [
        node(f"{N_LAYERS}_{n}_{N_TOKENS - 1}", str(N_LAYERS), N_TOKENS - 1, "logit", generator)
        for n in range(N_OUTPUTS)
    ]
    nodes += [{**item, "token_prob": 0.5 / 2**n} for n, item in enumerate(outputs)]
    heights = torch.tensor([-1 if n["layer"] == "E" else int(n["layer"]) for n in nodes])
    places = torch.tensor([n["ctx_idx"] for n in nodes])
    pairs = set()
    while len(pairs) < n_links:
        ends = torch.randint(len(nodes), (2, n_links), generator=generator)
        up = (heights[ends[0]] < heights[ends[1]]) & (places[ends[0]] <= places[ends[1]])
        pairs |= set(map(tuple, ends[:, up].T.tolist()))
    weights = torch.randn(n_links, generator=generator).pow(3).tolist()
    links = [
        {"source": nodes[a]["node_id"], "target": nodes[b]["node_id"], "weight": weight}
        for (a, b), weight in zip(sorted(pairs)[:n_links], weights, strict=True)
    ]
    tokens = [f" t{n}" for n in range(N_TOKENS)]
    metadata = {"slug": "s", "scan": "m", "prompt": "".join(tokens), "prompt_tokens": tokens}
    return json.dumps({"metadata": metadata, "qParams": {}, "nodes": nodes, "links": links})


def node(name, layer, token, kind, generator):
    """Return one node."""
    share = float(torch.rand(1, generator=generator))
    return {
        "node_id": name,
        "jsNodeId": name,
        "feature": 0,
        "layer": layer,
        "ctx_idx": token,
        "feature_type": kind,
        "clerp": "a label of some words",
        "influence": share,
        "activation": 1 + share,
        "token_prob": 0.0,
    }


def timed(name, work, runs):
    """Return the work's result, and print the least processor time of some runs."""
    least = float("inf")
    for _ in range(runs):
        started = time.process_time()
        result = work()
        least = min(least, time.process_time() - started)
    print(f"{name:45} {least:6.2f} s")
    return result


def main():
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--links", type=int, default=150_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = sample_file(options.nodes, options.links)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    print(f"{options.nodes:,} nodes, {options.links:,} links, {len(text) / 1e6:.1f} MB")
    runs = options.runs
    file = timed("parse and check", lambda: parse_graph_json(text), runs)
    circuit = timed("table, influence and shares", lambda: circuit_of_file(file), runs)
    view = timed("layout of the whole file", lambda: layout_graph_file(file, circuit), runs)
    sent = timed("its JSON for the browser", view.to_text, runs)
    part = timed("thresholds 0.8 and 0.95", lambda: prune_circuit(circuit, 0.8, 0.95), runs)
    timed("layout of what is left", lambda: layout_graph_file(file, part).to_text(), runs)
    timed("scores", lambda: circuit_scores(circuit), runs)
    roles = {"likeness": "role", "similarity_threshold": 0.5}
    timed("suggested supernodes", lambda: cluster_features(circuit, **roles), runs)
    timed("the file written again", lambda: edit_graph_json(text, part), runs)
    print(
        f"{len(part):,} nodes and {len(part.edges):,} links are left; "
        f"{len(sent) / 1e6:.1f} MB go to the browser for the whole file"
    )


if __name__ == "__main__":
    main()
