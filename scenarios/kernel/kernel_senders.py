"""What siginfo_t says about a signal's sender, what a sender can forge, and how faults are reported."""

from __future__ import annotations

import os
import resource
import signal
import struct

from worldswitch.scenarios import guests, raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.guests import Program
from worldswitch.scenarios.raw_ptrace import lib

#: A real-time signal without other uses here, and the value sent with it.
REAL_TIME, COOKIE = signal.SIGRTMIN + 9, 0x1234_5678_9ABC_DEF0


def _queue(tracee: raw_ptrace.Thread, signo: int, *, code: int = -1, claimed: int = 1) -> str:
    """Send a thread a forged siginfo_t; the answer of rt_tgsigqueueinfo."""
    info = bytearray(struct.pack("<iiixxxxiIQ", signo, 0, code, claimed, 0, COOKIE).ljust(128, b"\0"))
    address = raw_ptrace.address_of(info)
    return raw_ptrace.answer(
        raw_ptrace.system_call(lib.SYS_rt_tgsigqueueinfo, tracee.process.pid, tracee.tid, signo, address)
    )


def _told(tracee: raw_ptrace.Thread) -> str:
    """What the next signal's siginfo_t says about its sender."""
    tracee.go("CONT")
    info = tracee.siginfo()
    if info is None:
        return "no siginfo"
    pid = {os.getpid(): "mine", 0: "0"}.get(info.pid, str(info.pid))
    value = ", its value" if info.value == COOKIE else ""
    return f"{raw_ptrace.code_name(info.code)}, pid {pid}{value}"


# ------------------------------------------------------------------------------------------------------- PID namespaces

INIT = lib.CLONE_NEWPID | signal.SIGCHLD


@fact("KI1", clauses="kernel.I1", known={"SI_TKILL, pid mine": "5.10 to 7.3"})
def a_sender_is_named_by_its_pid() -> str:
    """The siginfo_t of a tgkill has the sender's pid."""
    with raw_ptrace.tracee() as tracee:
        tracee.send(signal.SIGUSR1)
        return _told(tracee)


@fact("KI2", clauses=("kernel.I1", "kernel.I2"), needs="pidns", known={"SI_TKILL, pid 0": "5.10 to 7.3"})
def a_sender_from_outside_the_namespace_is_nobody() -> str:
    """The siginfo_t of a sender outside the receiver's PID namespace has pid 0."""
    with raw_ptrace.tracee(flags=INIT) as tracee:
        tracee.send(signal.SIGUSR1)
        return _told(tracee)


@fact(
    "KI2",
    clauses="kernel.I2",
    needs="pidns",
    known={"from inside it lives, from outside killed by SIGKILL": "5.10 to 7.3"},
)
def only_an_ancestor_kills_an_init() -> str:
    """SIGKILL ends the first process of a PID namespace only if it comes from an ancestor namespace."""
    with raw_ptrace.tracee(flags=INIT) as tracee:
        inside = tracee.call(lib.SYS_kill, 1, signal.SIGKILL)
        lives = "it lives" if inside == 0 and tracee.state == "t" else f"kill says {raw_ptrace.answer(inside)}"
        tracee.send(signal.SIGKILL)
        return f"from inside {lives}, from outside {tracee.wait()}"


@fact("KI6", clauses="kernel.I6", needs="pidns rt_tgsigqueueinfo", known={"SI_QUEUE, pid 0, its value": "5.10 to 7.3"})
def a_value_survives_a_namespace() -> str:
    """A queued signal's value arrives in another PID namespace, though the pid does not."""
    with raw_ptrace.tracee(flags=INIT) as tracee:
        _queue(tracee, REAL_TIME)
        return _told(tracee)


# ------------------------------------------------------------------------------------------------------------ forgeries


@fact("KI3", clauses="kernel.I3", needs="rt_tgsigqueueinfo", known={"SI_QUEUE, pid 1, its value": "5.10 to 7.3"})
def a_queued_signal_claims_what_it_likes() -> str:
    """A sender may forge any negative code except SI_TKILL, and any pid."""
    with raw_ptrace.tracee() as tracee:
        _queue(tracee, signal.SIGUSR1)
        return _told(tracee)


@fact(
    "KI3",
    clauses="kernel.I3",
    needs="rt_tgsigqueueinfo",
    known={"SI_USER EPERM, SI_KERNEL EPERM, SI_TKILL EPERM": "5.10 to 7.3"},
)
def some_codes_cannot_be_claimed() -> str:
    """The codes of kill, of the kernel and of tgkill cannot be forged towards another process."""
    with raw_ptrace.tracee() as tracee:
        codes = {name: code for code in (0, 0x80, -6) if (name := raw_ptrace.code_name(code))}
        return ", ".join(f"{name} {_queue(tracee, signal.SIGUSR1, code=code)}" for name, code in codes.items())


@fact("KI5", clauses="kernel.I5", known={"SI_TIMER, where the pid would be: the timer's id": "5.10 to 7.3"})
def a_timers_signal_has_an_id_for_a_pid() -> str:
    """The signal of a POSIX timer has the timer's id in the field of the sender's pid."""
    with raw_ptrace.tracee() as tracee:
        arena = tracee.process.arena
        event = arena.write(struct.pack("<QiI", COOKIE, signal.SIGUSR1, 0).ljust(64, b"\0"), 64)  # SIGEV_SIGNAL is 0
        for _ in range(2):  # so that its id is not 0
            tracee.call(lib.SYS_timer_create, 1, event, arena.data)  # CLOCK_MONOTONIC
        timer = arena.word() & 0xFFFFFFFF
        tracee.call(lib.SYS_timer_settime, timer, 0, arena.write_words(0, 0, 0, 1_000_000, offset=128), 0)
        tracee.put(guests.count_loop.code)
        tracee.go("CONT")
        info = tracee.siginfo()
        assert info
        there = "the timer's id" if info.pid == timer else str(info.pid)
        return f"{raw_ptrace.code_name(info.code)}, where the pid would be: {there}"


# --------------------------------------------------------------------------------------------------------- a full queue


def _full(tracee: raw_ptrace.Thread) -> None:
    resource.prlimit(tracee.process.pid, resource.RLIMIT_SIGPENDING, (0, 0))


@fact("KI4", clauses="kernel.I4", known={"SI_USER, pid 0": "5.10 to 7.3"})
def a_full_queue_takes_the_senders_name() -> str:
    """Beyond RLIMIT_SIGPENDING a tgkill arrives without its siginfo, as SI_USER from pid 0."""
    with raw_ptrace.tracee() as tracee:
        _full(tracee)
        tracee.send(signal.SIGUSR1)
        return _told(tracee)


@fact("KI4", clauses="kernel.I4", known={"SI_USER, pid mine": "5.10 to 7.3"})
def kill_is_not_bound_by_the_queue() -> str:
    """Beyond RLIMIT_SIGPENDING a kill arrives with its siginfo."""
    with raw_ptrace.tracee() as tracee:
        _full(tracee)
        raw_ptrace.system_call(lib.SYS_kill, tracee.tid, signal.SIGUSR1)
        return _told(tracee)


@fact("KI6", clauses="kernel.I6", needs="rt_tgsigqueueinfo", known={"EAGAIN": "5.10 to 7.3"})
def a_full_queue_is_told_for_real_time_signals() -> str:
    """Queueing a real-time signal beyond RLIMIT_SIGPENDING fails with EAGAIN."""
    with raw_ptrace.tracee() as tracee:
        _full(tracee)
        return _queue(tracee, REAL_TIME)


@fact("KI6", clauses="kernel.I6", needs="rt_tgsigqueueinfo", known={"2 of 2": "5.10 to 7.3"})
def real_time_signals_are_counted() -> str:
    """A real-time signal is reported as often as it was sent."""
    with raw_ptrace.tracee() as tracee:
        for _ in range(2):
            _queue(tracee, REAL_TIME)
        return f"{len(tracee.reports())} of 2"


# ----------------------------------------------------------------------------------------------------- the kernel's own


def _raised_by(program: Program, rdi: int = 0) -> str:
    """The signal that a guest raises, with its code and address."""
    with raw_ptrace.tracee(program.code, rdi=rdi) as tracee:
        begin = tracee.registers()["rip"]
        tracee.go("CONT")
        info, rip = tracee.siginfo(), tracee.registers()["rip"] - begin
        if info is None:
            return "no siginfo"
        address = "rip" if info.address == rip + begin else f"{info.address:#x}"
        return f"{info}, address {address}, rip {rip:+}"


@fact("KI4", clauses=("kernel.I4", "fact.C5"), known={"SIGTRAP SI_KERNEL, address 0x0, rip +1": "5.10 to 7.3"})
def int3_raises() -> str:
    """``int3`` is SIGTRAP with the code SI_KERNEL, behind the instruction."""
    return _raised_by(guests.int3)


@fact(
    "KI4",
    clauses=("kernel.I4", "fact.C5"),
    known={
        "SIGTRAP code 1, address rip, rip +1": "on hardware",
        "SIGTRAP code 1, address rip, rip +0": "under a hypervisor that emulates the instruction",
    },
)
def int1_raises() -> str:
    """``int1`` is SIGTRAP with the code TRAP_BRKPT, behind the instruction unless a hypervisor emulates it."""
    return _raised_by(guests.int1)


@fact("KI4", clauses="kernel.I4", known={"SIGILL code 2, address rip, rip +0": "5.10 to 7.3"})
def ud2_raises() -> str:
    """``ud2`` is SIGILL with the code ILL_ILLOPN, at the instruction."""
    return _raised_by(guests.ud2)


@fact("KI4", clauses="kernel.I4", known={"SIGFPE code 1, address rip, rip +9": "5.10 to 7.3"})
def a_division_by_zero_raises() -> str:
    """A division by zero is SIGFPE with the code FPE_INTDIV, at the instruction."""
    return _raised_by(guests.divide_by_zero)


@fact("KI4", clauses=("kernel.I4", "fact.C5"), known={"SIGSEGV SI_KERNEL, address 0x0, rip +0": "5.10 to 7.3"})
def a_privileged_instruction_raises() -> str:
    """``hlt`` is SIGSEGV with the code SI_KERNEL and no address."""
    return _raised_by(guests.hlt)


@fact("KI4", clauses=("kernel.I4", "fact.C5"), known={"SIGSEGV SI_KERNEL, address 0x0, rip +0": "5.10 to 7.3"})
def an_interrupt_nobody_has_raises() -> str:
    """``int $0x81`` is SIGSEGV with the code SI_KERNEL and no address."""
    return _raised_by(guests.int_0x81)


@fact("KI4", clauses=("kernel.I4", "fact.C5"), known={"SIGSEGV SI_KERNEL, address 0x0, rip +10": "5.10 to 7.3"})
def an_impossible_address_raises() -> str:
    """A read of a non-canonical address is SIGSEGV with the code SI_KERNEL and no address."""
    return _raised_by(guests.read_noncanonical)


@fact("KI4", clauses="kernel.I4", known={"SIGSEGV code 1, address 0x10, rip +0": "5.10 to 7.3"})
def a_read_of_nothing_raises() -> str:
    """A read of unmapped memory is SIGSEGV with the code SEGV_MAPERR and the address."""
    return _raised_by(guests.read_at, rdi=0x10)
