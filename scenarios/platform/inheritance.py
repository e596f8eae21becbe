"""What a stub must not inherit from the harness that forked it: terminal, signal mask, dispositions, implied access."""

from __future__ import annotations

import os
import signal
from functools import partial

from worldswitch.harness.contract import Access, Fault
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Line, libc
from worldswitch.scenarios.stage.deaths import stub_of
from worldswitch.scenarios.stage.memory_guests import reads
from worldswitch.scenarios.stage.processes import mappings_of, process_state, status_of, threads_of
from worldswitch.scenarios.stage.senders import CATCHABLE, SignalSender, waiting_for
from worldswitch.scenarios.stage.stage import PAGE, Stage
from worldswitch.scenarios.stage.steady_guests import Computing, in_a_thread_that_ends, makes_calls
from worldswitch.scenarios.stage.terminals import KEYS, SUSPEND, Terminal, a_terminal

READ_IMPLIES_EXEC = 0x40_0000  # <linux/personality.h>

#: Signals that no fault raises.
FAULTS = (signal.SIGILL, signal.SIGTRAP, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS)
ASYNCHRONOUS = tuple(signo for signo in CATCHABLE if signo not in FAULTS)

# --------------------------------------------------------------------------------------------------------- the terminal


@scenario(
    "SG14", "K33", clauses=("gvisor 4a1a2dead", "setpgid(2)", "credentials(7)"), needs="pty", quick=3, normal=3, soak=50
)
def keys_typed_at_the_terminal_are_for_the_harness_alone(stage: Stage) -> None:
    """The signals of terminal keys reach the harness, once each, and no stub."""
    for _ in range(stage.trial.repeat):
        with a_terminal() as terminal:
            children.run(stage, partial(_work_at_a_terminal, stage, terminal), 15)


def _work_at_a_terminal(stage: Stage, terminal: Terminal, _: Line) -> None:
    received: list[int] = []
    terminal.become_controlling()
    for signo in KEYS.values():
        signal.signal(signo, lambda signo, _: received.append(signo))
    guest = stage.guest(guests.getpid_loop)
    makes_calls(guest, 2)
    _type_all(stage, terminal, received)
    stub = stub_of(stage, guest.space)
    assert os.getpgid(stub) != os.getpgid(0), "the stub is in the process group that gets the keys' signals"
    assert not waiting_for(stub), f"signals of keys, pending for the stub: {waiting_for(stub)}"
    makes_calls(guest, 2)
    with Computing(stage) as computing:
        _type_all(stage, terminal, received)
        computing.is_undisturbed("keys typed at the terminal")
        computing.ends_when_interrupted()
    assert received == [*KEYS.values()] * 2, "a key was lost or repeated"


def _type_all(stage: Stage, terminal: Terminal, received: list[int]) -> None:
    for key, signo in KEYS.items():
        terminal.type(key)
        stage.wait_until(lambda: received[-1:] == [signo], claim=f"the harness gets signal {signo}")  # noqa: B023


@scenario("SG14", "K33", clauses=("gvisor 4a1a2dead", "credentials(7)"), needs="pty", quick=3, normal=3, soak=50)
def a_harness_that_its_terminal_stops_goes_on_exactly(stage: Stage) -> None:
    """A harness stopped by ^Z in a switch finds its guest computing and exact when it is back in the foreground."""
    for _ in range(stage.trial.repeat):
        with a_terminal() as terminal:
            children.run(stage, partial(_be_a_shell, stage, terminal), 15)


def _be_a_shell(stage: Stage, terminal: Terminal, _: Line) -> None:
    terminal.become_controlling()
    job = children.fork(stage, partial(_be_a_job, stage))
    try:
        terminal.bring_to_foreground(job.pid)
        job.line.send("you have the terminal")
        assert job.hear(10) == "a guest computes"
        terminal.type(SUSPEND)
        stage.wait_until(lambda: process_state(job.pid) == "T", claim="^Z stops the harness")
        os.killpg(job.pid, signal.SIGCONT)
        job.line.send("you have the terminal again")
        job.result(10)
    finally:
        job.kill()
        job.wait(5)


def _be_a_job(stage: Stage, line: Line) -> None:
    line.receive(10)
    with Computing(stage) as guest:
        line.send("a guest computes")
        line.receive(10)
        guest.is_undisturbed("a ^Z that stopped the harness")
        guest.ends_when_interrupted()


# ------------------------------------------------------------------------------------------------ mask and dispositions


@scenario("SG15", "K08", clauses=("seed.forkStub", "kernel.M6", "ptrace(2) PTRACE_SETSIGMASK"), normal=5, soak=100)
def a_mask_inherited_from_the_harness_blocks_nothing(stage: Stage) -> None:
    """With all signals blocked in the harness, interrupts still work and a guest's faults are still events."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    with SignalSender() as other:
        faulting = stage.guest(guests.read_at)
        for _ in range(stage.trial.repeat):
            fault = stage.bounded(lambda: reads(faulting, PAGE))
            assert isinstance(fault, Fault), f"a read of address {PAGE:#x} was {fault}"
            assert (fault.signo, fault.address) == (signal.SIGSEGV, PAGE)
            with Computing(stage) as guest:
                other.kill(guest.pid, signal.SIGTERM, signal.SIGSEGV)
                guest.is_undisturbed("a foreign signal")
                guest.ends_when_interrupted()


@scenario("SG16", clauses=("seed.forkStub", 'signal(7) "Signal dispositions"', "kernel.M6"), normal=3, soak=50)
def what_the_harness_ignores_or_handles_its_stubs_do_not(stage: Stage) -> None:
    """A stub's signal dispositions are its own, and have no handler, whatever the harness ignores or handles."""
    for _ in range(stage.trial.repeat):
        found = set()
        for harness in (signal.SIG_IGN, signal.SIG_DFL, lambda *_: None):
            for signo in CATCHABLE:
                signal.signal(signo, harness)
            stub = stage.inspect(stage.space()).stub
            found |= {tuple(int(status_of(tid, field), 16) for field in ("SigIgn", "SigCgt")) for tid in stub.tids}
        assert len(found) == 1, f"what stubs ignore and handle differs: {found}"
        assert [handled for _, handled in found] == [0], f"a stub has handlers: {found}"


@scenario("SG21", clauses=("personality(2)", "seed.MapFile"), normal=3, soak=50)
def memory_is_not_executable_by_the_harness_personality(stage: Stage) -> None:
    """Under a personality in which read access implies execution, a guest's readable memory is not executable."""
    for _ in range(stage.trial.repeat):
        children.run(stage, partial(_under_a_lax_personality, stage), 15)


def _under_a_lax_personality(stage: Stage, _: Line) -> None:
    if libc.personality(READ_IMPLIES_EXEC) < 0:
        stage.trial.note("the personality cannot be set here")
        return
    space = stage.inspect(stage.space())
    address = stage.map(space, stage.memory(PAGE), Access.READ)
    found = [mapping.permissions for mapping in mappings_of(space.stub.pid) if mapping.begin == address]
    assert found == ["r--s"], f"memory that is mapped readable is {found}"


@scenario("SG20", clauses=('signal(7) "Standard signals"', "kill(2)", "seed.wait"), normal=3, soak=50)
def a_signal_to_the_id_of_an_idle_thread_ends_no_stub(stage: Stage) -> None:
    """A foreign signal sent by kill to the id of any thread of a stub ends no guest that computes there."""
    with SignalSender() as other:
        for _ in range(stage.trial.repeat):
            with Computing(stage) as guest:
                in_a_thread_that_ends(
                    stage, partial(stage.guest(guests.getpid_loop, space=guest.guest.space).syscalls, 1)
                )
                for tid in threads_of(guest.pid):
                    other.kill(tid, *ASYNCHRONOUS)
                    guest.is_undisturbed(f"signals to thread id {tid}")
                guest.ends_when_interrupted()
