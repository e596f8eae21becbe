"""Hostile environments: a platform works there, or its error names the obstacle and a remedy."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

from worldswitch.harness.contract import Interrupted, PlatformError, Unavailable
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.basics import work_here
from worldswitch.scenarios.stage.children import Line, Namespace
from worldswitch.scenarios.stage.confinement import (
    KILL_PROCESS,
    FilterRule,
    deny_ptrace,
    deny_sysemu,
    errno_of_ptrace,
    filter_this_thread,
)
from worldswitch.scenarios.stage.deaths import stub_of
from worldswitch.scenarios.stage.expected_errors import why_unavailable
from worldswitch.scenarios.stage.pacing import await_progress, running
from worldswitch.scenarios.stage.processes import descendants_of, status_of, threads_of
from worldswitch.scenarios.stage.senders import tgkill
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import outcome_of
from worldswitch.scenarios.stage.tracers import CLONES, follow, seize

#: The clone flags of a thread (<linux/sched.h>): VM, FS, FILES, SIGHAND, THREAD, SYSVSEM.
BARE_THREAD = 0x5_0F00

#: Calls that only new stubs make: an unmap from address 0 on, and clones with these flags.
STUBS_FIRST_CALLS = (
    FilterRule(Number.MUNMAP, KILL_PROCESS, (0, 0)),
    FilterRule(Number.CLONE, KILL_PROCESS, (0, BARE_THREAD)),
)

#: Signals from outside that a guest must not notice: fatal, ignored and real-time ones.
UNFELT = (
    signal.SIGUSR1,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGCHLD,
    signal.SIGTRAP,
    signal.SIGSEGV,
    signal.SIGRTMIN,
)


@scenario("EV03", clauses=("moby#38137", "seccomp(2)"), needs="ptrace_denied")
def a_host_that_denies_ptrace_is_named(stage: Stage) -> None:
    """Where ptrace is denied, constructing the platform raises `Unavailable` with the errno and a remedy."""
    refusal = errno_of_ptrace()
    _expect_names(why_unavailable(stage), refusal)


@scenario("EV03", clauses=("moby#38137", "seccomp(2)"), needs="ptrace_deniable")
def a_filter_that_denies_ptrace_is_named(stage: Stage) -> None:
    """Under a seccomp filter that answers ptrace with EPERM or ENOSYS, `Unavailable` names the denial and a remedy."""
    for number in (errno.EPERM, errno.ENOSYS):
        text = children.run(stage, _behind_filter(stage, lambda: deny_ptrace(number)), 10)  # noqa: B023 (called at once)
        _expect_names(str(text), number)


@scenario("EV03", clauses=("kernel.seccomp", 'seccomp(2) "Return values"'), needs="stub_calls_denied")
def a_host_that_kills_for_what_stubs_do_is_named(stage: Stage) -> None:
    """Where a filter kills stubs for their first calls, the error names the filter."""
    outcome = outcome_of(lambda: stage.guest(guests.getpid_loop))
    assert isinstance(outcome, PlatformError), f"the platform works under a filter that kills stubs: {outcome!r}"
    assert "seccomp" in str(outcome)


@scenario("EV03", clauses=("kernel.seccomp", 'seccomp(2) "Return values"'), needs="seccomp")
def a_filter_that_kills_what_is_being_made_is_named(stage: Stage) -> None:
    """Where a filter kills for a new stub's first call, the platform uses other calls or names the filter."""
    for rule in STUBS_FIRST_CALLS:
        outcome = children.run(stage, _try_behind(stage, rule), 15)
        assert outcome == "works" or "seccomp" in str(outcome), f"{rule}: {outcome}"


@scenario("EV09", clauses=("gvisor 277a0d5a1", "gvisor#6328"), needs="sysemu seccomp")
def a_kernel_without_sysemu_is_named(stage: Stage) -> None:
    """On a kernel without PTRACE_SYSEMU the platform works without it or names it."""
    text = str(children.run(stage, _behind_filter(stage, lambda: deny_sysemu(errno.EIO)), 10))
    assert "SYSEMU" in text
    assert os.strerror(errno.EIO) in text or "EIO" in text


@scenario("EV09", clauses=("gvisor 463e73d46", "linux 93e35efb8de4"), needs="seccomp_first")
def a_kernel_whose_filters_come_first_is_named(stage: Stage) -> None:
    """On a kernel whose filters precede ptrace (before Linux 4.8), the platform works or names the reason."""
    text = why_unavailable(stage)
    assert "seccomp" in text
    assert "4.8" in text


@scenario("EV04", "K74", clauses=("ptrace(2) PTRACE_O_TRACECLONE", "fact.H4"))
def a_harness_that_is_traced_itself_is_told(stage: Stage) -> None:
    """Under a tracer that follows clones, such as ``strace -f``, constructing the platform names the tracer."""
    text = children.run(stage, lambda _: _under_a_tracer(stage, CLONES, lambda: why_unavailable(stage)), 20)
    assert "traced" in str(text)


@scenario("EV04", "K74", clauses=("ptrace(2) PTRACE_O_TRACECLONE",))
def a_tracer_that_does_not_follow_is_no_obstacle(stage: Stage) -> None:
    """Under a tracer of one thread, such as plain ``strace``, the platform works."""
    children.run(stage, lambda _: _under_a_tracer(stage, 0, lambda: work_here(stage)), 20)


@scenario("EV08", clauses=("kernel.I2", "pid_namespaces(7)"), needs="pidns")
def signals_from_outside_the_pid_namespace_are_ignored(stage: Stage) -> None:
    """Signals from outside the PID namespace neither reach a guest nor count as interrupts."""
    harness = children.fork(stage, lambda line: _run_inside(stage, line), Namespace.PID)
    stub = _seen_from_outside(harness.pid, harness.hear(10))
    for _ in range(10):
        for signo in UNFELT:
            os.kill(stub, signo)
            for tid in threads_of(stub):
                tgkill(stub, tid, signo)
    harness.line.send("sent")
    assert harness.result(10) == 19
    harness.wait(5)


# --------------------------------------------------------------------------------------------------------------- pieces


def _expect_names(text: str, number: int) -> None:
    assert "ptrace" in text
    assert errno.errorcode[number] in text or os.strerror(number) in text


def _behind_filter(stage: Stage, confine: Callable[[], None]) -> Callable[[Line], str]:
    def construct(_: Line) -> str:
        confine()
        return why_unavailable(stage)

    return construct


def _try_behind(stage: Stage, rule: FilterRule) -> Callable[[Line], str]:
    def work(_: Line) -> str:
        filter_this_thread(rule)
        refusal = outcome_of(stage.platform_with)
        if not isinstance(refusal, Exception):
            work_here(stage)
            return "works"
        assert isinstance(refusal, Unavailable), f"expected Unavailable, got {refusal!r}"
        assert refusal.remedy, f"the error names no remedy: {refusal}"
        return str(refusal)

    return work


def _under_a_tracer(stage: Stage, options: int, work: Callable[[], object]) -> object:
    """Trace a process that does `work`; its result."""

    def begin_when_told(line: Line) -> object:
        line.receive(10)
        return work()

    harness = children.fork(stage, begin_when_told)
    seize(harness.pid, options)
    harness.line.send("go")
    follow(harness.pid)
    return harness.result(1)


def _run_inside(stage: Stage, line: Line) -> int:
    """Run two guests in one address space, one of them through the signals; the count of the other."""
    guest = stage.guest(guests.getpid_loop)
    runner = stage.guest(guests.count_loop, space=guest.space)
    guest.syscalls(10)
    thread = running(stage, runner)
    line.send(stub_of(stage, guest.space))
    assert line.receive(10) == "sent"
    guest.syscalls(10)
    await_progress(stage, runner)
    assert not thread.is_over, f"a signal from outside ended a switch: {thread.result()}"
    runner.context.interrupt()
    assert thread.result() == Interrupted()
    return guest.state["r12"]


def _seen_from_outside(harness: int, pid: object) -> int:
    """The pid, as seen here, of process `pid` in the namespace below `harness`."""
    (found,) = (one for one in descendants_of(harness) if status_of(one, "NSpid").split()[1:] == [str(pid)])
    return found
