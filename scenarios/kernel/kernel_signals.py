"""The order in which the kernel reports signals, and how attaching, group-stops and SIGCONT interact."""

from __future__ import annotations

import os
import signal

from worldswitch.harness.verdict import in_time
from worldswitch.scenarios import guests, raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.raw_ptrace import lib


def _all_of(*signos: signal.Signals) -> str:
    """Send `signos` to a stopped tracee; the order in which they are reported."""
    with raw_ptrace.tracee() as tracee:
        for signo in signos:
            tracee.send(signo)
        return ", ".join(tracee.reports())


@fact("KS5", clauses="kernel.S5", known={"SIGSEGV, SIGHUP, SIGUSR1, SIGTERM": "5.10 to 7.3"})
def faults_come_before_other_signals() -> str:
    """Of a thread's pending signals those of faults are reported first, then the lowest number."""
    return _all_of(signal.SIGTERM, signal.SIGUSR1, signal.SIGSEGV, signal.SIGHUP)


@fact("KS5", clauses="kernel.S5", known={"SIGHUP, SIGSTOP": "5.10 to 7.3"})
def a_lower_signal_comes_before_a_stop() -> str:
    """A pending signal with a lower number is reported before a SIGSTOP, such as that of PTRACE_ATTACH."""
    return _all_of(signal.SIGSTOP, signal.SIGHUP)


@fact("KS5", clauses="kernel.S5", known={"SIGUSR2, SIGHUP": "5.10 to 7.3"})
def a_threads_own_signals_come_before_its_processs() -> str:
    """A thread's own pending signals are reported before its process's, whatever their numbers."""
    with raw_ptrace.tracee() as tracee:
        raw_ptrace.system_call(lib.SYS_kill, tracee.tid, signal.SIGHUP)
        tracee.send(signal.SIGUSR2)
        return ", ".join(tracee.reports())


@fact("KS5", clauses=("kernel.S5", "fact.D7"), known={"SIGUSR1": "5.10 to 7.3"})
def equal_signals_become_one() -> str:
    """A signal below the real-time ones is reported once, however often it was sent."""
    return _all_of(*[signal.SIGUSR1] * 3)


@fact(
    "KS5",
    clauses="kernel.S5",
    known={"SIGSEGV, unblocked": "5.10 to 7.3", "SIGSEGV, still blocked": "not seen"},
)
def a_fault_is_reported_though_it_is_blocked() -> str:
    """A tracee that blocks SIGSEGV and faults stops for it, and the signal is unblocked by force."""
    with raw_ptrace.tracee(guests.hlt.code) as tracee:
        everything = bytearray(b"\xff" * 8)
        tracee.ask("SETSIGMASK", 8, raw_ptrace.address_of(everything))
        stop = tracee.go("CONT")
        tracee.ask("GETSIGMASK", 8, raw_ptrace.address_of(everything))
        blocked = everything[1] & 1 << signal.SIGSEGV - 9
        return f"{stop}, {'still blocked' if blocked else 'unblocked'}"


# ------------------------------------------------------------------------------------------------------------ attaching


@fact("KS6", clauses="kernel.S6", known={"SIGSTOP SI_USER pid 0": "5.10 to 7.3"})
def a_clone_of_an_attached_thread_begins_with_a_bare_sigstop() -> str:
    """A thread cloned with CLONE_PTRACE under PTRACE_ATTACH begins with a SIGSTOP without a sender."""
    with raw_ptrace.process() as process:
        tracee = process.attach()
        tracee.wait()
        tracee.ask("SETOPTIONS", 0, raw_ptrace.OPTIONS)
        clone = tracee.clone()
        clone.wait()
        info = clone.siginfo()
        return f"{info} pid {info.pid}" if info else "a group-stop"


@fact("KS6", clauses="kernel.S6", known={"EVENT_STOP SIGTRAP, then SIGTRAP|0x80": "since 3.4"})
def a_clone_of_a_seized_thread_begins_with_an_event() -> str:
    """A thread cloned with CLONE_PTRACE under PTRACE_SEIZE begins with an event stop and has the tracer's options."""
    with raw_ptrace.tracee() as tracee:
        clone = tracee.clone()
        first = clone.wait()
        return f"{first}, then {clone.enter(lib.SYS_getpid)}"


@fact(
    "KS7",
    clauses=("kernel.S7", 'ptrace(2) "Attaching and detaching"', "fact.D3"),
    known={
        "SIGSTOP (group-stop), SIGSTOP SI_KERNEL pid 0": "5.10 to 7.3",
        "SIGSTOP (group-stop), SIGSTOP SI_USER pid 0": "not seen",
    },
)
def attaching_to_a_stopped_process_stops_twice() -> str:
    """PTRACE_ATTACH to a process in group-stop reports that stop first, and then its own SIGSTOP."""
    with raw_ptrace.process() as process:
        _stop(process)
        tracee = process.attach()
        first = tracee.wait()
        kind = "" if tracee.siginfo() else " (group-stop)"
        tracee.go("CONT")
        info = tracee.siginfo()
        return f"{first}{kind}, {info} pid {info.pid}" if info else "two group-stops"


def _stop(process: raw_ptrace.Process) -> None:
    raw_ptrace.system_call(lib.SYS_kill, process.pid, signal.SIGSTOP)
    in_time(raw_ptrace.until(lambda: raw_ptrace.process_state(process.pid) == "T"), "SIGSTOP did not stop the child")


@fact("KW4", clauses=("kernel.W4", "fact.H4"), known={"EPERM": "5.10 to 7.3"})
def what_is_traced_cannot_be_attached_to() -> str:
    """PTRACE_SEIZE of a tracee fails with EPERM."""
    with raw_ptrace.tracee() as tracee:
        return tracee.says("SEIZE")


# ---------------------------------------------------------------------------------------------------------- group-stops


@fact(
    "KS8",
    clauses=("kernel.S8", 'ptrace(2) "Stopped states"', "ptrace(2) PTRACE_GETSIGINFO"),
    known={"SIGTSTP, no siginfo; resumed, it runs": "5.10 to 7.3"},
)
def a_group_stop_under_attach_looks_like_a_signal() -> str:
    """After PTRACE_ATTACH only EINVAL from PTRACE_GETSIGINFO tells a group-stop, and PTRACE_CONT ends it."""
    with raw_ptrace.process() as process:
        os.setpgid(process.pid, process.pid)  # an orphaned process group would ignore SIGTSTP
        tracee = process.attach()
        tracee.wait()
        tracee.put(guests.count_loop.code)
        tracee.ask("CONT")
        tracee.send(signal.SIGTSTP)
        tracee.wait()
        stop = tracee.go("CONT", signal.SIGTSTP)
        info = tracee.siginfo()
        tracee.ask("CONT")
        return f"{stop}, {info or 'no siginfo'}; resumed, it {'runs' if tracee.becomes('R') else 'does not run'}"


@fact("KS8", clauses=("kernel.S8", "ptrace(2) PTRACE_INTERRUPT"), known={"LISTEN EIO, INTERRUPT EIO": "since 3.4"})
def listening_and_interrupting_take_a_seizure() -> str:
    """PTRACE_LISTEN and PTRACE_INTERRUPT fail for a tracee that was not seized."""
    with raw_ptrace.process() as process:
        tracee = process.attach()
        tracee.wait()
        return f"LISTEN {tracee.says('LISTEN')}, INTERRUPT {tracee.says('INTERRUPT')}"


@fact("KS8", clauses=("ptrace(2) PTRACE_SEIZE", "kernel.S8", "fact.C6"), known={"EVENT_STOP SIGTSTP": "since 3.4"})
def a_group_stop_of_a_seized_tracee_is_an_event() -> str:
    """After PTRACE_SEIZE a group-stop is PTRACE_EVENT_STOP with the signal that stopped the group."""
    with raw_ptrace.tracee(guests.count_loop.code) as tracee:
        os.setpgid(tracee.tid, tracee.tid)
        tracee.send(signal.SIGTSTP)
        tracee.go("CONT")
        return tracee.go("CONT", signal.SIGTSTP)


@fact(
    "KS8",
    clauses=("kernel.S8", "ptrace(2) PTRACE_LISTEN"),
    known={"stays stopped; on SIGCONT EVENT_STOP SIGTRAP": "since 3.4"},
)
def a_listening_tracee_stays_stopped() -> str:
    """PTRACE_LISTEN keeps the tracee in group-stop, whose end is another PTRACE_EVENT_STOP."""
    with raw_ptrace.tracee(guests.count_loop.code) as tracee:
        tracee.send(signal.SIGSTOP)
        tracee.go("CONT")
        tracee.go("CONT", signal.SIGSTOP)
        tracee.ask("LISTEN")
        before = "stays stopped" if tracee.silent() else "does not stay stopped"
        tracee.send(signal.SIGCONT)
        return f"{before}; on SIGCONT {tracee.wait()}"


@fact("KS8", clauses=("kernel.S8", "fact.D6"), known={"the other: EVENT_STOP SIGSTOP": "since 3.4"})
def a_group_stop_reaches_threads_that_run() -> str:
    """A SIGSTOP that one thread takes stops its running sibling."""
    with raw_ptrace.tracee() as tracee:
        sibling = tracee.clone()
        sibling.wait()
        sibling.put(guests.count_loop.code)
        sibling.ask("CONT")
        tracee.put(guests.count_loop.code)
        tracee.send(signal.SIGSTOP)
        tracee.go("CONT")
        tracee.ask("CONT", 0, signal.SIGSTOP)
        return f"the other: {sibling.wait()}"


# -------------------------------------------------------------------------------------------------------------- SIGCONT


@fact("KS9", clauses="kernel.S9", known={"EVENT_STOP SIGTRAP, SIGCONT": "since 3.4; the event is the end of a stop"})
def sigcont_takes_a_pending_stop_away() -> str:
    """A SIGSTOP that is pending when SIGCONT comes is never reported."""
    return _all_of(signal.SIGSTOP, signal.SIGCONT)


@fact("KS9", clauses="kernel.S9", known={"SIGSTOP (group-stop), SIGCONT": "5.10 to 7.3"})
def sigcont_takes_the_stop_of_attaching_away() -> str:
    """A SIGCONT discards the pending SIGSTOP of PTRACE_ATTACH."""
    with raw_ptrace.process() as process:
        _stop(process)
        tracee = process.attach()
        first = tracee.wait()
        kind = "" if tracee.siginfo() else " (group-stop)"
        raw_ptrace.system_call(lib.SYS_kill, process.pid, signal.SIGCONT)
        return ", ".join([first + kind, *tracee.reports()])


@fact("KS9", clauses=("kernel.S9", "fact.D4"), known={"T; after SIGCONT R, traced by 0": "5.10 to 7.3"})
def sigcont_sets_free_what_was_detached_with_a_stop() -> str:
    """A SIGCONT resumes, untraced, a thread that PTRACE_DETACH left stopped by SIGSTOP."""
    with raw_ptrace.process() as process:
        tracee = process.attach()
        tracee.wait()
        tracee.put(guests.count_loop.code)
        tracee.ask("DETACH", 0, signal.SIGSTOP)
        parked = "T" if tracee.becomes("T") else str(tracee.state)
        raw_ptrace.system_call(lib.SYS_kill, tracee.tid, signal.SIGCONT)
        freed = "R" if tracee.becomes("R") else str(tracee.state)
        return f"{parked}; after SIGCONT {freed}, traced by {raw_ptrace.status_of(tracee.tid, 'TracerPid')}"
