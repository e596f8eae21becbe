"""The matrix: which kernels, profiles and scenarios it has, and what it makes of what cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldswitch.harness.catalogue import quick_set, scenarios
from worldswitch.harness.cell import collection
from worldswitch.harness.cli import main, run
from worldswitch.harness.environments.kernels import fetch, known, selection
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.run import request
from worldswitch.harness.run.request import Request


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What is to be run, in place of a run."""
    requests: list[Request] = []

    def carry_out(request: Request, results: Path, command: str, *, as_matrix: bool) -> int:
        requests.append(request)
        return 0

    monkeypatch.setattr(run, "carry_out", carry_out)
    monkeypatch.setattr(fetch, "obtain", lambda name, say: None)
    return requests


def test_a_matrix_is_all_kernels_in_containers_quickly_and_without_chaos(asked: list[Request]) -> None:
    assert main.main(["matrix"]) == 0
    (request,) = asked
    assert len(request.kernels) == 11
    assert (request.profiles, request.ids) == ((), ())
    assert (request.engine, request.repeat, request.chaos) == ("docker", "quick", False)


def test_a_part_of_it_can_be_named(asked: list[Request]) -> None:
    main.main(["matrix", "--kernel", "6.12", "--kernel", "./bzImage", "--profile", "hardened", "--id", "SG*"])
    (request,) = asked
    assert (request.kernels, request.profiles, request.ids) == (("6.12", "./bzImage"), ("hardened",), ("SG*",))


def test_a_quick_one_has_three_of_each_and_what_says_most(asked: list[Request]) -> None:
    main.main(["matrix", "--quick"])
    (request,) = asked
    assert request.kernels == ("5.10", "6.12", "7.3")
    assert len(request.profiles) == 3
    assert {profile.name for profile in profiles.select(request.profiles)} == set(request.profiles)
    assert request.ids == quick_set.names()


@pytest.mark.parametrize(
    ("dropped", "taken"),
    [
        (("7.2", "7.3"), ("5.10", "6.12", "7.1")),
        (("5.10", "7.3"), ("6.1", "6.12", "7.2")),
        (("6.12", "7.3"), ("5.10", "6.1", "7.2")),
    ],
)
def test_a_quick_one_takes_others_for_those_that_cannot_be_had(
    asked: list[Request],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    dropped: tuple[str, ...],
    taken: tuple[str, ...],
) -> None:
    def obtain(name: str, say: object) -> None:
        if name in dropped:
            raise Unobtainable("the mirror has dropped it", "wait")

    monkeypatch.setattr(fetch, "obtain", obtain)
    main.main(["matrix", "--quick"])
    assert asked[0].kernels == taken
    assert capsys.readouterr().out.count("Linux 7.3 is unavailable: the mirror has dropped it") == 1


def test_where_none_can_be_had_the_newest_is_planned_and_will_be_a_miss(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def obtain(name: str, say: object) -> None:
        raise Unobtainable("no mirror", "wait")

    monkeypatch.setattr(fetch, "obtain", obtain)
    assert selection.quick(print) == ("5.10", "6.12", "7.3")


def test_the_middle_is_a_long_term_kernel_if_there_is_one() -> None:
    entries = known.load()
    assert [entry.name for entry in selection.around_the_middle(entries)] == ["6.12", "6.1", "6.18", "5.10"]
    assert selection.around_the_middle([entry for entry in entries if not entry.long_term])[0].name == "7.0"


def test_what_is_starred_exists_and_is_thirty_to_a_hundred_scenarios() -> None:
    every = scenarios.scenarios()
    for name in quick_set.listed():
        assert any(one.is_called(name) for one in every), name
    assert 30 <= len(request.select(every, quick_set.names(), chaos=False)) <= 100


def test_what_is_starred_is_asked_for_by_name_so_that_cells_import_no_more() -> None:
    asked = collection.modules_of(quick_set.names())
    families = {one.family for one in scenarios.scenarios()}
    assert set(asked) < families
    assert len(asked) < len(families) / 2


def test_a_wrong_list_of_kernels_is_told(
    asked: list[Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text("kernel = []")
    monkeypatch.setenv(known.LIST, str(tmp_path / "mine.toml"))
    for arguments in (["matrix"], ["matrix", "--quick"], ["bisect", "TT02", "--good", "6.12", "--bad", "7.3"]):
        assert main.main(arguments) == 2
        assert "kernel: expected `array` of length >= 1" in capsys.readouterr().err
    assert asked == []
