"""Wrong arguments of public functions are refused by name, with the value and what is allowed.

The calls run in a process of their own: here the type checks of the test run would speak first.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CALLS = {
    "cs.attribute(graph, PROMPT)": "must be a bundle",
    "cs.attribute(bundle, None)": "prompt is None; it must be a text or a sequence",
    "cs.attribute(bundle, [1.5, 2])": "prompt is",
    "cs.attribute(bundle, [True, False])": "prompt is",
    "cs.attribute(bundle, PROMPT, max_logits='3')": "max_logits is '3'; it must be a whole number",
    "cs.attribute(bundle, PROMPT, max_logits=2.5)": "max_logits is 2.5",
    "cs.attribute(bundle, PROMPT, logit_probability=float('nan'))": "must be a finite number",
    "cs.attribute(bundle, PROMPT, targets='D')": "targets is 'D'; it must be a sequence",
    "cs.attribute(bundle, PROMPT, targets=[1.5])": "targets is [1.5]",
    "cs.prune_graph(graph, '0.8')": "node_threshold is '0.8'",
    "cs.prune_graph(pruned)": "it must be an AttributionGraph",
    "cs.graph_scores(graph, [10**9])": "Node 1000000000 does not exist",
    "cs.intervene(bundle, PROMPT, [], mode='Direct')": "one of 'direct', 'constrained', 'iter",
    "cs.intervene_many(bundle, PROMPT, [[]], mode='Iterative')": "mode is 'Iterative'",
    "cs.continue_prompt(bundle, PROMPT, mode='x')": "mode is 'x'",
    "cs.continue_prompt(bundle, PROMPT, n_tokens=0)": "n_tokens is 0",
    "cs.diagnose(bundle, PROMPT, 'K', mode='x')": "mode is 'x'",
    "cs.intervene(bundle, PROMPT, [], mode='constrained', constrained_layer=9)": "is 9; it must",
    "cs.Intervention(0, 3, 1, float('nan'))": "value is nan; it must be a finite number",
    "cs.Intervention(0.0, 3, 1, 0.0)": "layer is 0.0; it must be a whole number",
    "cs.TokenIntervention('3')": "position is '3'",
    "cs.change_nodes(graph, [0], 'Ablate')": "how is 'Ablate'; it must be one of 'ablate'",
    "cs.cluster_features(pruned, bundle.transcoder, likeness='Role')": "likeness is 'Role'",
    "cs.cluster_features(graph, bundle.transcoder)": "kept is",
    "cs.strongest_paths(pruned, 1.5)": "n is 1.5",
    "cs.explain_edge(graph, 0, 1)": "explain_edge(bundle, graph, source, target, max_routes)",
    "cs.explain_edge(bundle, graph, 0, 1739, max_routes=0)": "max_routes is 0",
    "cs.explain_attention(bundle, graph, (0, 0), 3, 2, max_pairs=0)": "max_pairs is 0",
    "cs.trace(bundle, PROMPT, cs.AttributionConfig())": "it must be a TraceConfig",
    "cs.exam('copying', -1)": "n is -1",
    "cs.load_bundle(5)": "path is 5; it must be a text or a path",
    "cs.export_graph(graph, 'x.json')": "kept is",
    "cs.export_html(pruned, graph, 'x.html')": "must be a bundle",
    "cs.compare_graphs(graph, pruned, same_features=True)": "a is",
    "cs.ModelConfig(n_layers=2.5)": "n_layers is 2.5",
    "cs.ModelConfig(activation='GELU')": "activation is 'GELU'; it must be one of",
    "cs.GroupingConfig(likeness='colour')": "likeness is 'colour'",
    "cs.GroupingConfig(similarity_threshold=2.0)": "must be from -1 to 1",
}
SCRIPT = """
import json, sys
import circuitscope_core as cs
PROMPT = "The National Digital Analytics Group (N"
bundle = cs.load_bundle("models/demo")
graph = cs.attribute(bundle, PROMPT)
pruned = cs.prune_graph(graph)
for call in json.loads(sys.stdin.read()):
    try:
        eval(call)
        said = "accepted"
    except cs.CircuitScopeError as error:
        said = str(error)
    print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def answers():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(list(CALLS)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(CALLS, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_argument_is_refused_by_name(answers, call):
    assert CALLS[call] in answers[call]
