"""Our folder for circuit-tracer's viewer, read by circuit-tracer's own server and models.

Where CIRCUIT_TRACER_PYTHON names the Python of an environment that has circuit-tracer.
"""

import json
import os
import subprocess

import pytest

from circuitscope_core.export import write_viewer_folder
from circuitscope_core.graph_file import read_graph_file
from circuitscope_core.pruning import prune_graph
from circuitscope_core.supernodes import cluster_features
from tests.unit.graph_samples import TOKENIZER, Decoders, sample_cards, sample_graph

THEIR_PYTHON = os.environ.get("CIRCUIT_TRACER_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not THEIR_PYTHON, reason="CIRCUIT_TRACER_PYTHON names no Python that has circuit-tracer"
)

SERVE = """
import functools, json, socketserver, sys, threading, urllib.request
from circuit_tracer.frontend import feature_models, graph_models
from circuit_tracer.frontend.local_server import DEFAULT_FRONTEND_DIR, CircuitGraphHandler

folder, slug, save = sys.argv[1:]
handler = functools.partial(
    CircuitGraphHandler, frontend_dir=DEFAULT_FRONTEND_DIR, data_dir=folder
)
server = socketserver.TCPServer(("127.0.0.1", 0), handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
home = f"http://127.0.0.1:{server.server_address[1]}/"
get = lambda path: json.load(urllib.request.urlopen(home + path.removeprefix("./")))
listed = get("data/graph-metadata.json")["graphs"]
graph = graph_models.Model(**get(f"graph_data/{slug}.json"))
cards = {}
for node in graph.nodes:
    if node.feature_type == "cross layer transcoder":
        card = feature_models.Model(**get(f"{graph.metadata.scan}/{node.feature}.json"))
        cards[node.node_id] = len(card.examples_quantiles)
request = urllib.request.Request(home + f"save_graph/{slug}", save.encode(), method="POST")
urllib.request.urlopen(request)
server.shutdown()
print(json.dumps({
    "listed": [entry["slug"] for entry in listed],
    "nodes": len(graph.nodes), "links": len(graph.links), "cards": cards,
}))
"""


def test_circuit_tracers_server_and_models_take_every_file_and_we_take_what_it_saves(tmp_path):
    pruned = prune_graph(sample_graph())
    groups = cluster_features(pruned, Decoders())
    parts = {"cards": sample_cards(), "tokenizer": TOKENIZER, "supernodes": groups}
    graph = write_viewer_folder(tmp_path, pruned, **parts)
    start = graph.data["qParams"]
    saved = {
        "pinnedIds": ",".join(start["pinnedIds"][:3]),
        "supernodes": json.dumps(start["supernodes"]),
        "linkType": None,
        "clickedId": start["clickedId"],
        "sg_pos": None,
        "pruningThreshold": None,
        "clerps": "[]",
    }
    done = subprocess.run(
        [THEIR_PYTHON, "-c", SERVE, tmp_path, graph.slug, json.dumps({"qParams": saved})],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["listed"] == [graph.slug]
    assert (found["nodes"], found["links"]) == (pruned.n_nodes, pruned.n_edges)
    assert found["cards"]
    assert min(found["cards"].values()) > 0
    file = read_graph_file(tmp_path / f"{graph.slug}.json")
    assert file.pinned == tuple(start["pinnedIds"][:3])
    assert [group.label for group in file.groups] == [label for label, *_ in start["supernodes"]]
    assert file.selected == start["clickedId"]
