"""Bisection: it finds where something turns, judges each kernel once, and says what it could not judge."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldswitch.harness.run.bisect.search import Answer, Undecidable, search


def judged(first_bad: int, untestable: set[int], asked: list[int]):
    """A judge of numbers, of which each from `first_bad` on is bad."""

    def judge(number: int) -> Answer:
        asked.append(number)
        if number in untestable:
            return Answer.UNTESTABLE
        return Answer.BAD if number >= first_bad else Answer.GOOD

    return judge


@given(st.integers(2, 60).flatmap(lambda count: st.tuples(st.just(count), st.integers(1, count - 1))))
def test_it_finds_the_first_bad_one(case: tuple[int, int]) -> None:
    count, first = case
    asked: list[int] = []
    found = search(range(count), judged(first, set(), asked))
    assert (found.good, found.bad, found.between) == (first - 1, first, ())
    assert len(asked) == len(set(asked)) <= 3 + math.ceil(math.log2(count))


@given(
    st.integers(2, 40).flatmap(
        lambda count: st.tuples(
            st.just(count), st.integers(1, count - 1), st.sets(st.integers(1, count - 2) if count > 2 else st.nothing())
        )
    )
)
def test_what_cannot_be_judged_is_left_aside_and_named(case: tuple[int, int, set[int]]) -> None:
    count, first, untestable = case
    asked: list[int] = []
    found = search(range(count), judged(first, untestable, asked))
    assert found.good < first <= found.bad
    assert set(found.between) <= untestable
    assert found.between == tuple(range(found.good + 1, found.bad))
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("first", "untestable", "words"),
    [
        (0, set(), "0 should be good, and is bad"),
        (9, set(), "4 should be bad, and is good"),
        (2, {0}, "0 should be good, and is untestable"),
        (2, {4}, "4 should be bad, and is untestable"),
    ],
)
def test_ends_that_are_not_what_they_should_be_are_told(first: int, untestable: set[int], words: str) -> None:
    with pytest.raises(Undecidable, match=words):
        search(range(5), judged(first, untestable, []))


def test_one_kernel_has_no_boundary() -> None:
    with pytest.raises(Undecidable, match="at least two"):
        search(range(1), judged(0, set(), []))
