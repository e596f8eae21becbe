"""The birth plan: the system calls that a forked child makes on its way into the stub, as data for fork.c.

The child runs in a copy of a multithreaded process and may not run Python, so the parent decides everything beforehand.
The order matters:

1. PDEATHSIG, then the check that the parent did not die before it: from here on no crash leaves an orphan.
2. Wait for the parent's byte, which it sends when the child is traced with PTRACE_O_EXITKILL.
3. A process group of its own, so that the terminal's ^C and ^Z do not reach stubs.  A session of its own would do that
   too, but the scheduler groups by session (CONFIG_SCHED_AUTOGROUP), and crossing groups twice makes a switch some 5 %
   slower.
4. Dispositions of its own, all signals blocked: none of the parent's handlers, and no signal that kills an untraced
   thread.  Threads that run guests unblock them, since their tracer would not see blocked ones.  Fatal signals are
   ignored, which hides none from a tracer: one that kill(2) sends to the id of an untraced thread would end the whole
   process where another thread does not block it (kernel/signal.c: complete_signal).  Faults cannot be ignored.
5. Processor settings for guests: no shadow stack, which lies in memory that is soon unmapped, and on request a fault at
   each CPUID.  Threads inherit both.
6. What it must give up of its maker's (`privileges`), if that has any of it.
7. The seccomp filter last, since it allows none of the above.

Seed: forkStub in subprocess_linux.go.
"""

from __future__ import annotations

import signal
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from worldswitch.reference._core import ffi, lib

#: The kernel's struct sigaction: the handler, SIG_DFL (0) or SIG_IGN (1), then no flags and an empty mask.
SIGACTION_SIZE = 32
#: Signals that the kernel raises for an instruction.  If one is ignored, it kills, and makes the default of it.
FAULTS = (signal.SIGILL, signal.SIGTRAP, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS)
#: Signals that end no process by default.
HARMLESS = (
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
)
SIGSET_SIZE = 8
ALL_SIGNALS = range(1, 65)  # 1 to _NSIG, include/uapi/asm-generic/signal.h
FILTER_HEADER_SIZE = 16  # struct sock_fprog: a count and a pointer

# arch/x86/include/uapi/asm/prctl.h, of Linux 4.12 and 6.6
ARCH_SET_CPUID = 0x1012
ARCH_SHSTK_DISABLE, ARCH_SHSTK_SHSTK = 0x5002, 1


@dataclass(frozen=True, slots=True)
class Step:
    """One system call of the child.  `expected` None accepts any result; pointers are cffi objects."""

    name: str
    number: int
    arguments: tuple[object, ...] = ()
    expected: int | None = 0


@dataclass(frozen=True, slots=True)
class StubPlan:
    """Everything that decides how a forked child becomes a stub."""

    steps: tuple[Step, ...]
    clone_flags: int
    trace_options: int
    key: int = 0  #: of the injected calls, see `filter`

    def describe(self, index: int, result: int) -> str:
        """A phrase for the failure at step `index`."""
        if index >= len(self.steps):
            return "after its last step"
        return f"at step {index + 1}, {self.steps[index].name}, which returned {result}"

    def where(self, index: int) -> str:
        """A phrase for step `index`, which a child is at."""
        return self.steps[index].name if index < len(self.steps) else "its last step"

    def encode(self) -> tuple[object, list[object]]:
        """The steps as a C array, and the objects that must live as long as the array is used."""
        array = ffi.new("struct step[]", len(self.steps))
        kept: list[object] = [array]
        for target, step in zip(array, self.steps, strict=True):
            target.number = step.number
            for i, argument in enumerate(step.arguments):
                if not isinstance(argument, int):
                    kept.append(argument)
                    argument = int(ffi.cast("unsigned long", argument))
                target.arguments[i] = argument & 0xFFFF_FFFF_FFFF_FFFF
            target.checked = step.expected is not None
            target.expected = step.expected or 0
        return array, kept


def _filter_argument(program: bytes) -> object:
    """A ``struct sock_fprog`` followed by its program, in one piece of memory, so that one reference keeps both."""
    memory = ffi.new("unsigned char[]", FILTER_HEADER_SIZE + len(program))
    address = int(ffi.cast("unsigned long", memory))
    ffi.buffer(memory)[:] = struct.pack("=HxxxxxxQ", len(program) // 8, address + FILTER_HEADER_SIZE) + program
    return memory


def standard_plan(
    filter_program: bytes,
    key: int,
    go: int,
    parent: int,
    exit_kill: bool = True,
    cpuid_faults: bool = False,
    given_up: Sequence[Step] = (),
) -> StubPlan:
    """The plan of every stub.

    `key` is the filter's, `go` the file descriptor that the parent's byte comes through, `parent` the id of the process
    that forks.  `given_up` are steps that give up what the process has.
    """
    all_signals = ffi.new("unsigned char[]", b"\xff" * SIGSET_SIZE)
    byte = ffi.new("unsigned char[1]")
    program = _filter_argument(filter_program)
    cpuid = Step("arch_prctl(ARCH_SET_CPUID), to have CPUID fault", lib.SYS_arch_prctl, (ARCH_SET_CPUID, 0))
    steps = [
        Step("prctl(PR_SET_PDEATHSIG)", lib.SYS_prctl, (lib.PR_SET_PDEATHSIG, int(signal.SIGKILL))),
        Step("getppid: its parent is gone", lib.SYS_getppid, (), parent),
        Step("read: wait until it is traced", lib.SYS_read, (go, byte, 1), 1),
        Step("setpgid", lib.SYS_setpgid, (0, 0), None),
        *_dispositions(),
        Step("rt_sigprocmask", lib.SYS_rt_sigprocmask, (int(signal.SIG_SETMASK), all_signals, 0, SIGSET_SIZE)),
        Step("arch_prctl(ARCH_SHSTK_DISABLE)", lib.SYS_arch_prctl, (ARCH_SHSTK_DISABLE, ARCH_SHSTK_SHSTK), None),
        *([cpuid] if cpuid_faults else ()),
        *given_up,
        Step("prctl(PR_SET_NO_NEW_PRIVS)", lib.SYS_prctl, (lib.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
        Step("seccomp(SECCOMP_SET_MODE_FILTER)", lib.SYS_seccomp, (lib.SECCOMP_SET_MODE_FILTER, 0, program)),
    ]
    options = lib.PTRACE_O_TRACESYSGOOD | (lib.PTRACE_O_EXITKILL if exit_kill else 0)
    return StubPlan(tuple(steps), lib.CLONE_FILES, options, key)


def _dispositions() -> Sequence[Step]:
    """A step for each signal but SIGKILL and SIGSTOP, which always have theirs."""
    default, ignore = (ffi.new("unsigned char[]", bytes([handler]).ljust(SIGACTION_SIZE, b"\0")) for handler in (0, 1))
    return [
        Step(
            *(f"rt_sigaction({number})", lib.SYS_rt_sigaction),
            (number, default if number in (*FAULTS, *HARMLESS) else ignore, 0, SIGSET_SIZE),
        )
        for number in ALL_SIGNALS
        if number not in (signal.SIGKILL, signal.SIGSTOP)
    ]
