"""Facts of the bundled demo that tests need: computed, since the demo is trained anew at times."""

from functools import cache
from pathlib import Path

import circuitscope_core as cs
from circuitscope_core.evals.debugging import find_failures
from circuitscope_core.graph import node_id
from circuitscope_core.skills import SKILLS, exam
from pages.ui.shared.state import DEMO_PROMPT

DEMO = Path(__file__).parents[1] / "models" / "demo"
WORD = " Digital"
"""The token of the demo's prompt that its answer hangs on."""


@cache
def bundle():
    return cs.load_bundle(DEMO)


@cache
def demo_trace():
    return cs.trace(bundle(), DEMO_PROMPT)


def kept_features(n):
    """Return the ids of the kept features without which the answer moves most, best first."""
    circuit = demo_trace().circuit
    order = circuit.ablation_bits.nan_to_num(-1).argsort(descending=True)
    return tuple(circuit.ids[row] for row in order[:n].tolist())


def word_position():
    """Return the position of the word."""
    return demo_trace().graph.token_texts.index(WORD)


def word_node():
    """Return the id of the word's token node."""
    graph = demo_trace().graph
    return node_id(graph, graph.index_of_token(word_position()))


def n_tokens(prompt):
    """Return how many tokens the demo reads of a prompt, the opening one among them."""
    return len(bundle().replacement.encode(prompt))


@cache
def first_failure(skill=None, questions=100):
    """Return the first exam question that the demo gets wrong, of a skill or of any."""
    names = [skill] if skill else SKILLS
    found = (find_failures(bundle().replacement, exam(name, questions)) for name in names)
    return next(failures[0] for failures in found if failures)


@cache
def skill_that_turns():
    """Return the first skill whose first wrong answer is turned by a few features."""
    for name in SKILLS:
        failures = find_failures(bundle().replacement, exam(name, 100))
        if failures and cs.diagnose(bundle(), failures[0].token_ids, failures[0].wanted).flip:
            return name
    raise AssertionError("no failure of the demo can be turned")
