"""How tracees die, what their tracers see, and what the end of a tracer's or parent's thread does to them."""

from __future__ import annotations

import os
import signal

from worldswitch.harness.verdict import in_time
from worldswitch.scenarios import guests, raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.raw_ptrace import lib
from worldswitch.scenarios.raw_ptrace.threads import in_a_thread

SEES_EXIT = raw_ptrace.OPTIONS | lib.PTRACE_O_TRACEEXIT


@fact(
    "KD1",
    clauses=("kernel.D1", 'ptrace(2) "Death under ptrace"', "ptrace(2) PTRACE_O_TRACEEXIT"),
    known={"EVENT_EXIT, message 9, killed by SIGKILL": "5.10 to 7.3"},
)
def a_killed_tracee_stops_at_its_exit() -> str:
    """With PTRACE_O_TRACEEXIT a running tracee that is killed stops once more; the message is its wait status."""
    with raw_ptrace.tracee(guests.count_loop.code, options=SEES_EXIT) as tracee:
        tracee.ask("CONT")
        tracee.send(signal.SIGKILL)
        stop, message = tracee.wait(), tracee.message()
        return f"{stop}, message {message}, {tracee.go('CONT')}"


@fact("KD1", clauses="kernel.D1", known={"killed by SIGKILL": "5.10 to 7.3"})
def a_killed_tracee_is_gone_without_that_option() -> str:
    """Without PTRACE_O_TRACEEXIT a killed tracee does not stop between SIGKILL and its end."""
    with raw_ptrace.tracee(guests.count_loop.code) as tracee:
        tracee.ask("CONT")
        tracee.send(signal.SIGKILL)
        return tracee.wait()


@fact(
    "KD1",
    clauses=('ptrace(2) "PTRACE_EVENT stops"', "ptrace(2) PTRACE_GETEVENTMSG", "kernel.D1", "fact.E1"),
    known={"EVENT_EXIT, message 1792, rax 231; exited with 7": "5.10 to 7.3"},
)
def an_exit_shows_its_status_and_registers() -> str:
    """At PTRACE_EVENT_EXIT of an exit the message is its status, and the registers can still be read."""
    with raw_ptrace.tracee(guests.call_and_trap.code, options=SEES_EXIT, rax=lib.SYS_exit_group, rdi=7) as tracee:
        stop, message, number = tracee.go("CONT"), tracee.message(), tracee.registers()["orig_rax"]
        return f"{stop}, message {message}, rax {number}; {tracee.go('CONT')}"


@fact("KD2", clauses=("kernel.D2", "fact.E1"), known={"EVENT_EXIT, message 9": "5.10 to 7.3"})
def a_kill_ends_any_other_stop() -> str:
    """SIGKILL takes a tracee out of a stop without its tracer."""
    with raw_ptrace.tracee(options=SEES_EXIT) as tracee:
        tracee.send(signal.SIGKILL)
        return f"{tracee.wait()}, message {tracee.message()}"


@fact(
    "KD2",
    clauses=("kernel.D2", "fact.G1"),
    known={"GETREGS 0, SETREGS 0, CONT 0, killed by SIGKILL": "5.10 to 7.3: the exit is never seen"},
)
def requests_may_meet_an_exit_that_nobody_waited_for() -> str:
    """A tracer that does not know of a kill resumes the tracee from its PTRACE_EVENT_EXIT."""
    with raw_ptrace.tracee(options=SEES_EXIT) as tracee:
        tracee.send(signal.SIGKILL)
        peek = os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG | lib.__WALL
        in_time(raw_ptrace.until(lambda: os.waitid(os.P_PID, tracee.tid, peek) is not None), "no death to wait for")
        read = "0" if tracee.registers() else ""
        return f"GETREGS {read}, SETREGS {tracee.set_registers(rax=1)}, CONT {tracee.says('CONT')}, {tracee.wait()}"


@fact(
    "KD3",
    clauses=("kernel.D3", "fact.E1c", "linux e572410e47a4"),
    known={"it stays": "since 6.1", "it goes on": "5.10"},
)
def a_second_kill_at_the_exit() -> str:
    """After a second SIGKILL at PTRACE_EVENT_EXIT, only the tracer can resume the tracee, since 6.1."""
    with raw_ptrace.tracee(options=SEES_EXIT) as tracee:
        tracee.send(signal.SIGKILL)
        tracee.wait()
        tracee.send(signal.SIGKILL)
        return "it stays" if tracee.silent() and tracee.state == "t" else "it goes on"


@fact("KD4", clauses=("kernel.D4", "fact.D5"), known={"EVENT_EXIT each": "5.10 to 7.3"})
def every_thread_has_its_own_exit() -> str:
    """Each traced thread of a killed process stops at its own PTRACE_EVENT_EXIT."""
    with raw_ptrace.tracee(options=SEES_EXIT) as tracee:
        sibling = tracee.clone()
        sibling.wait()
        tracee.send(signal.SIGKILL)
        stops = {tracee.wait(), sibling.wait()}
        return f"{stops.pop()} each" if len(stops) == 1 else ", ".join(sorted(stops))


@fact(
    "KD4",
    clauses=("kernel.D4", "fact.H6"),
    known={
        "Z, nothing to wait for, tgkill 0; then exited with 0": "6.1 to 7.3: the last thread's status counts",
        "Z, nothing to wait for, tgkill 0; then exited with 3": "5.10: the leader's own status counts",
    },
)
def a_leader_that_ended_is_kept_by_its_threads() -> str:
    """A group leader that ends first is a zombie that cannot be waited for, and to which signal 0 can be sent."""
    with raw_ptrace.tracee() as tracee:
        sibling = tracee.clone()
        sibling.wait()
        tracee.put(guests.call_and_trap.code, rax=lib.SYS_exit, rdi=3)
        tracee.ask("CONT")
        tracee.becomes("Z")
        waited = "nothing to wait for" if tracee.silent() else "something to wait for"
        said = f"{tracee.state}, {waited}, tgkill {raw_ptrace.system_call(lib.SYS_tgkill, tracee.tid, tracee.tid, 0)}"
        sibling.put(guests.call_and_trap.code, rax=lib.SYS_exit)
        sibling.go("CONT")
        return f"{said}; then {tracee.wait()}"


# ------------------------------------------------------------------------------------------------------ ends of tracers


@fact("KD5", clauses=("kernel.D5", "fact.F1"), known={"killed by SIGKILL": "5.10 to 7.3"})
def the_end_of_a_tracer_thread_kills_with_exitkill() -> str:
    """With PTRACE_O_EXITKILL the end of the tracing thread kills the whole process of its tracee."""
    with raw_ptrace.tracee() as tracee:
        sibling = tracee.clone(raw_ptrace.A_THREAD)
        sibling.wait()
        sibling.put(guests.count_loop.code)
        sibling.ask("DETACH")
        in_a_thread(lambda: sibling.ask("SEIZE", 0, raw_ptrace.OPTIONS))
        return tracee.wait()


@fact(
    "KD5",
    clauses=("kernel.D5", "fact.E2b"),
    known={"R, traced by 0": "5.10 to 7.3"},
)
def the_end_of_a_tracer_thread_sets_free_without_it() -> str:
    """Without PTRACE_O_EXITKILL the end of the tracing thread lets the tracee run on untraced."""
    with raw_ptrace.process() as process:

        def trace() -> None:
            tracee = process.seize(lib.PTRACE_O_TRACESYSGOOD)
            tracee.ask("INTERRUPT")
            tracee.wait()
            tracee.put(guests.count_loop.code)

        in_a_thread(trace)
        raw_ptrace.until(lambda: raw_ptrace.process_state(process.pid) == "R")
        return f"{raw_ptrace.process_state(process.pid)}, traced by {raw_ptrace.status_of(process.pid, 'TracerPid')}"


# ------------------------------------------------------------------------------------------------------ ends of parents


@fact("KD6", clauses="kernel.D6", known={"killed by SIGKILL": "5.10 to 7.3"})
def tracees_are_not_reaped_by_themselves() -> str:
    """A tracer that ignores SIGCHLD still gets its tracee's end."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with raw_ptrace.tracee() as tracee:
            tracee.send(signal.SIGKILL)
            return tracee.wait()
    finally:
        signal.signal(signal.SIGCHLD, before)


#: An exit signal that is ignored by default.
HARMLESS = signal.SIGURG


def _child_of(tracee: raw_ptrace.Thread, exit_signal: int) -> raw_ptrace.Thread:
    child = tracee.clone(exit_signal)
    child.wait()
    return child


@fact("KD6", clauses=("kernel.D6", 'ptrace(2) "Real parent"'), known={"before me 0, after me its pid": "5.10 to 7.3"})
def a_tracer_waits_before_the_parent() -> str:
    """The end of another process's child is reported to its tracer first and to its parent afterwards."""
    with raw_ptrace.tracee() as parent:
        child = _child_of(parent, signal.SIGCHLD)
        child.send(signal.SIGKILL)
        in_time(raw_ptrace.until(lambda: child.state == "Z"), "the child did not become a zombie")
        before = parent.call(lib.SYS_wait4, child.tid, 0, lib.WNOHANG)
        child.wait()
        parent.reports()
        after = parent.call(lib.SYS_wait4, child.tid, 0, lib.WNOHANG)
        return f"before me {before}, after me {'its pid' if after == child.tid else after}"


def _told_of_the_end_of(tracee: raw_ptrace.Thread) -> str:
    """Which of the two signals of a tracee's end this process receives."""
    candidates = {signal.SIGCHLD, HARMLESS}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, candidates)
    try:
        while signal.sigtimedwait(candidates, 0):
            pass  # an earlier stop
        tracee.send(signal.SIGKILL)
        info = signal.sigtimedwait(candidates, raw_ptrace.BOUND)
        return raw_ptrace.signal_name(info.si_signo) if info else "nothing"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@fact("KD7", clauses="kernel.D7", known={"SIGURG": "5.10 to 7.3"})
def a_tracer_that_is_the_parent_gets_the_exit_signal() -> str:
    """The end of a tracee that is the tracer's child raises the exit signal given to clone."""
    with raw_ptrace.tracee(flags=HARMLESS) as tracee:
        return _told_of_the_end_of(tracee)


@fact("KD7", clauses="kernel.D7", known={"the tracer SIGCHLD, the parent SIGURG": "5.10 to 7.3"})
def a_tracer_that_is_not_the_parent_gets_sigchld() -> str:
    """The end of another process's child raises SIGCHLD for its tracer, and then the exit signal for its parent."""
    with raw_ptrace.tracee() as parent:
        child = _child_of(parent, HARMLESS)
        told = _told_of_the_end_of(child)
        child.wait()
        return f"the tracer {told}, the parent {', '.join(parent.reports()) or 'nothing'}"


@fact(
    "KD7",
    clauses="kernel.D7",
    known={"killed by SIGKILL": "5.10 to 7.3"},
)
def an_exit_signal_may_kill_the_parent() -> str:
    """The end of a child cloned with SIGKILL as its exit signal kills the parent."""
    with raw_ptrace.tracee() as parent:
        child = _child_of(parent, signal.SIGKILL)
        child.send(signal.SIGKILL)
        child.wait()
        return parent.wait()


@fact("KD7", clauses=("kernel.D7", "kernel.I2"), needs="pidns", known={"it lives": "5.10 to 7.3"})
def an_exit_signal_does_not_kill_an_init() -> str:
    """The exit signal SIGKILL of a child does not kill a parent that is the first process of its PID namespace."""
    with raw_ptrace.tracee(flags=lib.CLONE_NEWPID | signal.SIGCHLD) as parent:
        child = parent.call(lib.SYS_clone, signal.SIGKILL)  # runs into the trap behind the call
        waited = parent.call(lib.SYS_wait4, child, 0, lib.__WALL)
        return "it lives" if waited == child else f"it lives, and wait4 says {raw_ptrace.answer(waited)}"


@fact("KD8", clauses=("kernel.D8", "fact.F2"), known={"killed by SIGUSR1": "5.10 to 7.3"})
def the_end_of_the_thread_that_forked_is_the_parents_death() -> str:
    """PR_SET_PDEATHSIG fires when the thread that forked the child ends, though its process lives on."""
    with raw_ptrace.tracee() as parent:
        thread = parent.clone()
        thread.wait()
        child = _child_of(thread, signal.SIGCHLD)
        child.call(lib.SYS_prctl, lib.PR_SET_PDEATHSIG, signal.SIGUSR1)
        child.ask("CONT")
        thread.enter(lib.SYS_exit)
        thread.go("CONT")
        child.wait()
        return child.go("CONT", signal.SIGUSR1)


@fact("KD8", clauses="kernel.D8", known={"10 in the parent, 0 in its child": "5.10 to 7.3"})
def the_parents_death_signal_is_not_inherited() -> str:
    """A fork clears PR_SET_PDEATHSIG."""
    with raw_ptrace.tracee() as parent:
        parent.call(lib.SYS_prctl, lib.PR_SET_PDEATHSIG, signal.SIGUSR1)
        child = _child_of(parent, signal.SIGCHLD)
        return f"{_death_signal(parent)} in the parent, {_death_signal(child)} in its child"


def _death_signal(tracee: raw_ptrace.Thread) -> int:
    tracee.call(lib.SYS_prctl, lib.PR_GET_PDEATHSIG, tracee.process.arena.data)
    return tracee.process.arena.word() & 0xFFFFFFFF
