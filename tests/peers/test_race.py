"""Peers: which run, why others do not, how runs are timed, and what the results say."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from worldswitch.harness.bench import results_file
from worldswitch.harness.bench.report.content import peer_results
from worldswitch.harness.bench.results_file import ResultsWriter
from worldswitch.harness.bench.session import results_writer
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.peers import peer, peer_list, race, race_report
from worldswitch.harness.peers.peer import Kit, Peer
from worldswitch.harness.peers.race import PeerFailed, Race, RaceEffort, RunMode

FREE = RunMode("peers")
PINNED = RunMode("peers_pinned", 0)


def says(name: str, script: str, **more: object) -> Peer:
    """A fake peer: a script that prints what a program prints."""
    command = [sys.executable, "-S", "-c", f"import sys, time; rounds = int(sys.argv[1]); {script}"]
    return Peer(name, "1.0", lambda _, rounds: [*command, str(rounds)], **more)  # type: ignore[arg-type]


def takes(nanoseconds: int) -> str:
    return f"print('worldswitch-program', rounds, rounds * {nanoseconds})"


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(fetch=False, say=lambda _: None, folder=tmp_path)


def of(*ready: Peer) -> Callable[[Kit], Iterator[Peer]]:
    return lambda _: iter(ready)


def missing(kit: Kit) -> Iterator[Peer]:
    raise Unobtainable("it is not installed", "install it")


def go(kit: Kit, monkeypatch: pytest.MonkeyPatch, *ready: Peer, programs: Sequence[str] = ("getpid",)) -> ResultsWriter:
    """Race these peers for two rounds against a reference of 100 ns."""
    monkeypatch.setattr(peer_list, "reference", of(says("reference", takes(100), programs=frozenset(("getpid",)))))
    monkeypatch.setattr(peer_list, "PEERS", (of(*ready), missing))
    writer = ResultsWriter("reference")
    effort = RaceEffort(rounds=2, others=1, seconds=1e-4, brief=1e-4, programs=tuple(programs))
    Race(writer, effort, (FREE,), kit, random.Random(1), lambda _: None).go()
    return writer


# ------------------------------------------------------------------------------------------------------------ a run


def test_a_run_has_the_time_that_the_program_prints() -> None:
    timed = race.run(says("some", takes(50)), "getpid", 30, FREE)
    assert timed.rounds == 30
    assert timed.per_round == pytest.approx(5e-8)
    assert timed.outside > timed.inside


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.exit('no such file')", "status 1: .*no such file"),
        ("print('hello')", "did not print its time for 3 rounds; its output ends 'hello"),
        ("print('worldswitch-program', rounds + 1, 5)", "did not print its time for 3 rounds"),
        ("time.sleep(60)", "did not end within 0.3 s"),
    ],
)
def test_a_failed_run_has_a_reason(script: str, reason: str) -> None:
    with pytest.raises(PeerFailed, match=reason):
        race.run(says("some", script), "getpid", 3, FREE, seconds=5 if "sleep" not in script else 0.3)


def test_a_peer_may_fail_after_the_program_has_ended() -> None:
    assert race.run(says("some", f"{takes(50)}; sys.exit(3)"), "getpid", 3, FREE).rounds == 3


@pytest.mark.parametrize("nanoseconds", [1, 1000, 10**6])
def test_rounds_are_calibrated_to_a_duration(nanoseconds: int) -> None:
    rounds = race.calibrated_rounds(says("some", takes(nanoseconds)), "getpid", 1e-3, FREE)
    assert rounds * nanoseconds == pytest.approx(1e6, rel=0.05)


def test_a_pinned_peer_has_one_cpu() -> None:
    if race.shutil.which("taskset") is None:
        pytest.skip("no taskset")
    script = "import os; print('worldswitch-program', rounds, len(os.sched_getaffinity(0)))"
    assert race.run(says("some", script), "getpid", 1, PINNED).inside == 1e-9


# ----------------------------------------------------------------------------------------------------------- a race


def test_a_ratio_is_made_from_pairs(kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    writer = go(kit, monkeypatch, says("slow", takes(400)), says("fast", takes(50)))
    writer.write(tmp_path / results_file.FILE, results_file.msgspec.convert(MACHINE, results_file.Fingerprint))
    found = {one.name: one for one in peer_results(results_file.read(tmp_path)) if one.program == "getpid"}
    assert found["slow"].ratio
    assert found["fast"].ratio
    assert (found["slow"].ratio.middle, found["fast"].ratio.middle) == (4.0, 0.5)
    assert found["slow"].version == "1.0"


def test_the_other_programs_run_in_fewer_rounds(kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    writer = go(kit, monkeypatch, says("some", takes(50)), programs=("getpid", "clock"))
    writer.write(tmp_path / results_file.FILE, results_file.msgspec.convert(MACHINE, results_file.Fingerprint))
    found = {
        name: list(one.by_round) for name, one in results_file.read(tmp_path).series.items() if name.endswith("::some")
    }
    assert found == {"peers::getpid::some": [0, 1], "peers::start::some": [0, 1], "peers::clock::some": [0]}


MACHINE = {"kernel": "Linux", "machine": "any", "cpu": "any", "cpus": 1, "python": "3", "versions": {}, "probes": {}}


def test_a_peer_that_does_not_run_is_absent_with_the_reason(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    some = says("some", takes(50), programs=frozenset(("getpid",)), reason="it has no files")
    broken = says("broken", "sys.exit('unknown platform')")
    writer = go(kit, monkeypatch, some, broken, programs=("getpid", "files"))
    assert writer.absent["peers::missing"] == "it is not installed; install it"
    assert "unknown platform" in writer.absent["peers::broken"]
    assert writer.absent["peers::files::some"] == "it has no files"


def test_a_program_that_the_reference_does_not_run_has_no_ratio(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writer = go(kit, monkeypatch, says("some", takes(50)), programs=("processes",))
    writer.write(tmp_path / results_file.FILE, results_file.msgspec.convert(MACHINE, results_file.Fingerprint))
    (one,) = [one for one in peer_results(results_file.read(tmp_path)) if one.program == "processes"]
    assert one.ratio is None


# ------------------------------------------------------------------------------------------------------- the command


def test_the_command_measures_the_peers_of_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    effort = RaceEffort(rounds=1, others=1, seconds=1e-3, brief=1e-3, programs=("getpid", "processes"))
    assert race_report.show(["native"], effort, 5, tmp_path, fetch=False) == 0
    (folder,) = tmp_path.iterdir()
    names = results_file.read(folder).series.keys()
    assert {"peers::getpid::native", "peers::getpid::native/reference", "peers::processes::native"} <= names
    assert "peers::processes::native/reference" not in names
    assert f"results: {folder / results_file.FILE}" in capsys.readouterr().out


def test_a_missing_peer_says_how_to_get_it(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for obtain in (peer_list.runsc, peer_list.proot, peer_list.strace, peer_list.user_mode_linux):
        with pytest.raises(Unobtainable, match=r"is not installed") as caught:
            list(obtain(kit))
        assert "--fetch-peers" in caught.value.remedy


def test_a_program_that_was_not_built_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unobtainable, match="nothing was not built"):
        peer.program("nothing")


def test_the_table_has_all_rows(kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with results_writer(tmp_path, "reference") as writer:
        monkeypatch.setattr(peer_list, "reference", of(says("reference", takes(100))))
        monkeypatch.setattr(peer_list, "PEERS", (of(says("slow", takes(400))), missing))
        effort = RaceEffort(rounds=1, others=1, seconds=1e-4, brief=1e-4, programs=("getpid",))
        Race(writer, effort, (FREE,), kit, random.Random(1), lambda _: None).go()
    out = Console(width=120, record=True, file=io.StringIO())
    race_report.print_results(results_file.read(tmp_path), out)
    text = out.export_text()
    assert "slow" in text
    assert "peers::missing: it is not installed; install it" in text
