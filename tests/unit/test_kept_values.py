"""Values kept in bounded memory: sizes, the order in which they go, and those who use them."""

import sys
import threading
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitscope_core.cores import return_freed_memory
from circuitscope_core.kept_values import KeptValues, parts_of

MB = 2**20


@dataclass(frozen=True)
class Pair:
    one: object
    other: object


def size_of(value, **settings):
    return sum(parts_of(value, **settings).values())


def floats(n_mb):
    return torch.zeros(n_mb * MB // 4)


@pytest.mark.parametrize(
    "value",
    [
        floats(1),
        floats(1)[:5],
        floats(1).reshape(512, -1).T,
        np.zeros(MB, dtype=np.uint8)[::7],
        "x" * MB,
        {"a": [("x" * MB,)]},
        Pair(floats(1), None),
        pa.table({"a": np.zeros(MB // 8)}),
        torch.nn.Linear(512, 512, bias=False),
    ],
    ids=str,
)
def test_a_value_is_as_large_as_the_memory_behind_it(value):
    assert MB <= size_of(value) < 1.05 * MB


def test_a_sparse_tensor_counts_its_indices_and_its_values():
    numbers = torch.arange(MB // 8)
    sparse = torch.sparse_coo_tensor(
        numbers[None], torch.ones(len(numbers)), check_invariants=False
    )
    assert 1.5 * MB <= size_of(sparse) < 1.6 * MB


def test_what_is_in_a_value_twice_counts_once():
    tensor = floats(1)
    loop = [tensor, tensor[3:], Pair(tensor, {"again": tensor})]
    loop.append(loop)
    assert size_of(loop) < 1.1 * MB


def test_types_that_somebody_else_keeps_count_nothing():
    assert size_of(Pair(torch.nn.Linear(512, 512), 3), apart=(torch.nn.Module,)) < 1000


@given(
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=20),
    uses=st.lists(st.integers(0, 19), max_size=10),
)
def test_never_more_than_the_limit_is_kept_and_it_is_counted_as_a_plain_sum_would(sizes, uses):
    values = KeptValues(limit_bytes=10_000)
    made = [torch.zeros(size * 500, dtype=torch.uint8) for size in sizes]
    for number in [*range(len(sizes)), *uses]:
        number %= len(sizes)
        assert values.get(number, lambda n=number: made[n]) is made[number]
        kept = [n for n in range(len(sizes)) if n in values]
        plain = sum(500 * sizes[n] + sys.getsizeof(made[n]) for n in kept)
        assert values.n_bytes == plain <= 10_000


def test_the_value_used_longest_ago_goes_first():
    values = KeptValues(max_entries=2)
    for key in ("a", "b", "a", "c"):
        values.get(key, lambda: object())
    assert [key for key in "abc" if key in values] == ["a", "c"]


def test_a_value_larger_than_the_limit_is_returned_and_not_kept():
    values = KeptValues(limit_bytes=MB)
    values.get("small", lambda: "s")
    assert len(values.get("large", lambda: floats(2))) == MB // 2
    assert [key for key in ("small", "large") if key in values] == ["small"]


def test_two_values_that_share_memory_are_one_and_it_stays_until_both_are_gone():
    values, tensor = KeptValues(limit_bytes=10 * MB), floats(4)
    values.enter("a")
    values.get("whole", lambda: Pair(tensor, 1))
    values.get("part", lambda: Pair(tensor[5:], 2), "a")
    assert 4 * MB < values.n_bytes < 5 * MB
    assert values.leave("a") == 1
    assert 4 * MB < values.n_bytes < 5 * MB


def test_the_last_user_who_leaves_takes_the_value_along():
    values = KeptValues(limit_bytes=10 * MB)
    for user in ("a", "b"):
        values.enter(user)
        values.get("shared", lambda: floats(1), user)
        values.get(user, lambda: floats(1), user)
    assert values.leave("a") == 1
    assert [key for key in ("shared", "a", "b") if key in values] == ["shared", "b"]
    assert values.leave("b") == 2
    assert (len(values), values.n_bytes) == (0, 0)


def test_one_who_came_twice_leaves_twice():
    values = KeptValues()
    values.enter("a")
    values.enter("a")
    values.get("x", object, "a")
    assert values.leave("a") == 0
    assert "x" in values
    assert values.leave("a") == 1


def test_nothing_is_kept_for_one_who_has_left():
    values = KeptValues()
    values.enter("a")

    def leave_meanwhile():
        values.leave("a")
        return 3

    assert values.get("late", leave_meanwhile, "a") == 3
    assert "late" not in values


def test_a_value_is_computed_once_for_all_who_ask_meanwhile():
    values, calls, go = KeptValues(), [], threading.Event()

    def compute():
        calls.append(1)
        go.wait(10)
        return "made"

    found = []
    threads = [
        threading.Thread(target=lambda: found.append(values.get("k", compute))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert (found, len(calls)) == (["made"] * 4, 1)


def test_an_error_is_passed_on_and_the_next_one_tries_again():
    values = KeptValues()
    with pytest.raises(ZeroDivisionError):
        values.get("k", lambda: 1 / 0)
    assert values.get("k", lambda: 2) == 2


def test_freed_memory_goes_back_where_the_system_can_take_it():
    return_freed_memory()  # on systems without the GNU C library, nothing but Python's own
