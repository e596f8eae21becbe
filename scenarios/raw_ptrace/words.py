"""Fixed words for the kernel's answers: signals, errors, statuses of wait(2)."""

from __future__ import annotations

import errno
import os
import signal

from worldswitch.scenarios.raw_ptrace._raw_ptrace import lib

_EVENTS = {
    lib.PTRACE_EVENT_EXEC: "EVENT_EXEC",
    lib.PTRACE_EVENT_EXIT: "EVENT_EXIT",
    lib.PTRACE_EVENT_SECCOMP: "EVENT_SECCOMP",
}
#: SIGTRAP at a system call under PTRACE_O_TRACESYSGOOD.
SYSCALL_STOP = signal.SIGTRAP | 0x80

#: Codes of siginfo_t that name a sender (include/uapi/asm-generic/siginfo.h); codes above 0 depend on the signal.
_SENDERS = {0: "SI_USER", 0x80: "SI_KERNEL", -1: "SI_QUEUE", -2: "SI_TIMER", -6: "SI_TKILL"}


def signal_name(signo: int) -> str:
    """The name of a signal."""
    if signo == SYSCALL_STOP:
        return "SIGTRAP|0x80"
    try:
        return signal.Signals(signo).name
    except ValueError:
        return f"signal {signo}"


def code_name(code: int) -> str:
    """The name of a siginfo_t code, if it names a sender."""
    return _SENDERS.get(code, f"code {code}")


def answer(result: int) -> str:
    """A system call's result: a number, or the error's name."""
    if -512 < result < 0:
        return errno.errorcode.get(-result, f"error {-result}")
    return str(result)


def status_words(status: int) -> str:
    """A wait status in words."""
    if os.WIFEXITED(status):
        return f"exited with {os.WEXITSTATUS(status)}"
    if os.WIFSIGNALED(status):
        return f"killed by {signal_name(os.WTERMSIG(status))}"
    stopped, event = signal_name(status >> 8 & 0xFF), status >> 16
    if event == lib.PTRACE_EVENT_STOP:
        return f"EVENT_STOP {stopped}"
    return _EVENTS.get(event, f"event {event}") if event else stopped
