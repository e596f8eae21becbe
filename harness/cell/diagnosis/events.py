"""Decode the flight recorder's events: names for numbers, and only the registers that changed."""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Iterable, Iterator

from worldswitch.harness.arch import registers
from worldswitch.harness.cell.diagnosis.model import Event
from worldswitch.harness.flight import WAIT, Noted

# include/uapi/linux/ptrace.h, arch/x86/include/uapi/asm/ptrace-abi.h
_OLD_REQUESTS = """
    0 TRACEME 1 PEEKTEXT 2 PEEKDATA 3 PEEKUSER 4 POKETEXT 5 POKEDATA 6 POKEUSER 7 CONT 8 KILL 9 SINGLESTEP 12 GETREGS
    13 SETREGS 14 GETFPREGS 15 SETFPREGS 16 ATTACH 17 DETACH 24 SYSCALL 31 SYSEMU 32 SYSEMU_SINGLESTEP 33 SINGLEBLOCK
""".split()
_NEW_REQUESTS = (
    *("SETOPTIONS", "GETEVENTMSG", "GETSIGINFO", "SETSIGINFO", "GETREGSET", "SETREGSET", "SEIZE", "INTERRUPT"),
    *("LISTEN", "PEEKSIGINFO", "GETSIGMASK", "SETSIGMASK", "SECCOMP_GET_FILTER", "SECCOMP_GET_METADATA"),
    *("GET_SYSCALL_INFO", "GET_RSEQ_CONFIGURATION", "SET_SYSCALL_USER_DISPATCH_CONFIG"),
    *("GET_SYSCALL_USER_DISPATCH_CONFIG", "SET_SYSCALL_INFO"),
)
REQUESTS = {
    **dict(zip(map(int, _OLD_REQUESTS[::2]), _OLD_REQUESTS[1::2], strict=True)),
    **dict(enumerate(_NEW_REQUESTS, 0x4200)),
}
_GETSIGINFO, _GET_SYSCALL_INFO = 0x4202, 0x420E

_EVENTS = {1: "FORK", 2: "VFORK", 3: "CLONE", 4: "EXEC", 5: "VFORK_DONE", 6: "EXIT", 7: "SECCOMP", 128: "STOP"}
_SYSGOOD = 0x80
_STATUS = 0x7FFF_FFFF  #: a platform may note anything as the status of a wait

# include/uapi/asm-generic/siginfo.h
_CODES = {0: "SI_USER", 0x80: "SI_KERNEL", -1: "SI_QUEUE", -2: "SI_TIMER", -5: "SI_SIGIO", -6: "SI_TKILL"}
_CODES_OF = {
    signal.SIGSEGV: ("SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR", "SEGV_PKUERR"),
    signal.SIGBUS: ("BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR"),
    signal.SIGTRAP: ("TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT"),
    signal.SIGILL: ("ILL_ILLOPC", "ILL_ILLOPN", "ILL_ILLADR", "ILL_ILLTRP", "ILL_PRVOPC"),
    signal.SIGFPE: ("FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND", "FPE_FLTRES", "FPE_FLTINV"),
    signal.SIGSYS: ("SYS_SECCOMP",),
    signal.SIGCHLD: ("CLD_EXITED", "CLD_KILLED", "CLD_DUMPED", "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"),
}
_WITH_ADDRESS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)

# include/uapi/linux/ptrace.h: struct ptrace_syscall_info
_OPERATIONS = ("none", "entry", "exit", "seccomp")


def decode(recorded: Iterable[Noted], begin: float) -> Iterator[Event]:
    """Decode recorded events; `begin` is the start of the trial in seconds of CLOCK_MONOTONIC."""
    known: dict[int, list[int]] = {}
    for noted in recorded:
        changed = _changed(noted, known)
        yield Event(
            seconds=round(noted.nanoseconds / 1e9 - begin, 6),
            tracer=noted.tracer,
            tid=noted.tid,
            request="wait4" if noted.request == WAIT else _request(noted.request),
            result=_result(noted),
            status=noted.result if noted.request == WAIT and 0 <= noted.result <= _STATUS else None,
            siginfo=siginfo(noted.about) if noted.about and noted.request == _GETSIGINFO else "",
            registers={name: hex(value) for name, value in changed.items()},
        )


def line(event: Event) -> str:
    """Return an event as a line of text."""
    head = f"{event.seconds:10.6f}  {event.tracer} {event.request} {event.tid} -> {event.result}"
    changed = " ".join(f"{name}={value}" for name, value in event.registers.items())
    return "  ".join(filter(None, (head, event.siginfo, changed)))


def _request(number: int) -> str:
    name = REQUESTS.get(number)
    return f"PTRACE_{name}" if name else hex(number)


def _result(noted: Noted) -> str:
    if noted.result < 0:
        return errno.errorcode.get(-noted.result, str(noted.result))
    if noted.request == WAIT and noted.result <= _STATUS:
        return status(noted.result)
    if noted.request == _GET_SYSCALL_INFO and noted.about:
        operation, architecture = struct.unpack_from("=BxxxI", noted.about)
        operation_name = _OPERATIONS[operation] if operation < len(_OPERATIONS) else str(operation)
        return f"{operation_name}, architecture {architecture:#x}"
    return str(noted.result)


def status(value: int) -> str:
    """Describe a wait status."""
    if os.WIFEXITED(value):
        return f"exited with status {os.WEXITSTATUS(value)}"
    if os.WIFSIGNALED(value):
        return f"killed by {name_of(os.WTERMSIG(value))}"
    signo, event = (value >> 8) & 0xFF, value >> 16
    if event:
        by = f" by {name_of(signo)}" if event == 128 else ""
        return f"stopped at PTRACE_EVENT_{_EVENTS.get(event, event)}{by}"
    if signo == signal.SIGTRAP | _SYSGOOD:
        return "stopped at a system call"
    return f"stopped by {name_of(signo)}"


def name_of(signo: int) -> str:
    """Return a signal's name; real-time signals have only a number."""
    return next((known.name for known in signal.Signals if known == signo), f"signal {signo}")


def siginfo(raw: bytes) -> str:
    """Describe the first bytes of a siginfo_t."""
    signo, _, code = struct.unpack_from("=iii", raw)
    pid, user = struct.unpack_from("=ii", raw, 16)
    value, address = struct.unpack_from("=Q", raw, 24)[0], struct.unpack_from("=Q", raw, 16)[0]
    text = f"{name_of(signo)}, code {code}"
    names = _CODES_OF.get(signal.Signals(signo), ()) if signo in iter(signal.Signals) else ()
    name = names[code - 1] if 0 < code <= len(names) else _CODES.get(code)
    text += f" ({name})" if name else ""
    if code <= 0:
        text += f", from process {pid} of user {user}"
        return text + (f", value {value:#x}" if code == -1 else "")
    return text + (f", at {address:#x}" if signo in _WITH_ADDRESS and code != 0x80 else "")


def _changed(noted: Noted, known: dict[int, list[int]]) -> dict[str, int]:
    """The registers that changed since the thread's last event with registers; at the first, those not 0."""
    before = known.get(noted.tid, [0] * len(registers.NAMES))
    if noted.registers is not None:
        now = list(struct.unpack(f"={len(registers.NAMES)}Q", noted.registers))
    elif noted.result_register is not None:
        now = [*before]
        now[registers.RESULT] = noted.result_register
    else:
        return {}
    known[noted.tid] = now
    return {name: new for name, old, new in zip(registers.NAMES, before, now, strict=True) if old != new}
