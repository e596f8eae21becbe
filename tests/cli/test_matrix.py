"""The matrix: its kernels, profiles and scenarios, and its choice if kernels are not available."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from worldswitch.harness.catalogue import quick_set, scenarios
from worldswitch.harness.cell import collection
from worldswitch.harness.cli import main, run
from worldswitch.harness.environments.kernels import fetch, known, selection
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.report import progress
from worldswitch.harness.report.progress import Detail
from worldswitch.harness.run import request
from worldswitch.harness.run.request import Request


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests, which are recorded instead of run."""
    requests: list[Request] = []

    def carry_out(request: Request, results: Path, command: str, detail: Detail, *, as_matrix: bool) -> int:
        requests.append(request)
        return 0

    monkeypatch.setattr(run, "carry_out", carry_out)
    monkeypatch.setattr(fetch, "obtain", lambda name, say: None)
    return requests


def test_a_matrix_is_all_kernels_in_containers_with_quick_repetitions_and_no_chaos(requests: list[Request]) -> None:
    assert main.main(["matrix"]) == 0
    (request,) = requests
    assert len(request.kernels) == 11
    assert (request.profiles, request.ids) == ((), ())
    assert (request.engine, request.repeat, request.chaos) == ("docker", "quick", False)


def test_a_part_of_the_matrix_can_be_selected(requests: list[Request]) -> None:
    main.main(["matrix", "--kernel", "6.12", "--kernel", "./bzImage", "--profile", "hardened", "--id", "SG*"])
    (request,) = requests
    assert (request.kernels, request.profiles, request.ids) == (("6.12", "./bzImage"), ("hardened",), ("SG*",))


def test_a_quick_matrix_has_three_kernels_three_profiles_and_the_quick_set(requests: list[Request]) -> None:
    main.main(["matrix", "--quick"])
    (request,) = requests
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
def test_a_quick_matrix_replaces_unavailable_kernels(
    requests: list[Request],
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
    assert requests[0].kernels == taken
    assert capsys.readouterr().err.count("Linux 7.3 is unavailable: the mirror has dropped it") == 1


def test_without_available_kernels_the_default_choice_is_planned(
    requests: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def obtain(name: str, say: object) -> None:
        raise Unobtainable("no mirror", "wait")

    monkeypatch.setattr(fetch, "obtain", obtain)
    assert selection.quick(print) == ("5.10", "6.12", "7.3")


def test_the_middle_is_a_long_term_kernel_if_there_is_one() -> None:
    entries = known.load()
    assert [entry.name for entry in selection.around_the_middle(entries)] == ["6.12", "6.1", "6.18", "5.10"]
    assert selection.around_the_middle([entry for entry in entries if not entry.long_term])[0].name == "7.0"


def test_the_quick_set_exists_and_has_thirty_to_a_hundred_scenarios() -> None:
    every = scenarios.scenarios()
    for name in quick_set.listed():
        assert any(one.is_called(name) for one in every), name
    assert 30 <= len(request.select(every, quick_set.names(), chaos=False)) <= 100


def test_the_quick_set_is_named_by_module_so_that_cells_import_only_those() -> None:
    modules = collection.modules_of(quick_set.names())
    families = {one.family for one in scenarios.scenarios()}
    assert set(modules) < families
    assert len(modules) < len(families) / 2


def test_an_invalid_list_of_kernels_is_refused(
    requests: list[Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text("kernel = []")
    monkeypatch.setenv(known.LIST, str(tmp_path / "mine.toml"))
    for arguments in (["matrix"], ["matrix", "--quick"], ["bisect", "TT02", "--good", "6.12", "--bad", "7.3"]):
        assert main.main(arguments) == 2
        assert "kernel: expected `array` of length >= 1" in capsys.readouterr().err
    assert requests == []


def test_a_job_matrix_has_each_cell_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["matrix", "--list-json", "--kernel", "6.1", "--kernel", "6.12", "--profile", "hardened"]) == 0
    jobs = json.loads(capsys.readouterr().out)
    assert [(job["name"], job["arguments"]) for job in jobs] == [
        ("linux-6.1:hardened", "--shard 1/2"),
        ("linux-6.12:hardened", "--shard 2/2"),
    ]


def test_a_shard_of_the_matrix_is_a_part_of_it(requests: list[Request]) -> None:
    main.main(["matrix", "--shard", "1/11"])
    (request,) = requests
    assert request.kernels == ("5.10",)
    assert len(request.cells) * 11 == len(request.whole)


@pytest.mark.parametrize("text", ["0/2", "3/2", "half", "1"])
def test_a_mistyped_shard_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(["matrix", "--shard", text])
    assert "expected a shard such as 2/5" in capsys.readouterr().err


@pytest.mark.usefixtures("requests")
def test_the_choice_of_kernels_is_never_silent_for_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "TELL_EVERY", 0.05)
    monkeypatch.setattr(fetch, "obtain", lambda name, say: time.sleep(0.2))
    assert main.main(["matrix", "--quick"]) == 0
    first, *more = capsys.readouterr().err.splitlines()
    assert first == "choosing the kernels of a quick matrix ..."
    assert more.count("choosing the kernels of a quick matrix (0 s)") >= 2


def test_a_quick_matrix_says_what_it_does_before_it_looks_for_scenarios(
    requests: list[Request], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    find = Request.scenarios

    def scenarios(request: Request) -> object:
        said.append(capsys.readouterr().err)
        return find(request)

    monkeypatch.setattr(Request, "scenarios", scenarios)
    assert main.main(["matrix", "--quick"]) == 0
    assert said[0].startswith("choosing the kernels of a quick matrix ...\n")
