"""The checks of types and shapes that every test runs with."""

from collections.abc import Mapping, Sequence

import jaxtyping
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.corpus.documents import end_of_character
from circuitscope_core.graph.graph_parts import GraphEdges, NeuronChoice
from tests.type_checks import check


def edges(targets, sources, weights):
    return GraphEdges(torch.arange(targets), torch.arange(sources), torch.zeros(weights))


def test_one_name_is_one_size_in_a_call_and_another_in_the_next():
    assert len(edges(3, 3, 3)) == 3
    assert len(edges(2, 2, 2)) == 2
    with pytest.raises(jaxtyping.TypeCheckError, match="n_edges is 2 which does not equal"):
        edges(3, 2, 3)


def test_kinds_of_numbers_and_of_other_arguments_are_looked_at():
    with pytest.raises(jaxtyping.TypeCheckError, match="weights"):
        GraphEdges(torch.arange(2), torch.arange(2), torch.arange(2))
    with pytest.raises(jaxtyping.TypeCheckError, match="limit"):
        end_of_character(b"text", "3")


def test_a_method_and_a_result_are_looked_at():
    choice = NeuronChoice(
        1, 1.0, folded=False, against=(), effects=torch.ones(2), other_activations=torch.ones(2)
    )
    assert choice.telling(torch.zeros(2)).tolist() == [1.0, 1.0]
    with pytest.raises(jaxtyping.TypeCheckError, match="activations"):
        choice.telling(torch.zeros(2, 2))

    def wrong() -> int:
        return "a text"

    with pytest.raises(jaxtyping.TypeCheckError, match="return"):
        check(wrong)()


def test_annotations_that_are_for_type_checkers_alone_are_passed_over():
    def of_others(value, number):
        return [value] * number

    unknown = {"value": "there_is_no_such_name", "return": "list[nor_this]"}
    of_others.__annotations__ = {**unknown, "number": int}
    assert check(of_others)("x", 2) == ["x", "x"]
    with pytest.raises(jaxtyping.TypeCheckError, match="number"):
        check(of_others)("x", "2")


def test_what_was_right_once_is_looked_at_again_where_its_kind_is_another():
    results = [torch.zeros(2), torch.zeros(2), torch.zeros(2, dtype=torch.float64), torch.zeros(3)]

    def give(x: Float[Tensor, " n"], number: int) -> Float[Tensor, " n"]:
        del x, number
        return results.pop(0)

    quick = check(give)
    for _ in range(3):
        assert len(quick(torch.ones(2), 1)) == 2
    with pytest.raises(jaxtyping.TypeCheckError, match="return"):
        quick(torch.ones(2), 1)
    for x, number in ((torch.ones(2), "1"), (torch.ones(2, dtype=torch.int64), 1)):
        results.append(torch.zeros(2))
        with pytest.raises(jaxtyping.TypeCheckError, match="number" if number == "1" else "x"):
            quick(x, number)
    results.append(torch.zeros(2))
    assert len(quick(torch.ones(2), number=1)) == 2


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (list[int], [1], ["x"]),
        (tuple[int, ...], (1,), ("x",)),
        (Sequence[int], [1], ["x"]),
        (Mapping[str, int], {"a": 1}, {"a": "x"}),
        (tuple[int, str], (1, "x"), ("x", 1)),
    ],
)
def test_members_of_a_container_are_looked_at_every_time(hint, good, bad):
    def take(x, values):
        return len(values) + len(x)

    take.__annotations__ = {"x": Float[Tensor, " n"], "values": hint, "return": int}
    quick = check(take)
    assert quick(torch.ones(2), good) == quick(torch.ones(2), good)
    with pytest.raises(jaxtyping.TypeCheckError, match="values"):
        quick(torch.ones(2), bad)
