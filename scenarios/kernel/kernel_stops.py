"""The stops of a tracee at system calls, and what they show."""

from __future__ import annotations

import signal

from worldswitch.scenarios import guests, raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.raw_ptrace import lib

AT_THE_CALL = "SIGTRAP|0x80"


@fact(
    "KS1",
    clauses="kernel.S1",
    needs="sysemu",
    known={
        "SIGTRAP|0x80, rax -38, orig_rax 39, rip past it, rcx is rip, r11 is the flags": "since 2.6.14; 5.10 to 7.3"
    },
)
def a_stop_of_sysemu_shows_the_call() -> str:
    """PTRACE_SYSEMU stops before the call, with -ENOSYS in rax and the number in orig_rax."""
    with raw_ptrace.tracee(guests.call_and_trap.code, rax=Number.GETPID) as tracee:
        begin = tracee.registers()["rip"]
        stop, seen = tracee.go("SYSEMU"), tracee.registers()
        where = "rip past it" if seen["rip"] == begin + 2 else f"rip {seen['rip'] - begin:+}"
        rcx = "rcx is rip" if seen["rcx"] == seen["rip"] else "rcx is not rip"
        r11 = "r11 is the flags" if seen["r11"] == seen["eflags"] else "r11 is not the flags"
        return f"{stop}, rax {tracee.register('rax')}, orig_rax {seen['orig_rax']}, {where}, {rcx}, {r11}"


@fact("KS1", clauses="kernel.S1", needs="sysemu", known={"each stops, its number as loaded": "5.10 to 7.3"})
def sysemu_stops_for_numbers_that_are_no_calls() -> str:
    """PTRACE_SYSEMU stops for -1, a number with the x32 bit, one beyond the table and one with high bits set."""
    for number in (2**64 - 1, 1 << 30 | 39, 9999, 1 << 32 | 39):
        with raw_ptrace.tracee(guests.call_and_trap.code, rax=number) as tracee:
            stop = tracee.go("SYSEMU")
            seen = tracee.registers()["orig_rax"]
            if (stop, seen) != (AT_THE_CALL, number):
                return f"{number:#x}: {stop}, orig_rax {seen:#x}"
    return "each stops, its number as loaded"


@fact(
    "KS1",
    clauses=("kernel.S1", 'ptrace(2) "Syscall-stops"', "ptrace(2) PTRACE_GET_SYSCALL_INFO"),
    needs="sysemu",
    known={"entry of 39 (x86-64)": "since 5.3", "no PTRACE_GET_SYSCALL_INFO": "before 5.3"},
)
def a_stop_of_sysemu_is_an_entry() -> str:
    """PTRACE_GET_SYSCALL_INFO reports a stop of PTRACE_SYSEMU as a system call's entry."""
    with raw_ptrace.tracee(guests.call_and_trap.code, rax=Number.GETPID) as tracee:
        tracee.go("SYSEMU")
        return tracee.call_information()


@fact(
    "KS1",
    clauses=("kernel.S1", "fact.C1"),
    needs="sysemu int80",
    known={
        "SIGTRAP|0x80, orig_rax 20, entry of 20 (i386)": "since 5.3",
        "SIGTRAP|0x80, orig_rax 20, no PTRACE_GET_SYSCALL_INFO": "before 5.3: nothing tells it from the 64-bit call 20",
    },
)
def int80_stops_with_the_number_of_another_table() -> str:
    """``int $0x80`` stops like ``syscall``; only the architecture in PTRACE_GET_SYSCALL_INFO differs."""
    with raw_ptrace.tracee(guests.int80_getpid.code) as tracee:
        stop = tracee.go("SYSEMU")
        return f"{stop}, orig_rax {tracee.registers()['orig_rax']}, {tracee.call_information()}"


@fact(
    "KS1",
    clauses=("kernel.S1", "fact.E9"),
    needs="sysemu vsyscall",
    known={"it ran: no stop": "vsyscall=emulate and xonly, 5.10 to 7.3; seccomp sees it, ptrace does not"},
)
def sysemu_does_not_see_vsyscalls() -> str:
    """A call into the vsyscall page runs on the host, without a stop."""
    with raw_ptrace.tracee(guests.call_function.code, r13=0xFFFFFFFFFF600400) as tracee:  # time(NULL), asm/vsyscall.h
        stop, seen = tracee.go("SYSEMU"), tracee.registers()["orig_rax"]
        return "it ran: no stop" if (stop, seen) == (AT_THE_CALL, Number.GETPID) else f"{stop}, orig_rax {seen}"


@fact("KS1", clauses="kernel.S1", needs="sysemu", known={"the next entry": "5.10 to 7.3"})
def sysemu_shows_no_exit() -> str:
    """Resumed by PTRACE_SYSEMU, a tracee stops next at the entry of its next call."""
    with raw_ptrace.tracee(guests.getpid_loop.code) as tracee:
        tracee.go("SYSEMU")
        first = tracee.registers()["r12"]
        tracee.go("SYSEMU")
        return "the next entry" if tracee.registers()["r12"] == first + 1 else "the exit of the same call"


@fact("KS2", clauses="kernel.S2", needs="sysemu", known={"SIGTRAP, rax -38": "5.10 to 7.3"})
def a_call_entered_by_sysemu_is_skipped_by_cont() -> str:
    """PTRACE_CONT does not run a call that PTRACE_SYSEMU stopped."""
    with raw_ptrace.tracee(guests.call_and_trap.code, rax=Number.GETPID) as tracee:
        tracee.go("SYSEMU")
        return f"{tracee.go('CONT')}, rax {tracee.register('rax')}"


@fact(
    "KS2",
    clauses=("kernel.S2", "fact.D1"),
    needs="sysemu",
    known={"SIGTRAP|0x80, rax -38; then SIGTRAP": "5.10 to 7.3"},
)
def a_call_entered_by_sysemu_has_an_exit_for_syscall() -> str:
    """From a stop of PTRACE_SYSEMU, PTRACE_SYSCALL stops at the exit of the skipped call."""
    with raw_ptrace.tracee(guests.call_and_trap.code, rax=Number.GETPID) as tracee:
        tracee.go("SYSEMU")
        stop, result = tracee.go("SYSCALL"), tracee.register("rax")
        return f"{stop}, rax {result}; then {tracee.go('SYSCALL')}"


@fact("KS2", clauses="kernel.S2", needs="sysemu", known={"SIGTRAP, rax is the pid": "5.10 to 7.3"})
def a_call_entered_by_syscall_is_run_by_sysemu() -> str:
    """From an entry that PTRACE_SYSCALL stopped at, PTRACE_SYSEMU runs the call and shows no exit."""
    with raw_ptrace.tracee(guests.call_and_trap.code, rax=Number.GETPID) as tracee:
        tracee.go("SYSCALL")
        stop, result = tracee.go("SYSEMU"), tracee.register("rax")
        return f"{stop}, rax {'is the pid' if result == tracee.tid else result}"


@fact(
    "KS2",
    clauses="kernel.S2",
    known={"SIGTRAP|0x80, rax 77; entered 110": "5.10 to 7.3"},
)
def a_tracer_may_change_the_number_and_the_result() -> str:
    """A number written at the entry is the call that runs, and a result written at the exit is the call's result."""
    with raw_ptrace.tracee(guests.call_and_trap.code, rax=Number.GETPID) as tracee:
        tracee.go("SYSCALL")
        tracee.set_registers(orig_rax=lib.SYS_getppid)
        stop, entered = tracee.go("SYSCALL"), tracee.registers()["orig_rax"]
        tracee.set_registers(rax=77)
        tracee.go("CONT")
        return f"{stop}, rax {tracee.register('rax')}; entered {entered}"


@fact(
    "KS3",
    clauses=("kernel.S3", 'ptrace(2) "PTRACE_SINGLESTEP stops"'),
    needs="sysemu sysemu_singlestep",
    known={
        "SIGTRAP|0x80 at +2 without TF, SIGTRAP at +3": "since 5.11 mended its step reporting; before it, too",
        "SIGTRAP|0x80 at +2 without TF, SIGTRAP at +2": "5.11-rc, reported by rr",
    },
)
def a_step_over_a_call_stops_once_at_the_call() -> str:
    """PTRACE_SYSEMU_SINGLESTEP stops at the call, then after the next instruction, and hides its trap flag."""
    with raw_ptrace.tracee(bytes.fromhex("0f05 90 90 ebfe"), rax=Number.GETPID) as tracee:
        begin, said = tracee.registers()["rip"], []
        for _ in range(2):
            stop, seen = tracee.go("SYSEMU_SINGLESTEP"), tracee.registers()
            said.append(f"{stop} at {seen['rip'] - begin:+}")
            said[0] += " without TF" if len(said) == 1 and not seen["eflags"] & 0x100 else ""
        return ", ".join(said)


@fact("KS3", clauses=("kernel.S3", "fact.C4"), needs="sysemu", known={"SIGTRAP, SIGTRAP": "5.10 to 7.3"})
def a_trap_flag_that_was_set_stays() -> str:
    """The trap flag in the registers steps a tracee under plain PTRACE_SYSEMU too, and stays set."""
    with raw_ptrace.tracee(guests.nops.code) as tracee:
        tracee.set_registers(eflags=tracee.registers()["eflags"] | 0x100)
        return f"{tracee.go('SYSEMU')}, {tracee.go('SYSEMU')}"


@fact("KS3", clauses="fact.D2", known={"pushf shows it": "5.10 to 7.3"})
def a_stepped_tracee_can_see_the_trap_flag() -> str:
    """The trap flag of PTRACE_SINGLESTEP is hidden from the tracer but not from ``pushf``."""
    with raw_ptrace.tracee(guests.read_flags.code) as tracee:
        tracee.go("SINGLESTEP")
        tracee.go("SINGLESTEP")
        return "pushf shows it" if tracee.registers()["rsi"] & 0x100 else "pushf does not show it"


@fact(
    "KS4",
    clauses=("kernel.S4", 'ptrace(2) "Signal-delivery-stop"'),
    known={"SIGTRAP|0x80 (exit), SIGUSR1": "5.10 to 7.3"},
)
def a_signal_between_entry_and_exit_waits() -> str:
    """A signal between a call's entry and exit is reported after the exit."""
    with raw_ptrace.tracee(guests.call_and_trap.code, rax=Number.GETPID) as tracee:
        tracee.go("SYSCALL")
        tracee.send(signal.SIGUSR1)
        stop = tracee.go("SYSCALL")
        where = "exit" if tracee.register("rax") == tracee.tid else "no exit"
        return f"{stop} ({where}), {tracee.go('SYSCALL')}"


@fact("KS4", clauses="kernel.S4", known={"killed by SIGKILL": "5.10 to 7.3"})
def a_kill_between_entry_and_exit_leaves_no_exit() -> str:
    """A tracee that is killed at a call's entry has no exit stop."""
    with raw_ptrace.tracee(guests.call_and_trap.code, rax=Number.GETPID) as tracee:
        tracee.go("SYSCALL")
        tracee.send(signal.SIGKILL)
        return tracee.wait()
