"""What seccomp filters do to a tracee's calls: nothing to skipped ones, and odd things to injected ones."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from worldswitch.scenarios import raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.raw_ptrace import lib

SEES_EXIT = raw_ptrace.OPTIONS | lib.PTRACE_O_TRACEEXIT

#: The filtered call; its number could be mistaken for its result.
CALL = lib.SYS_getppid


def _filter(action: int) -> bytes:
    """A filter that answers the call with `action` and allows the rest (include/uapi/linux/bpf_common.h)."""
    load, equal, answer = 0x20, 0x15, 0x06
    lines = ((load, 0, 0, 0), (equal, 0, 1, CALL), (answer, 0, 0, action), (answer, 0, 0, lib.SECCOMP_RET_ALLOW))
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


@contextmanager
def _filtered(action: int, options: int = SEES_EXIT) -> Iterator[raw_ptrace.Thread]:
    with raw_ptrace.tracee(options=options) as tracee:
        arena = tracee.process.arena
        program = arena.write(_filter(action), 256)
        header = arena.write_words(4, program, offset=128)
        tracee.call(lib.SYS_prctl, lib.PR_SET_NO_NEW_PRIVS, 1)
        said = tracee.call(lib.SYS_seccomp, lib.SECCOMP_SET_MODE_FILTER, 0, header)
        assert said == 0, f"seccomp said {raw_ptrace.answer(said)}"
        yield tracee


def _injected(action: int) -> str:
    """The result of an injected call at its exit, and the next stop; or the stop in place of the exit."""
    with _filtered(action) as tracee:
        tracee.enter(CALL)
        stop = tracee.go("SYSCALL")
        if stop != "SIGTRAP|0x80":
            return f"no exit but {stop}, message {tracee.message()}"
        result = tracee.register("rax")
        said = {CALL: "its number", os.getpid(): "its result"}.get(result, str(result))
        following = tracee.go("CONT")
        told = f", message {tracee.message()}" if following == "EVENT_EXIT" else ""
        info = tracee.siginfo() if following == "SIGSYS" else None
        return f"rax {said}, then {f'{info}' if info else following}{told}"


@fact(
    "KC1",
    clauses=("kernel.seccomp", "linux 93e35efb8de4"),
    needs="seccomp sysemu",
    known={"rax -38, SIGTRAP": "since 4.8", "killed by SIGSYS": "before 4.8"},
)
def a_filter_does_not_see_what_sysemu_skips() -> str:
    """A filter, even one that kills, does not see a call that PTRACE_SYSEMU skips."""
    with _filtered(lib.SECCOMP_RET_KILL_PROCESS) as tracee:
        tracee.put(raw_ptrace.SYSCALL, rax=CALL)
        tracee.go("SYSEMU")
        return f"rax {tracee.register('rax')}, {tracee.go('CONT')}"


@fact("KC2", clauses="kernel.seccomp", needs="seccomp", known={"rax -7, then SIGTRAP": "5.10 to 7.3"})
def a_filters_errno_is_the_result() -> str:
    """SECCOMP_RET_ERRNO shows the errno as the result at the call's exit."""
    return _injected(lib.SECCOMP_RET_ERRNO | 7)


@fact(
    "KC3",
    clauses=("kernel.seccomp", 'ptrace(2) "PTRACE_EVENT_SECCOMP stops"'),
    needs="seccomp",
    known={"rax -38, then SIGTRAP": "5.10 to 7.3"},
)
def a_filter_that_traces_without_the_option_says_enosys() -> str:
    """SECCOMP_RET_TRACE without PTRACE_O_TRACESECCOMP makes the call fail with ENOSYS."""
    return _injected(lib.SECCOMP_RET_TRACE)


@fact("KC4", clauses="kernel.seccomp", needs="seccomp", known={"rax -38, then SIGTRAP": "since 5.0"})
def a_filter_that_notifies_nobody_says_enosys() -> str:
    """SECCOMP_RET_USER_NOTIF without a listener makes the call fail with ENOSYS."""
    return _injected(lib.SECCOMP_RET_USER_NOTIF)


@fact("KC5", clauses="kernel.seccomp", needs="seccomp", known={"rax its result, then SIGTRAP": "since 4.14"})
def a_filter_that_logs_lets_run() -> str:
    """SECCOMP_RET_LOG lets the call run."""
    return _injected(lib.SECCOMP_RET_LOG)


@fact("KC6", clauses="kernel.seccomp", needs="seccomp", known={"rax its number, then SIGSYS code 1": "5.10 to 7.3"})
def a_filter_that_traps_looks_like_success() -> str:
    """SECCOMP_RET_TRAP shows the call's number as its result at the exit, and the signal comes afterwards."""
    return _injected(lib.SECCOMP_RET_TRAP)


_KILLED = {
    "rax its number, then EVENT_EXIT, message 31": "since 6.1",
    "no exit but EVENT_EXIT, message 31": "5.10",
}
_DUMPED = {text.replace("31", "159"): where + ", with core dumps" for text, where in _KILLED.items()}


@fact("KC7", clauses=("kernel.seccomp", "fact.S2"), needs="seccomp", known=_KILLED | _DUMPED)
def a_filter_that_kills_a_thread_looks_like_success() -> str:
    """SECCOMP_RET_KILL_THREAD for a process's last thread shows the number as the result, then PTRACE_EVENT_EXIT."""
    return _injected(lib.SECCOMP_RET_KILL_THREAD)


@fact("KC8", clauses="kernel.seccomp", needs="seccomp", known=_KILLED | _DUMPED)
def a_filter_that_kills_a_process_looks_like_success() -> str:
    """SECCOMP_RET_KILL_PROCESS shows the call's number as its result at the exit, then PTRACE_EVENT_EXIT."""
    return _injected(lib.SECCOMP_RET_KILL_PROCESS)


@fact(
    "KC7",
    clauses=("kernel.seccomp", "fact.S3"),
    needs="seccomp",
    known={"message 31; the other lives": "5.10 to 7.3"},
)
def a_filter_that_kills_a_thread_spares_the_others() -> str:
    """SECCOMP_RET_KILL_THREAD ends one thread of several."""
    with _filtered(lib.SECCOMP_RET_KILL_THREAD) as tracee:
        sibling = tracee.clone()
        sibling.wait()
        sibling.enter(CALL)
        stop = sibling.go("CONT")
        assert stop == "EVENT_EXIT", f"no exit but {stop}"
        message = sibling.message()
        sibling.go("CONT")
        lives = tracee.call(lib.SYS_getpid) == tracee.tid
        return f"message {message}; the other {'lives' if lives else 'does not'}"


@fact(
    "KC9",
    clauses=("kernel.seccomp", "linux 93e35efb8de4"),
    needs="seccomp",
    known={
        "SIGTRAP|0x80, EVENT_SECCOMP, SIGTRAP|0x80": "since 4.8",
        "EVENT_SECCOMP, SIGTRAP|0x80, SIGTRAP|0x80": "before",
    },
)
def a_filter_comes_after_the_entry() -> str:
    """With PTRACE_O_TRACESECCOMP the filter's event comes between the call's entry and its exit."""
    with _filtered(lib.SECCOMP_RET_TRACE, raw_ptrace.OPTIONS | lib.PTRACE_O_TRACESECCOMP) as tracee:
        return ", ".join([tracee.enter(CALL), tracee.go("SYSCALL"), tracee.go("SYSCALL")])


@fact("KC9", clauses="kernel.seccomp", needs="seccomp", known={"rax -7": "since 4.8", "rax its result": "before 4.8"})
def a_filter_sees_the_number_that_the_tracer_wrote() -> str:
    """A filter sees the number that a tracer wrote at the entry."""
    with _filtered(lib.SECCOMP_RET_ERRNO | 7) as tracee:
        tracee.enter(lib.SYS_getpid)
        tracee.set_registers(orig_rax=CALL)
        tracee.go("SYSCALL")
        result = tracee.register("rax")
        return f"rax {'its result' if result == os.getpid() else result}"


@fact("KM6", clauses=("kernel.M6", "kernel.seccomp"), needs="seccomp", known={"rax -7": "5.10 to 7.3"})
def a_fork_inherits_filters() -> str:
    """A child inherits its parent's filters."""
    with _filtered(lib.SECCOMP_RET_ERRNO | 7) as tracee:
        child = tracee.clone(signal.SIGCHLD)
        child.wait()
        return f"rax {child.call(CALL)}"
