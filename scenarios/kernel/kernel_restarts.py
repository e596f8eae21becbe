"""What the kernel does with system calls that a signal interrupts: its private codes, and when it restarts."""

from __future__ import annotations

import signal

from worldswitch.scenarios import guests, raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.raw_ptrace import lib

LONG = 1000  #: seconds


def _interrupted(number: int, *arguments: int, tracee: raw_ptrace.Thread) -> int:
    """The result at the exit of a sleeping call that a signal interrupted; the signal is suppressed later."""
    tracee.enter(number, *arguments)
    tracee.ask("SYSCALL")
    assert tracee.becomes("St")  # asleep, or already back
    tracee.send(signal.SIGUSR1)
    assert tracee.wait() == "SIGTRAP|0x80"
    return tracee.register("rax")


def _seen_of(number: int, *arguments: int) -> str:
    with raw_ptrace.tracee() as tracee:
        return str(_interrupted(number, *arguments, tracee=tracee))


@fact("KR1", clauses=("kernel.R1", "fact.E6"), known={"-514": "5.10 to 7.3"})
def an_interrupted_pause_says_restart_no_hand() -> str:
    """An interrupted ``pause`` shows ERESTARTNOHAND."""
    return _seen_of(lib.SYS_pause)


@fact("KR1", clauses="kernel.R1", known={"-512": "5.10 to 7.3"})
def an_interrupted_read_says_restart_sys() -> str:
    """An interrupted read from a pipe shows ERESTARTSYS."""
    with raw_ptrace.tracee() as tracee:
        tracee.call(lib.SYS_pipe, tracee.process.arena.data)
        reading = tracee.process.arena.word() & 0xFFFFFFFF
        return str(_interrupted(lib.SYS_read, reading, tracee.process.arena.data, 1, tracee=tracee))


@fact("KR1", clauses="kernel.R1", known={"-512": "5.10 to 7.3"})
def an_interrupted_wait_says_restart_sys() -> str:
    """An interrupted wait4 shows ERESTARTSYS."""
    with raw_ptrace.tracee() as tracee:
        child = tracee.clone(signal.SIGCHLD)
        child.wait()
        return str(_interrupted(lib.SYS_wait4, child.tid, 0, 0, tracee=tracee))


@fact("KR1", clauses="kernel.R1", known={"-516": "5.10 to 7.3"})
def an_interrupted_nanosleep_says_restart_block() -> str:
    """An interrupted ``nanosleep`` shows ERESTART_RESTARTBLOCK."""
    with raw_ptrace.tracee() as tracee:
        request = tracee.process.arena.write_words(LONG, 0)
        return str(_interrupted(lib.SYS_nanosleep, request, 0, tracee=tracee))


@fact("KR1", clauses=("kernel.R1", "fact.E6"), known={"-516": "5.10 to 7.3"})
def an_interrupted_poll_says_restart_block() -> str:
    """An interrupted ``poll`` with a timeout shows ERESTART_RESTARTBLOCK."""
    return _seen_of(lib.SYS_poll, 0, 0, LONG * 1000)


@fact("KR1", clauses=("kernel.R1", "fact.E6"), known={"-516": "5.10 to 7.3"})
def an_interrupted_futex_says_restart_block() -> str:
    """An interrupted futex wait with a timeout shows ERESTART_RESTARTBLOCK."""
    with raw_ptrace.tracee() as tracee:
        timeout = tracee.process.arena.write_words(LONG, 0)
        word = tracee.process.arena.data + 64
        return str(_interrupted(lib.SYS_futex, word, 0, 0, timeout, tracee=tracee))  # FUTEX_WAIT is 0


@fact("KR1", clauses=("kernel.R1", "fact.H1"), known={"-513; then a new process": "5.10 to 7.3"})
def a_clone_with_a_signal_pending_says_restart_no_intr() -> str:
    """A ``clone`` with a signal pending shows ERESTARTNOINTR, and makes one child when it is restarted."""
    with raw_ptrace.tracee() as tracee:
        tracee.enter(lib.SYS_clone, signal.SIGCHLD)
        tracee.send(signal.SIGUSR1)
        tracee.go("SYSCALL")
        first = tracee.register("rax")
        tracee.go("CONT")
        child = tracee.call(lib.SYS_clone, signal.SIGCHLD)
        return f"{first}; then {'a new process' if child > 0 else child}"


def _resumed_at_a_signal(**values: int) -> str:
    """Where a tracee with these registers continues from a signal stop."""
    with raw_ptrace.tracee() as tracee:
        tracee.send(signal.SIGUSR1)
        tracee.go("CONT")
        tracee.put(guests.trap_or_not.code, **values)
        tracee.set_registers(rip=tracee.registers()["rip"] + 2)
        return {"SIGTRAP": "rewound by 2", "SIGILL": "as told"}.get(stop := tracee.go("CONT"), stop)


@fact("KR2", clauses=("kernel.R2", "fact.E8"), known={"rewound by 2": "5.10 to 7.3"})
def a_restart_moves_rip_wherever_it_is() -> str:
    """Resumed from a signal with ERESTARTSYS in rax and a number in orig_rax, a tracee goes back two bytes."""
    return _resumed_at_a_signal(rax=-512, orig_rax=lib.SYS_getpid)


@fact("KR2", clauses=("kernel.R2", "fact.E8"), known={"as told": "5.10 to 7.3"})
def minus_one_in_orig_rax_forbids_restarts() -> str:
    """Resumed from a signal with ERESTARTSYS in rax and -1 in orig_rax, a tracee continues at its rip."""
    return _resumed_at_a_signal(rax=-512, orig_rax=-1)


@fact("KR3", clauses="kernel.R3", known={"SIGTRAP, rax -512": "5.10 to 7.3"})
def a_code_leaks_when_the_signal_went_elsewhere() -> str:
    """If the signal is gone before a restart, another call in between leaves the code in rax for good."""
    with raw_ptrace.tracee() as tracee:
        tracee.call(lib.SYS_pipe, tracee.process.arena.data)
        reading = tracee.process.arena.word() & 0xFFFFFFFF
        _interrupted(lib.SYS_read, reading, tracee.process.arena.data, 1, tracee=tracee)
        at_exit, everything = tracee.registers(), bytearray(b"\xff" * 8)
        tracee.ask("SETSIGMASK", 8, raw_ptrace.address_of(everything))  # as if a sibling had taken it
        tracee.enter(lib.SYS_getpid)
        tracee.go("SYSCALL")
        tracee.set_registers(**at_exit)
        return f"{tracee.go('CONT')}, rax {tracee.register('rax')}"


def _restarted(between: int | None) -> str:
    """The result of restart_syscall after an interrupted nanosleep and another call."""
    for request in ((0, 30_000_000), (0, 500_000_000), (5, 0)):
        with raw_ptrace.tracee() as tracee:
            arena = tracee.process.arena
            if _interrupted(lib.SYS_nanosleep, arena.write_words(*request), 0, tracee=tracee) == 0:
                continue  # on a busy machine the sleep may end before it is interrupted
            tracee.put(guests.call_and_trap.code)
            tracee.go("CONT")  # the signal
            if between is not None:
                tracee.call(lib.SYS_nanosleep, arena.write_words(0, between), 0)
            return raw_ptrace.answer(tracee.call(lib.SYS_restart_syscall))
    return "no sleep could be interrupted"


@fact("KR4", clauses="kernel.R4", known={"0": "5.10 to 7.3"})
def restart_syscall_ends_an_interrupted_sleep() -> str:
    """``restart_syscall`` continues the interrupted call."""
    return _restarted(None)


@fact("KR4", clauses="kernel.R4", known={"EINTR": "5.10 to 7.3"})
def another_call_makes_a_restart_forget() -> str:
    """After another nanosleep, interrupted or not, ``restart_syscall`` fails with EINTR."""
    return _restarted(1)
