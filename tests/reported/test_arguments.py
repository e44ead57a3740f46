"""Prompts, numbers and values of other kinds: taken where they mean one thing, else refused.

The calls run in a process of their own: here the type checks of the test run would speak first.
"""

import json
import subprocess
import sys

import pytest

from tests.reported.running import ROOT

TAKEN = {
    "cs.attribute(bundle, torch.tensor([ids])).token_ids.tolist() == ids": "True",
    "cs.attribute(bundle, np.array([ids])).token_ids.tolist() == ids": "True",
    "cs.attribute(bundle, np.array(ids, dtype=np.uint16)).token_ids.tolist() == ids": "True",
    "cs.attribute(bundle, [np.int64(n) for n in ids]).token_ids.tolist() == ids": "True",
    "cs.trace(bundle, torch.tensor([ids])).graph.token_ids.tolist() == ids": "True",
    "cs.run_prompt(bundle, torch.tensor([ids])).n_pos == len(ids)": "True",
    "cs.continue_prompt(bundle, torch.tensor([ids]), n_tokens=1).token_ids[0] > 0": "True",
    "cs.intervene(bundle, torch.tensor([ids]), []).token_ids == tuple(ids)": "True",
    "bundle.feature_cards[0, 2] == bundle.feature_cards.card(0, 2)": "True",
    "cs.prune_graph(graph, np.float64(0.5)).node_mask.any().item()": "True",
    "bundle.tokenizer.decode([-1])": "'<-1>'",
}
REFUSED = {
    "cs.attribute(bundle, torch.tensor([ids, ids]))": "of shape [2, 8]; give those of one prompt",
    "cs.attribute(bundle, torch.tensor(ids).float())": "0.0 is no token id",
    "cs.attribute(bundle, torch.tensor([True, False]))": "True is no token id",
    "cs.attribute(bundle, torch.tensor(5))": "it must be a text or a sequence of whole numbers",
    "cs.attribute(bundle, np.array(['a']))": "'a' is no token id",
    "cs.attribute(bundle, np.array([], dtype=int))": "The prompt has no token ids",
    "cs.attribute(bundle, PROMPT, answer=torch.tensor([0.5]))": "0.5 is no token id",
    "cs.intervene(bundle, PROMPT, cs.Intervention(0, 1, 2, 0.0))": "a sequence of an Interv",
    "cs.intervene(bundle, PROMPT, [(0, 1, 2, 0.0)])": "must be a sequence of an Intervention",
    "cs.intervene_many(bundle, PROMPT, [cs.Intervention(0, 1, 2, 0.0)])": "sequence of a sequence",
    "cs.TokenIntervention(3, token_id='K')": "token_id is 'K'; it must be a whole number",
    "cs.attribute_many(bundle, [PROMPT], 'x')": "it must be a text or a path",
    "cs.attribute_many('models/demo', PROMPT, 'x')": "it must be a sequence of texts",
    "cs.train({}, 'builtin', 'x')": "config is {}; it must be a TrainConfig",
    "cs.train(cs.TrainConfig(), 5, 'x')": "source is 5",
    "cs.TextSource(3)": "3 is no list of texts; give strings or documents",
    "cs.TextSource([b'bytes'])": "b'bytes' is no text; give strings or documents",
    "cs.TextSource({'key': 1}.items())": "('key', 1) is no text",
    "cs.TrainConfig.from_json([])": "TrainConfig is []; it must be an object",
    "cs.save_transcoder(bundle, 'x')": "it must be a CrossLayerTranscoder",
    "cs.export_graph(graph, pruned, path='x')": "export_graph(kept, path, supernodes, cards, slug)",
    "cs.export_html(pruned, bundle.replacement, 'x')": "it must be a bundle",
    "cs.strongest_paths(graph)": "it must be a Circuit or a PrunedGraph or a Trace",
    "cs.strongest_paths(pruned, -1)": "n is -1; ask for at least one path",
    "cs.change_nodes(graph, [0], 'patch')": "Patching needs another prompt",
    "cs.load_bundle('')": "The path is empty",
    "cs.load_transcoder('')": "The path is empty",
    "cs.load_model('')": "The path is empty",
    "cs.load_graph('a\\0b')": "holds the character NUL",
}
SHORT = {
    "bundle": "Bundle(model=Transformer",
    "bundle.replacement": "ReplacementModel(model=Transformer",
    "graph": "177 features",
    "pruned": "PrunedGraph(",
    "cs.intervene(bundle, PROMPT, [])": "InterventionResult(",
    "cs.intervene_many(bundle, PROMPT, [[]])": "ManyResults(",
    "cs.trace(bundle, PROMPT)": "Trace(",
    "cs.run_prompt(bundle, PROMPT)": "PromptPass(",
    "bundle.tokenizer": "HuggingFaceTokenizer",
    "bundle.feature_cards": "FeatureCards",
    "bundle.feature_cards[0]": "FeatureCard(",
    "bundle.global_weights": "GlobalWeights(",
}
SCRIPT = """
import json, sys
import numpy as np
import torch
import circuitscope_core as cs
PROMPT = "The National Digital Analytics Group (N"
bundle = cs.load_bundle("models/demo")
graph = cs.attribute(bundle, PROMPT)
ids = bundle.replacement.encode(PROMPT)
pruned = cs.prune_graph(graph)
for call in json.loads(sys.stdin.read()):
    try:
        said = repr(eval(call))
    except cs.CircuitScopeError as error:
        said = str(error)
    except Exception as error:
        said = f"raw {type(error).__name__}: {error}"
    print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def answers():
    calls = [*TAKEN, *REFUSED, *SHORT]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(calls),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(calls, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("call", TAKEN)
def test_what_means_one_thing_is_taken(answers, call):
    assert answers[call] == TAKEN[call]


@pytest.mark.parametrize("call", REFUSED)
def test_what_does_not_is_refused_by_name(answers, call):
    assert REFUSED[call] in answers[call]
    assert not answers[call].startswith("raw")


@pytest.mark.parametrize("value", SHORT)
def test_a_value_is_shown_in_one_line_with_sizes(answers, value):
    said = SHORT[value] if value != "graph" else "AttributionGraph("
    assert said in answers[value]
    assert "\n" not in answers[value]
    assert len(answers[value]) <= 200
