"""Graph files that circuit-tracer itself writes, for eight kinds of model and transcoder.

Where CIRCUIT_TRACER_PYTHON names the Python of an environment that has circuit-tracer.
"""

import os
import subprocess
from pathlib import Path

import pytest

from circuitscope_core.graph_file import circuit_of_file, layout_graph_file, read_graph_file

THEIR_PYTHON = os.environ.get("CIRCUIT_TRACER_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not THEIR_PYTHON, reason="CIRCUIT_TRACER_PYTHON names no Python that has circuit-tracer"
)

WRITE = """
import importlib, sys, types
import torch
sys.path.insert(0, sys.argv[1])
import make_references as references

files = importlib.import_module("circuit_tracer.utils.create_graph_files")

class Bytes:
    def decode(self, token):
        return chr(int(token)) if int(token) < 256 else "<bos>"

files.AutoTokenizer = types.SimpleNamespace(from_pretrained=lambda name: Bytes())
theirs = files.Node.error_node.__func__

def with_own_id(cls, layer, pos, influence=None):
    node = theirs(cls, layer, pos, influence)
    node.node_id = f"{layer}_-1_{pos}"
    return node

for name, changes in references.KINDS.items():
    kind = references.BASE | changes
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    transcoder = references.make_transcoder(kind, generator)
    model = references.make_model(kind, transcoder, generator)
    limit = kind["max_feature_nodes"]
    prompt = torch.tensor(references.PROMPT)
    graph = references.attribute(prompt, model, batch_size=16, max_feature_nodes=limit)
    graph.cfg.tokenizer_name = "bytes"
    for folder, maker in (("theirs", theirs), ("own_ids", with_own_id)):
        files.Node.error_node = classmethod(maker)
        for scan, more in (("one", ""), (["a", "b"], "-list")):
            where = f"{sys.argv[2]}/{folder}"
            files.create_graph_files(graph, name + more, where, scan=scan, node_threshold=0.95)
"""


def links_of(file):
    nodes = file.nodes
    return sorted(
        (str(nodes[link.source].node), str(nodes[link.target].node), link.weight)
        for link in file.links
    )


def test_files_that_circuit_tracer_writes_open_with_every_link(tmp_path):
    folder = Path(__file__).parent
    done = subprocess.run(
        [THEIR_PYTHON, "-c", WRITE, folder, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    written = [p for p in (tmp_path / "theirs").glob("*.json") if p.stem != "graph-metadata"]
    assert len(written) == 16
    n_renamed = 0
    for path in written:
        file = read_graph_file(path)
        assert links_of(file) == links_of(read_graph_file(tmp_path / "own_ids" / path.name))
        assert layout_graph_file(file).full.edges
        assert float(circuit_of_file(file).influence.max()) > 0
        n_renamed += file.n_renamed
    assert n_renamed  # their ids of errors were shared with features, and told apart
