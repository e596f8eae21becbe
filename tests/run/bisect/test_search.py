"""Bisection finds the first bad kernel, judges each once, and lists the untestable ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldswitch.harness.run.bisect.search import Answer, Undecidable, search


def judged(first_bad: int, untestable: set[int], judged_numbers: list[int]):
    """A judge of numbers, of which each from `first_bad` on is bad."""

    def judge(number: int) -> Answer:
        judged_numbers.append(number)
        if number in untestable:
            return Answer.UNTESTABLE
        return Answer.BAD if number >= first_bad else Answer.GOOD

    return judge


@given(st.integers(2, 60).flatmap(lambda count: st.tuples(st.just(count), st.integers(1, count - 1))))
def test_it_finds_the_first_bad_one(case: tuple[int, int]) -> None:
    count, first = case
    judged_numbers: list[int] = []
    found = search(range(count), judged(first, set(), judged_numbers))
    assert (found.good, found.bad, found.between) == (first - 1, first, ())
    assert len(judged_numbers) == len(set(judged_numbers)) <= 3 + math.ceil(math.log2(count))


@given(
    st.integers(2, 40).flatmap(
        lambda count: st.tuples(
            st.just(count), st.integers(1, count - 1), st.sets(st.integers(1, count - 2) if count > 2 else st.nothing())
        )
    )
)
def test_untestable_kernels_are_skipped_and_listed(case: tuple[int, int, set[int]]) -> None:
    count, first, untestable = case
    judged_numbers: list[int] = []
    found = search(range(count), judged(first, untestable, judged_numbers))
    assert found.good < first <= found.bad
    assert set(found.between) <= untestable
    assert found.between == tuple(range(found.good + 1, found.bad))
    assert len(judged_numbers) == len(set(judged_numbers))


@pytest.mark.parametrize(
    ("first", "untestable", "message"),
    [
        (0, set(), "0 should be good, but is bad"),
        (9, set(), "4 should be bad, but is good"),
        (2, {0}, "0 should be good, but is untestable"),
        (2, {4}, "4 should be bad, but is untestable"),
    ],
)
def test_ends_with_the_wrong_answer_are_an_error(first: int, untestable: set[int], message: str) -> None:
    with pytest.raises(Undecidable, match=message):
        search(range(5), judged(first, untestable, []))


def test_one_kernel_has_no_boundary() -> None:
    with pytest.raises(Undecidable, match="at least two"):
        search(range(1), judged(0, set(), []))
