"""Which thread may make requests for a tracee, and which may wait for it."""

from __future__ import annotations

import os
import signal

from worldswitch.harness.verdict import in_time
from worldswitch.scenarios import guests, raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.raw_ptrace import lib
from worldswitch.scenarios.raw_ptrace.threads import in_a_thread

NO_SIGNAL = 0  #: as an exit signal, it makes a clone child as any signal but SIGCHLD does


@fact("KW1", clauses=("kernel.W1", "fact.E3"), known={"GETREGS ESRCH, CONT ESRCH": "5.10 to 7.3"})
def requests_are_for_the_thread_that_attached() -> str:
    """A request from another thread of the tracer's process fails with ESRCH."""
    with raw_ptrace.tracee() as tracee:
        buffer = bytearray(512)
        return in_a_thread(
            lambda: f"GETREGS {tracee.says('GETREGS', 0, raw_ptrace.address_of(buffer))}, CONT {tracee.says('CONT')}"
        )


def _with_a_stop_to_take(tracee: raw_ptrace.Thread) -> None:
    tracee.put(guests.int3.code)
    tracee.ask("CONT")
    assert tracee.becomes("t")


@fact("KW2", clauses=("kernel.W2", "fact.E3"), known={"it gets SIGTRAP, and the tracer nothing": "5.10 to 7.3"})
def another_thread_may_take_a_stop_away() -> str:
    """A sibling thread of the tracer that waits takes the tracee's stop away from the tracer."""
    with raw_ptrace.tracee() as tracee:
        _with_a_stop_to_take(tracee)
        taken = in_a_thread(tracee.wait)
        return f"it gets {taken}, and the tracer {'nothing' if tracee.silent() else 'something'}"


@fact("KW2", clauses="kernel.W2", known={"ECHILD": "5.10 to 7.3"})
def wnothread_is_for_ones_own_tracees() -> str:
    """With __WNOTHREAD a sibling thread of the tracer does not see the tracee."""
    with raw_ptrace.tracee() as tracee:
        _with_a_stop_to_take(tracee)
        flags = lib.__WALL | lib.__WNOTHREAD | lib.WNOHANG
        return raw_ptrace.answer(in_a_thread(lambda: raw_ptrace.system_call(lib.SYS_wait4, tracee.tid, 0, flags)))


@fact("KW3", clauses=("kernel.W3", "fact.E3b"), known={"ECHILD, with __WALL 0": "5.10 to 7.3"})
def a_clone_child_needs_wall() -> str:
    """A child whose exit signal is not SIGCHLD is not found by wait without __WALL."""
    with raw_ptrace.process(NO_SIGNAL) as process:
        plain = raw_ptrace.answer(raw_ptrace.system_call(lib.SYS_wait4, process.pid, 0, lib.WNOHANG))
        return f"{plain}, with __WALL {raw_ptrace.system_call(lib.SYS_wait4, process.pid, 0, lib.WNOHANG | lib.__WALL)}"


@fact("KW3", clauses="kernel.W3", known={"0": "since 4.7", "ECHILD": "before 4.7"})
def a_tracee_needs_no_wall() -> str:
    """A tracee is found by wait without __WALL, whatever its exit signal."""
    with raw_ptrace.tracee(flags=NO_SIGNAL) as tracee:
        return raw_ptrace.answer(raw_ptrace.system_call(lib.SYS_wait4, tracee.tid, 0, lib.WNOHANG))


@fact("KW3", clauses="kernel.W3", known={"its stop": "5.10 to 7.3"})
def a_tracees_stops_need_no_wuntraced() -> str:
    """Stops of tracees are reported without WUNTRACED."""
    with raw_ptrace.tracee() as tracee:
        _with_a_stop_to_take(tracee)
        waited = raw_ptrace.system_call(lib.SYS_wait4, tracee.tid, 0, lib.WNOHANG)
        return "its stop" if waited == tracee.tid else raw_ptrace.answer(waited)


@fact(
    "KW4",
    clauses=("kernel.W4", 'ptrace(2) "Informational and restarting ptrace commands"'),
    known={"running ESRCH, a stranger ESRCH, dead ESRCH": "5.10 to 7.3"},
)
def no_such_process_means_not_stopped_for_you() -> str:
    """A request for a running tracee, another's process or a dead tracee fails with ESRCH."""
    with raw_ptrace.process() as stranger, raw_ptrace.tracee(guests.count_loop.code) as tracee:
        tracee.ask("CONT")
        running, other = tracee.says("CONT"), raw_ptrace.Thread(stranger.pid, stranger).says("CONT")
        tracee.send(signal.SIGKILL)
        assert tracee.becomes("Z")
        return f"running {running}, a stranger {other}, dead {tracee.says('CONT')}"


@fact("KW4", clauses="kernel.W4", known={"EPERM": "5.10 to 7.3", "ESRCH": "other ways to be dead"})
def a_zombie_cannot_be_seized() -> str:
    """PTRACE_SEIZE of a zombie fails with EPERM."""
    with raw_ptrace.process() as process:
        os.kill(process.pid, signal.SIGKILL)
        in_time(raw_ptrace.until(lambda: raw_ptrace.process_state(process.pid) == "Z"), "the child is no zombie")
        return raw_ptrace.Thread(process.pid, process).says("SEIZE")


@fact(
    "KW5",
    clauses=("kernel.W5", 'ptrace(2) "execve(2) under ptrace"'),
    known={"the leader's id: EVENT_EXEC, message is the old id": "5.10 to 7.3"},
)
def a_thread_that_executes_takes_the_leaders_id() -> str:
    """``execve`` by a thread that is not the leader ends the others and gives it the leader's id."""
    with raw_ptrace.tracee(options=raw_ptrace.OPTIONS | lib.PTRACE_O_TRACEEXEC) as tracee:
        sibling = tracee.clone()
        sibling.wait()
        arena = tracee.process.arena
        path = arena.write(b"/proc/self/exe\0", 512)
        arguments = arena.write_words(path, 0)
        sibling.put(guests.call_and_trap.code, rax=lib.SYS_execve, rdi=path, rsi=arguments, rdx=arena.data + 8)
        tracee.put(guests.count_loop.code, rbx=arena.data + 2048)
        tracee.ask("CONT")
        sibling.ask("CONT")
        stop, message = tracee.wait(), tracee.message()
        return f"the leader's id: {stop}, message {'is the old id' if message == sibling.tid else message}"
