"""The nodes that push a wrong answer, measured, and the features without which it turns."""

import pytest
import torch

from circuitscope_core import GraphError
from circuitscope_core.evals.debugging import diagnose, find_failures
from circuitscope_core.evals.exam import take_exam
from circuitscope_core.interventions import change_nodes, intervene, intervene_many
from circuitscope_core.prompt_pass import run_prompt
from circuitscope_core.skills import SkillPrompt
from tests.samples import PROMPT, tiny_replacement


def wanted_of(replacement, prompt=PROMPT, rank=1):
    """Return a token that the model nearly says."""
    logits = run_prompt(replacement, prompt).record.logits[0, -1]
    return int(logits.argsort(descending=True)[rank])


@pytest.mark.parametrize("mode", ["direct", "constrained"])
def test_every_push_is_what_the_model_loses_without_the_node(mode):
    replacement = tiny_replacement(n_layers=3)
    found = diagnose(replacement, PROMPT, wanted_of(replacement), mode=mode)
    assert found.margin > 0
    assert [push.measured for push in found.pushes] == sorted(
        (push.measured for push in found.pushes), reverse=True
    )
    for push in found.pushes[::9]:
        if found.graph.node(push.node).position == 0 and push.node < found.graph.token_nodes.start:
            continue
        off = change_nodes(found.graph, [push.node])
        result = intervene(replacement, PROMPT, off, mode=mode)
        lost = (result.logits_before - result.logits_after)[-1]
        assert push.measured == pytest.approx(
            float(lost[found.said] - lost[found.wanted]), abs=1e-4
        )
        if mode == "direct":
            assert push.measured == pytest.approx(push.predicted, rel=1e-3, abs=1e-4)


def test_without_the_features_of_a_flip_the_model_says_what_was_wanted():
    turned = 0
    for seed in range(6):
        replacement = tiny_replacement(seed, n_layers=3)
        found = diagnose(replacement, PROMPT, wanted_of(replacement))
        if found.flip is None:
            continue
        turned += 1
        off = change_nodes(found.graph, found.flip.nodes)
        after = intervene(replacement, PROMPT, off, mode="constrained").logits_after[-1]
        assert int(after.argmax()) == found.wanted
        others = torch.cat([after[: found.wanted], after[found.wanted + 1 :]])
        expected = float(after[found.wanted] - others.max())
        assert found.flip.margin == pytest.approx(expected, abs=1e-4)
        if len(found.flip.nodes) > 1:  # none alone would have done
            sets = [change_nodes(found.graph, [n]) for n in range(found.graph.n_features)]
            alone = intervene_many(replacement, PROMPT, sets).logits_after
            assert found.wanted not in alone.argmax(dim=1).tolist()
    assert turned >= 2


def test_where_no_few_features_turn_it_none_are_named():
    replacement = tiny_replacement(n_layers=3)
    found = diagnose(replacement, PROMPT, wanted_of(replacement, rank=250), most_features=1)
    assert found.flip is None


def test_a_token_that_the_model_says_leaves_nothing_to_explain():
    replacement = tiny_replacement()
    with pytest.raises(GraphError, match="nothing to turn"):
        diagnose(replacement, PROMPT, wanted_of(replacement, rank=0))


def test_failures_are_the_questions_that_the_exam_marks_wrong():
    replacement = tiny_replacement()
    asked = [SkillPrompt("x", f"{text} (", "N", (0,)) for text in ("The Navy", "ab", "Big Bear")]
    said = int(replacement.model(torch.tensor([[256, *b"ab ("]]))[0, -1].argmax())
    right = SkillPrompt("x", "ab (", replacement.tokenizer.decode([said]), (0,))
    failures = find_failures(replacement, [*asked, right])
    marks = take_exam(replacement.model, replacement.tokenizer, [*asked, right])
    assert len(failures) == round(marks.n * (1 - marks.whole))
    assert right not in [failure.question for failure in failures]
    for failure in failures:
        assert failure.prompt == failure.question.prompt
        assert failure.said != failure.wanted
