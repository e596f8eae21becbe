"""Every benchmark runs, says what it times, and rejects a guest with unexpected events."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cells import DENY_PTRACE

from worldswitch.harness.bench import (
    catalogue,
    machine_load,
    measure,
    messages,
    results_file,
    units,
    workbench,
    worker,
)
from worldswitch.harness.bench.benchmark import Benchmark
from worldswitch.harness.bench.messages import Disturbance, Measured, NotMeasured
from worldswitch.harness.bench.results_file import ResultsWriter
from worldswitch.harness.bench.session import TOGETHER, tasks
from worldswitch.harness.bench.suite import scale
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.contract import Cause, Death, Died, HostError
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.results.errors import ResultError

ALL = catalogue.benchmarks()
SMALL = [one for one in ALL.values() if one.size <= 8 or one.subject == "memory"]


@pytest.mark.parametrize("one", ALL.values(), ids=list(ALL))
def test_a_benchmark_s_docstring_says_what_is_timed_and_what_is_not(one: Benchmark) -> None:
    about = " ".join(one.about.split())
    assert ("Timed:" in about and "Not timed:" in about) or "Timed and not timed: as" in about or "Measured:" in about
    assert one.about.partition("\n")[0].endswith(".")


@pytest.mark.parametrize("subject", catalogue.SUBJECTS)
def test_a_subject_s_benchmarks_run(subject: str) -> None:
    mine = [one for one in SMALL if one.subject == subject]
    mine = [replace(one, burst=min(one.burst, 3)) for one in mine]
    cpus = os.sched_getaffinity(0)
    found = list(worker.measure(mine, "reference", 2, 0.0, random.Random(1)))
    assert not [message for message in found if isinstance(message, NotMeasured)]
    measured = {message.name: message for message in found if isinstance(message, Measured)}
    assert set(measured) == {one.name for one in mine}
    assert all(len(measured[one.name].values) == 2 * one.burst for one in mine)
    assert all(value > 0 for message in measured.values() for value in message.values)
    assert isinstance(found[-1], Disturbance)
    assert os.sched_getaffinity(0) == cpus


def test_a_benchmark_that_cannot_be_prepared_is_absent_with_the_reason() -> None:
    def refuse(bench: workbench.Bench) -> workbench.Timer:
        raise OSError(1, "no such thing")

    one = Benchmark("switch", "refused", "", refuse)
    first, last = worker.measure([one], "reference", 1, 0.0, random.Random(1))
    assert first == NotMeasured("switch::refused", "PermissionError: [Errno 1] no such thing")
    assert isinstance(last, Disturbance)


def test_a_bug_in_a_benchmark_is_a_traceback() -> None:
    def fail(bench: workbench.Bench) -> workbench.Timer:
        raise TypeError("a bug")

    one = Benchmark("switch", "broken", "", fail)
    with pytest.raises(TypeError, match="a bug"):
        list(worker.measure([one], "reference", 1, 0.0, random.Random(1)))


def test_a_failed_switch_in_a_thread_is_raised_and_the_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(loops: int) -> float:
        raise HostError(1, "no more")

    monkeypatch.setattr(scale, "timed_switches", lambda _: fail)
    before = threading.active_count()
    with workbench.Bench() as bench:
        timer = scale.threads(bench, 2)
        with pytest.raises(HostError, match="no more"):
            timer(2)
    assert threading.active_count() == before


@pytest.mark.parametrize("guest", workbench.EVENTS)
def test_an_unexpected_event_is_an_error(guest: str) -> None:
    with pytest.raises(workbench.UnexpectedEvent, match="last event is Died"):
        workbench.check(Died(Cause(Death.EXITED)), guest)


def test_loops_are_calibrated_to_the_minimum_time() -> None:
    one = Benchmark("switch", "slow", "", lambda bench: lambda loops: loops * 0.001)
    measured, _ = worker.measure([one], "reference", 1, 0.02, random.Random(1))
    assert isinstance(measured, Measured)
    assert measured.loops == 32
    assert measured.values == (0.001,)


def test_names_subjects_and_patterns_select() -> None:
    assert {one.subject for one in catalogue.select(("calls",))} == {"calls"}
    assert [one.name for one in catalogue.select(("switch::fault", "limits::pipe"))] == [
        "limits::pipe",
        "switch::fault",
    ]
    assert {one.series for one in catalogue.select(("scale::tracees*",))} == {"tracees"}
    assert catalogue.select(()) == list(ALL.values())
    with pytest.raises(CouldNotRun, match="no benchmark is called 'switches'"):
        measure.chosen(["switches"])


def test_compared_subjects_are_measured_by_one_process() -> None:
    made = tasks(list(ALL.values()))
    assert sorted(one.name for task in made for one in task) == sorted(ALL)
    for above, below in TOGETHER.items():
        assert any({above, below} <= {one.subject for one in task} for task in made)
    assert all(len(task) == 1 for task in made if task[0].alone)


def test_messages_are_found_among_other_output() -> None:
    sent = (Measured("a::b", 2, (1.0,), ((1, 2.0),)), NotMeasured("c::d", "why"), Disturbance(1.0, 0.5, 3, 0.1))
    lines = b"a library says\n".join(messages.encode(message) for message in sent).splitlines()
    assert tuple(messages.read(lines)) == sent


def recorded(folder: Path, scale: float = 1.0, rounds: int = 3) -> Path:
    writer = ResultsWriter("reference")
    writer.warnings.append("it was loud")
    one = ALL["switch::fault"]
    for number in range(rounds):
        values = (scale * (1 + number / 100), scale * (1.1 + number / 100))
        writer.take(
            [Measured(one.name, 4, values), NotMeasured("x::y", "none")],
            number,
            {one.name: one.metadata},
        )
    path = folder / results_file.FILE
    writer.write(path, fingerprint.take(None))
    return path


def test_a_written_file_is_read_back(tmp_path: Path) -> None:
    recorded(tmp_path)
    results = results_file.read(tmp_path)
    one = results.series["switch::fault"]
    assert one.by_round == pytest.approx({0: 1.05, 1: 1.06, 2: 1.07})
    assert one.median == pytest.approx(1.06)
    assert one.unit == "second"
    assert one.about["description"].startswith("A page fault")
    assert results.warnings == ["it was loud"]
    assert results.absent == {"x::y": "none"}
    assert results.fingerprint == fingerprint.take(None)


@pytest.mark.parametrize("command", [["show"], ["check"], ["hist"], ["stats"], ["compare_to"]])
def test_pyperf_reads_the_results(tmp_path: Path, command: list[str]) -> None:
    path = recorded(tmp_path)
    files = [str(path)] * (2 if command == ["compare_to"] else 1)
    subprocess.run([sys.executable, "-P", "-m", "pyperf", *command, *files], check=True, capture_output=True)


@pytest.mark.parametrize("content", ["", "{}", "[1]"])
def test_a_file_without_results_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / results_file.FILE).write_text(content)
    with pytest.raises(ResultError, match=r"bench\.json"):
        results_file.read(tmp_path)


def test_a_file_without_measurements_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="nothing was measured"):
        ResultsWriter("reference").write(tmp_path / results_file.FILE, fingerprint.take(None))


def test_values_have_three_significant_digits() -> None:
    assert units.shown(8.4567e-6, "second") == "8.46 µs"
    assert units.shown(0.123456, "second") == "123 ms"
    assert units.shown(12.3e-9, "second") == "12.3 ns"
    assert units.shown(115000, "byte") == "112 KiB"
    assert units.shown(3, "integer") == "3"


def test_warnings_report_the_load_by_others_and_not_the_run_s_own() -> None:
    before = machine_load.Reading(at=0, busy=10, stolen=0, waiting=0, own=1)
    cpus = machine_load.os.cpu_count() or 1
    alone = machine_load.Span.between(before, machine_load.Reading(at=1, busy=11, stolen=0, waiting=0, own=2))
    loud = machine_load.Span.between(
        before, machine_load.Reading(at=1, busy=10 + cpus, stolen=0.1 * cpus, waiting=1, own=1)
    )
    assert (alone.others, loud.others, loud.stolen, loud.waiting) == pytest.approx((0, 1, 0.1, 1))
    assert "others used 100%" in machine_load.warnings_before(loud)[0]
    log = machine_load.LoadLog()
    log.add_span("switch", alone)
    assert log.warnings() == []
    log.add_span("calls, round 2", loud)
    log.add_disturbance(Disturbance(wall=1.0, taken=0.3, involuntary=7, own=1.0))
    warnings = " ".join(log.warnings())
    assert "1 of 2 measurements, at worst 100% (calls, round 2)" in warnings
    assert "hypervisor took up to 10%" in warnings
    assert "30% of a busy-loop thread's CPU time (7 involuntary context switches)" in warnings


def test_pyperf_runs_a_subject(tmp_path: Path) -> None:
    output = tmp_path / "limits.json"
    command = [sys.executable, "-P", "-m", "worldswitch.harness.bench.pyperf_script", "limits"]
    options = ["--worker", "-l1", "-n1", "-w0", "-o", str(output)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    import pyperf

    names = pyperf.BenchmarkSuite.load(str(output)).get_benchmark_names()
    assert set(names) == {one.name for one in ALL.values() if one.subject == "limits"}


def test_where_ptrace_is_denied_the_loops_return_eperm_and_do_not_hang() -> None:
    script = f"""{DENY_PTRACE}
from worldswitch.harness.bench.native._native import lib
print(lib.traced_start())"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert int(done.stdout) == -errno.EPERM
