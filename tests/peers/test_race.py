"""Peers: who runs, who does not and why, how long a run takes, and what is made of it."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from worldswitch.harness.bench import results_file
from worldswitch.harness.bench.results_file import ResultsWriter
from worldswitch.harness.bench.session import recording
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.peers import peer, peer_list, race, race_report
from worldswitch.harness.peers.peer import Kit, Ready
from worldswitch.harness.peers.race import Failed, Manner, Race

FREE = Manner("peers")
PINNED = Manner("peers_pinned", 0)


def says(name: str, script: str, **more: object) -> Ready:
    """A peer that runs no program, but says what one would say."""
    command = [sys.executable, "-S", "-c", f"import sys, time; rounds = int(sys.argv[1]); {script}"]
    return Ready(name, "1.0", lambda _, rounds: [*command, str(rounds)], **more)  # type: ignore[arg-type]


def takes(nanoseconds: int) -> str:
    return f"print('worldswitch-program', rounds, rounds * {nanoseconds})"


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(fetch=False, say=lambda _: None, folder=tmp_path)


def of(*ready: Ready) -> Callable[[Kit], Iterator[Ready]]:
    return lambda _: iter(ready)


def missing(kit: Kit) -> Iterator[Ready]:
    raise Unobtainable("it is not installed", "install it")


def go(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, *ready: Ready, programs: Sequence[str] = ("getpid",)
) -> ResultsWriter:
    """Two rounds of these peers, against a reference of 100 ns."""
    monkeypatch.setattr(peer_list, "reference", of(says("reference", takes(100), programs=frozenset(("getpid",)))))
    monkeypatch.setattr(peer_list, "PEERS", (of(*ready), missing))
    recorder = ResultsWriter("reference")
    Race(recorder, 2, 1, 1e-4, 1e-4, programs, (FREE,), kit, random.Random(1), lambda _: None).go()
    return recorder


# ------------------------------------------------------------------------------------------------------------ a run


def test_a_run_is_what_the_program_tells() -> None:
    lap = race.run(says("some", takes(50)), "getpid", 30, FREE)
    assert lap.rounds == 30
    assert lap.each == pytest.approx(5e-8)
    assert lap.outside > lap.inside


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.exit('no such file')", "status 1: .*no such file"),
        ("print('hello')", "did not tell its time; what came was 'hello"),
        ("print('worldswitch-program', rounds + 1, 5)", "did not tell its time"),
        ("time.sleep(60)", "did not end within 0.3 s"),
    ],
)
def test_what_goes_wrong_is_a_reason(script: str, reason: str) -> None:
    with pytest.raises(Failed, match=reason):
        race.run(says("some", script), "getpid", 3, FREE, seconds=5 if "sleep" not in script else 0.3)


def test_a_peer_may_complain_when_the_program_has_ended() -> None:
    assert race.run(says("some", f"{takes(50)}; sys.exit(3)"), "getpid", 3, FREE).rounds == 3


@pytest.mark.parametrize("nanoseconds", [1, 1000, 10**6])
def test_there_are_as_many_rounds_as_take_long_enough(nanoseconds: int) -> None:
    rounds = race.enough(says("some", takes(nanoseconds)), "getpid", 1e-3, FREE)
    assert rounds * nanoseconds == pytest.approx(1e6, rel=0.05)


def test_pinned_is_on_one_cpu() -> None:
    if race.shutil.which("taskset") is None:
        pytest.skip("no taskset")
    script = "import os; print('worldswitch-program', rounds, len(os.sched_getaffinity(0)))"
    assert race.run(says("some", script), "getpid", 1, PINNED).inside == 1e-9


# ----------------------------------------------------------------------------------------------------------- a race


def test_each_peer_has_its_pairs(kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorder = go(kit, monkeypatch, says("slow", takes(400)), says("fast", takes(50)))
    recorder.write(tmp_path / results_file.FILE, results_file.msgspec.convert(MACHINE, results_file.Fingerprint))
    found = {row.peer: row for row in race_report.rows(results_file.read(tmp_path)) if row.program == "getpid"}
    assert found["slow"].ratio
    assert found["fast"].ratio
    assert (found["slow"].ratio.middle, found["fast"].ratio.middle) == (4.0, 0.5)
    assert found["slow"].version == "1.0"


def test_the_other_programs_run_in_fewer_rounds(kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorder = go(kit, monkeypatch, says("some", takes(50)), programs=("getpid", "clock"))
    recorder.write(tmp_path / results_file.FILE, results_file.msgspec.convert(MACHINE, results_file.Fingerprint))
    found = {
        name: list(one.by_round) for name, one in results_file.read(tmp_path).series.items() if name.endswith("::some")
    }
    assert found == {"peers::getpid::some": [0, 1], "peers::start::some": [0, 1], "peers::clock::some": [0]}


MACHINE = {"kernel": "Linux", "machine": "any", "cpu": "any", "cpus": 1, "python": "3", "versions": {}, "probes": {}}


def test_who_does_not_run_is_a_row_with_the_reason(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    some = says("some", takes(50), programs=frozenset(("getpid",)), reason="it has no files")
    broken = says("broken", "sys.exit('unknown platform')")
    recorder = go(kit, monkeypatch, some, broken, programs=("getpid", "files"))
    assert recorder.absent["peers::missing"] == "it is not installed; install it"
    assert "unknown platform" in recorder.absent["peers::broken"]
    assert recorder.absent["peers::files::some"] == "it has no files"


def test_what_the_reference_does_not_run_has_no_ratio(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorder = go(kit, monkeypatch, says("some", takes(50)), programs=("processes",))
    recorder.write(tmp_path / results_file.FILE, results_file.msgspec.convert(MACHINE, results_file.Fingerprint))
    (row,) = [row for row in race_report.rows(results_file.read(tmp_path)) if row.program == "processes"]
    assert row.ratio is None


# ------------------------------------------------------------------------------------------------------- the command


def test_the_command_measures_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    effort = race_report.RaceEffort(rounds=1, others=1, seconds=1e-3, brief=1e-3, programs=("getpid", "processes"))
    assert race_report.show(["native"], effort, 5, tmp_path, fetch=False) == 0
    (folder,) = tmp_path.iterdir()
    names = results_file.read(folder).series.keys()
    assert {"peers::getpid::native", "peers::getpid::native/reference", "peers::processes::native"} <= names
    assert "peers::processes::native/reference" not in names
    assert f"results: {folder / results_file.FILE}" in capsys.readouterr().out


def test_what_is_not_installed_says_how_to_get_it(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for obtain in (peer_list.runsc, peer_list.proot, peer_list.strace, peer_list.user_mode_linux):
        with pytest.raises(Unobtainable, match=r"is not installed") as caught:
            list(obtain(kit))
        assert "--fetch-peers" in caught.value.remedy


def test_programs_that_were_not_built_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unobtainable, match="nothing was not built"):
        peer.program("nothing")


def test_the_table_has_all_rows(kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with recording(tmp_path, "reference") as recorder:
        monkeypatch.setattr(peer_list, "reference", of(says("reference", takes(100))))
        monkeypatch.setattr(peer_list, "PEERS", (of(says("slow", takes(400))), missing))
        Race(recorder, 1, 1, 1e-4, 1e-4, ("getpid",), (FREE,), kit, random.Random(1), lambda _: None).go()
    out = Console(width=120, record=True, file=io.StringIO())
    race_report.tell(results_file.read(tmp_path), out)
    text = out.export_text()
    assert "slow" in text
    assert "peers::missing: it is not installed; install it" in text
