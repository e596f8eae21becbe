"""A schedule that fails is found from its seed alone, made short, and told so that people can read it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from worldswitch.scenarios.stage.chaos import nemesis
from worldswitch.scenarios.stage.chaos.nemesis import Schedule, account_of, schedules
from worldswitch.scenarios.stage.chaos.search import Search

OPERATIONS = (*nemesis.DISTURBANCES, *nemesis.DEATHS, *nemesis.DEPARTURES, *nemesis.MAPPINGS, *nemesis.DELAYS)


def names(schedule: Schedule) -> list[str]:
    return [strike.operation.name for strike in schedule]


def fails_if(predicate: Callable[[Schedule], object]) -> Callable[[Schedule], None]:
    def perform(schedule: Schedule) -> None:
        assert not predicate(schedule)

    return perform


def is_deadly(schedule: Schedule) -> bool:
    return any(name.startswith("SIGKILL") for name in names(schedule))


def search(perform: Callable[[Schedule], None], seed: int = 1, count: int = 50) -> tuple[Search, Schedule | None]:
    made = Search(perform, seconds=60)
    return made, made.go(schedules(OPERATIONS), seed, count)


def test_none_is_found_where_all_pass() -> None:
    made, found = search(lambda _: None)
    assert found is None
    assert 45 <= made.performed <= 51


def test_one_that_fails_is_made_as_short_as_possible() -> None:
    _, found = search(fails_if(is_deadly))
    assert found is not None
    assert account_of(found).endswith(": SIGKILL of its stub")
    assert len(found) == 1


def test_one_that_takes_two_keeps_both() -> None:
    _, found = search(fails_if(lambda one: is_deadly(one) and any("unmapped" in name for name in names(one))))
    assert found is not None
    assert len(found) == 2


def test_the_same_seed_draws_the_same() -> None:
    def drawn(seed: int, count: int) -> list[Schedule]:
        seen: list[Schedule] = []
        search(seen.append, seed, count)
        return seen

    assert drawn(5, 30) == drawn(5, 60)[: len(drawn(5, 30))]
    assert drawn(5, 30) != drawn(6, 30)


def test_schedules_differ() -> None:
    seen: list[Schedule] = []
    search(seen.append, count=100)
    assert len(set(seen)) > 90
    assert {name for one in seen for name in names(one)} == {operation.name for operation in OPERATIONS}


@pytest.mark.parametrize("every", [2, 3])
def test_one_that_fails_now_and_then_is_found_all_the_same(every: int) -> None:
    performed: list[Schedule] = []

    def perform(schedule: Schedule) -> None:
        if is_deadly(schedule):
            performed.append(schedule)
            assert len(performed) % every

    made, found = search(perform, count=200)
    assert found in made.failures
    assert found is not None
    assert len(found) <= 3


def test_a_search_ends_when_its_time_is_over() -> None:
    made = Search(lambda _: None, seconds=0)
    assert made.go(schedules(OPERATIONS), 1, 1000) is None
    assert made.performed == 0


def test_whatever_is_raised_is_a_failure() -> None:
    def perform(schedule: Schedule) -> None:
        raise OSError(5, "no")

    made, found = search(perform)
    assert isinstance(made.failures[found or ()], OSError)
