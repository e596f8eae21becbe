"""Where a platform is asked to start: it works there, or says in words what stands in the way and what to do."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

from worldswitch.harness.contract import Interrupted
from worldswitch.scenarios import children, guests
from worldswitch.scenarios.catalogue import scenario
from worldswitch.scenarios.children import Line, Namespace
from worldswitch.scenarios.confinement import deny_ptrace, errno_of_ptrace, follow, seize
from worldswitch.scenarios.deaths import stub_of
from worldswitch.scenarios.pacing import await_progress, running
from worldswitch.scenarios.processes import descendants_of, status_of, threads_of
from worldswitch.scenarios.refusals import why_unavailable
from worldswitch.scenarios.senders import tgkill
from worldswitch.scenarios.stage import Stage

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
CAP_SYS_PTRACE = 19  # <linux/capability.h>

#: What a visitor from outside may send that a guest must not feel: fatal, ignored and real-time ones.
UNFELT = (
    signal.SIGUSR1,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGCHLD,
    signal.SIGTRAP,
    signal.SIGSEGV,
    signal.SIGRTMIN,
)


@scenario("EV01", clauses=("gvisor#9006", "gvisor#10495", "Yama ptrace_scope"), needs="yama")
def yama_is_lived_with_or_named(stage: Stage) -> None:
    """Under Yama's scopes 0 and 1, and 2 with CAP_SYS_PTRACE, the platform works; otherwise it names Yama."""
    scope = int(YAMA.read_text())
    privileged = int(status_of(os.getpid(), "CapEff"), 16) >> CAP_SYS_PTRACE & 1
    if scope <= 1 or (scope == 2 and privileged):
        stage.guest(guests.getpid_loop).syscalls(3)
    else:
        assert "yama" in why_unavailable(stage).lower()


@scenario("EV03", clauses=("moby#38137", "seccomp(2)"), needs="ptrace_denied")
def a_host_that_denies_ptrace_is_named(stage: Stage) -> None:
    """Where ptrace is denied, constructing the platform says that it is, with which errno, and what to do."""
    refusal = errno_of_ptrace()
    _expect_names(why_unavailable(stage), refusal)


@scenario("EV03", clauses=("moby#38137", "seccomp(2)"), needs="seccomp")
def a_filter_that_denies_ptrace_is_named(stage: Stage) -> None:
    """The same under a seccomp filter of our own that answers ptrace with EPERM, or with ENOSYS."""
    for number in (errno.EPERM, errno.ENOSYS):
        text = children.run(stage, _behind_filter(stage, number), 10)
        _expect_names(str(text), number)


@scenario("EV04", clauses=("ptrace(2) PTRACE_O_TRACECLONE", "gvisor H4"))
def a_harness_that_is_traced_itself_is_told(stage: Stage) -> None:
    """Under a tracer that follows clones, like ``strace -f``, constructing the platform says what stands in the way."""
    text = children.run(stage, lambda _: _under_a_tracer(stage), 20)
    assert "traced" in str(text)


@scenario("EV08", clauses=("kernel.I2", "pid_namespaces(7)"), needs="pidns")
def signals_from_outside_the_pid_namespace_are_ignored(stage: Stage) -> None:
    """Signals whose sender has no pid in the platform's namespace neither reach the guest nor pass for interrupts."""
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


# ---------------------------------------------------------------------------------------------------------- pieces


def _expect_names(text: str, number: int) -> None:
    assert "ptrace" in text
    assert errno.errorcode[number] in text or os.strerror(number) in text


def _behind_filter(stage: Stage, number: int) -> Callable[[Line], str]:
    def construct(_: Line) -> str:
        deny_ptrace(number)
        return why_unavailable(stage)

    return construct


def _under_a_tracer(stage: Stage) -> object:
    """Be the tracer of a process that constructs a platform; what it was told."""

    def construct(line: Line) -> str:
        line.receive(10)
        return why_unavailable(stage)

    harness = children.fork(stage, construct)
    seize(harness.pid)
    harness.line.send("go")
    follow(harness.pid)
    return harness.result(1)


def _run_inside(stage: Stage, line: Line) -> int:
    """Two guests in one address space, one of them in mid-run while signals come; how far the other one counts."""
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
    """The process that is `pid` in the PID namespace below `harness`."""
    (found,) = (one for one in descendants_of(harness) if status_of(one, "NSpid").split()[1:] == [str(pid)])
    return found
