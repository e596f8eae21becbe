"""The cost of the kernel's part alone, in C: lower bounds for anything that switches between processes."""

from __future__ import annotations

from functools import partial

from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.native._native import ffi, lib
from worldswitch.harness.bench.workbench import Bench, Timer, on_one_cpu, pinned, timed_by_c

SUBJECT = Subject(__file__)


def traced(bench: Bench, loop: str) -> Timer:
    """Return the timer of a C loop that traces a child on the same CPU."""
    with pinned():
        pid = lib.traced_start()
    if pid < 0:
        raise OSError(-pid, "starting a traced child")
    bench.ending.callback(lib.traced_end, pid)
    return on_one_cpu(timed_by_c(lambda loops: int(getattr(lib, loop)(pid, loops))))


def in_turn(bench: Bench, kind: str) -> Timer:
    """Return the timer of a C loop that wakes a child and waits for its answer, on one CPU."""
    pong = ffi.new("struct pong *")
    with pinned():
        rc = getattr(lib, f"pong_{kind}_start")(pong)
    if rc < 0:
        raise OSError(-rc, "starting a child that answers")
    bench.ending.callback(lib.pong_end, pong)
    return on_one_cpu(timed_by_c(lambda loops: int(getattr(lib, f"loop_{kind}")(pong, loops))))


@SUBJECT.timed()
def getpid(bench: Bench) -> Timer:
    """An untraced system call.

    Timed: getpid(2), by syscall(3).  Not timed: nothing else is done.
    """
    return on_one_cpu(timed_by_c(lambda loops: int(lib.loop_getpid(loops))))


@SUBJECT.timed()
def getpid_filtered(bench: Bench) -> Timer:
    """A system call under a seccomp filter that allows everything.

    Timed: getpid(2), by syscall(3), in a child.  Not timed: making the child and its filter.
    """
    return on_one_cpu(timed_by_c(lambda loops: int(lib.loop_getpid_filtered(loops))))


@SUBJECT.timed()
def pipe(bench: Bench) -> Timer:
    """A byte to another process through a pipe and one back, both on one CPU.

    Timed: write(2), the other's read and write, read(2).  Not timed: making the process and the pipes.
    """
    return in_turn(bench, "pipe")


@SUBJECT.timed()
def futex(bench: Bench) -> Timer:
    """A futex wake-up of another process and one back, both on one CPU.

    Timed: two wake-ups and two waits.  Not timed: making the process.
    """
    return in_turn(bench, "futex")


#: The C loops that trace a child, and what each times.
TRACED = {
    "sysemu": """The bare round trip: PTRACE_SYSEMU and a blocking wait4, on one CPU.

Timed: the two calls and the tracee's system call.  Not timed: starting the tracee.  No register is read.""",
    "sysemu_yield": """The bare round trip with sched_yield and a wait4 that does not block in place of one that does.

Timed: the three calls and the tracee's system call.  Not timed: starting the tracee.""",
    "registers": """The bare round trip with all general registers written and read.

Timed: PTRACE_SETREGS, PTRACE_SYSEMU, wait4, PTRACE_GETREGS.  Not timed: starting the tracee.""",
    "same_calls": """The kernel calls of a resident switch, and nothing else.

Timed: PTRACE_POKEUSER, PTRACE_SYSEMU, sched_yield, wait4, PTRACE_GETREGS.  Not timed: starting the tracee.""",
    "same_calls_xstate": """The kernel calls of a switch that reads the extended state back, and nothing else.

Timed: as `same_calls`, and PTRACE_GETREGSET of the extended state.  Not timed: starting the tracee.""",
    "seed": """The kernel calls of the design of 2019: all registers and the extended state, written and read.

Timed: PTRACE_SETREGSET, PTRACE_SETREGS, PTRACE_SYSEMU, wait4, PTRACE_GETREGS, PTRACE_GETREGSET.
Not timed: starting the tracee.""",
}

for _name, _about in TRACED.items():
    SUBJECT.add(_name, _about, partial(traced, loop=f"loop_{_name}"))
