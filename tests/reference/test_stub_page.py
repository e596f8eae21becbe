"""The stub's page: the highest free page in a process's map."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldswitch.reference.stub_page import PAGE, StubPage, holes

END = 64 * PAGE


def maps(*ranges: tuple[int, int]) -> str:
    return "".join(f"{low * PAGE:012x}-{high * PAGE:012x} rw-p 00000000 00:00 0    [x-y z]\n" for low, high in ranges)


def pages(text: str, end: int = END) -> list[int]:
    return [begin // PAGE for begin in holes(text, end)]


def test_below_the_end_and_below_each_mapping() -> None:
    assert pages(maps((10, 20), (30, 40))) == [63, 29]


def test_no_room_between_neighbours_and_none_is_sought_below_them() -> None:
    assert pages(maps((10, 20), (20, 30), (60, 64))) == [59]


def test_what_lies_above_does_not_count() -> None:
    assert pages(maps((10, 20), (64, 70), (1 << 40, 1 << 41))) == [63]


def test_a_mapping_across_the_end() -> None:
    assert pages(maps((10, 20), (60, 70))) == [59]


def test_one_page_is_room_enough() -> None:
    assert pages(maps((10, 62), (63, 64))) == [62]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(st.sets(st.integers(0, 80), max_size=20))
def test_every_hole_is_free_the_highest_first(borders: set[int]) -> None:
    edges = sorted(borders)
    ranges = list(zip(edges[::2], edges[1::2], strict=False))
    taken = {page for low, high in ranges for page in range(low, high)}
    found = pages(maps(*ranges))
    assert not taken & set(found)
    assert all(0 <= page < 64 for page in found)
    assert all(high > low for high, low in pairwise(found))
    if ranges:
        above_the_lowest = [page for page in range(ranges[0][0], 64) if page not in taken]
        assert found[:1] == above_the_lowest[-1:]


def test_what_touches_the_page() -> None:
    page = StubPage(10 * PAGE, 11 * PAGE, 0, 0, 0, 0, END)
    assert page.overlaps(11 * PAGE - 1, 20 * PAGE)
    assert page.overlaps(0, 10 * PAGE + 1)
    assert not page.overlaps(11 * PAGE, 20 * PAGE)
    assert not page.overlaps(0, 10 * PAGE)
