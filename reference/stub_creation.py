"""Makes stub processes: forks a child, traces it, and follows it to the first instruction of the stub.

All of it runs on the creator thread, which the kernel ties the child's life to (`creator`).  What the child does on its
way is data, the birth plan (`birth_plan`).
"""

from __future__ import annotations

import errno
import mmap
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from worldswitch.harness.contract import Cause, Death, HostError, Options, PlatformError
from worldswitch.reference import prerequisites, privileges
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.birth_plan import Step, StubPlan, standard_plan
from worldswitch.reference.filter import new_key, program
from worldswitch.reference.refusals import refused
from worldswitch.reference.stops import WALL, StopKind, decode
from worldswitch.reference.stub_page import StubPage
from worldswitch.reference.stubprocess import StubProcess

#: The pause between two looks at a child on its way into the stub, in seconds.
BIRTH_ROUND = 0.0001

#: How long the end of a killed child is waited for, in seconds.
LAST_WAIT = 5.0


class StubCreation:
    """Makes the stub processes of one platform."""

    # Seams: overridden by mutants, as are `birth`, `make_plan`, `filter_program`, `given_up`, `trace_leader`,
    # `await_entry` and `abandon`.

    #: How long a new stub may take to its first instruction, in seconds.  A frozen or stopped child would never arrive,
    #: and births are serialised on the creator thread.
    patience = 10.0

    def __init__(
        self,
        options: Options,
        page: StubPage,
        stub_class: type[StubProcess],
        on_birth: Callable[[StubProcess], None],
        on_death: Callable[[StubProcess], None],
    ) -> None:
        self.options = options
        self.page = page
        self.stub_class = stub_class
        self._on_birth = on_birth
        self._on_death = on_death

    def birth(self) -> StubProcess:
        """Fork a stub process and finish it.  Creator thread only.  Raises `HostError`, `StubDied`, `Unavailable`.

        Seed: createStub, forkStub.
        """
        try:
            go_read, go_write = os.pipe()
        except OSError as error:
            raise HostError(error.errno or 0, "a pipe to a new stub") from error
        try:
            stub = self.fork(self.make_plan(go_read), go_write)
        finally:
            os.close(go_read)
            os.close(go_write)
        self._on_birth(stub)
        try:
            stub.adopt_leader()
        except BaseException as error:
            stub.bury(Cause(Death.BROKEN, dump=f"the new stub could not be finished: {error}"))
            raise
        return stub

    def make_plan(self, go: int) -> StubPlan:
        """The birth plan of a new stub; `go` is the descriptor that it waits on until it is traced."""
        options, key = self.options, new_key()
        return standard_plan(
            *(self.filter_program(key), key, go, os.getpid(), options.exit_kill, options.cpuid_faults),
            self.given_up(),
        )

    def given_up(self) -> list[Step]:
        """The steps by which a new stub gives up what it must not have of its maker."""
        priority = [] if self.options.keep_priority else privileges.ordinary_priority()
        return [*priority, *privileges.no_implied_access(), *privileges.no_core_dump()]

    def filter_program(self, key: int) -> bytes:
        """The filter of a new stub."""
        return program(self.page, key, self.options.injectable)

    def fork(self, plan: StubPlan, go: int) -> StubProcess:
        """Fork a child and follow it to the stub's first instruction.  Raises `HostError`, `Unavailable`."""
        steps, kept = plan.encode()
        memory = mmap.mmap(-1, mmap.PAGESIZE)
        boot = ffi.from_buffer("struct boot *", memory)
        pid = lib.stub_fork(plan.clone_flags, steps, len(plan.steps), boot, self.page.entry)
        if pid < 0:
            raise HostError(-pid, "clone of a stub process")
        try:
            self.trace_leader(pid)
            os.write(go, b"g")
            failure = self.await_entry(pid, plan, boot)
        except BaseException:
            self.abandon(pid)
            raise
        finally:
            del boot, kept
        if failure is not None:
            raise failure
        return self.stub_class(pid, self.page, plan, self._on_death)

    def trace_leader(self, pid: int) -> None:
        """Seize a new child.  Raises `Unavailable` if the kernel refuses."""
        options = ffi.cast("void *", lib.PTRACE_O_EXITKILL | lib.PTRACE_O_TRACESYSGOOD)
        rc = lib.tracee_request(lib.PTRACE_SEIZE, pid, 0, options)
        if rc < 0 and not _is_dead(pid):  # the wait for its first stop reports a death
            raise refused("PTRACE_SEIZE", -rc, pid)

    def await_entry(self, pid: int, plan: StubPlan, boot: Any) -> PlatformError | None:
        """Wait for the trap at the stub's first instruction, past the signals of other processes.

        Returns None at the trap, or the error if the child is dead and reaped.  Raises `HostError` (ETIMEDOUT).
        """
        status = ffi.new("int *")
        give_up = time.monotonic() + self.patience
        while time.monotonic() < give_up:
            rc = lib.tracee_wait(pid, WALL | os.WNOHANG, status)
            if rc == 0:
                time.sleep(BIRTH_ROUND)
                continue
            if rc < 0:
                return HostError(
                    -rc,
                    f"wait4({pid}), a new stub process: its status was collected elsewhere, by another thread's wait "
                    "for any child (os.wait, waitpid(-1)); wait by pid there",
                )
            stop = decode(status[0])
            if stop.kind is StopKind.DEATH:
                return prerequisites.stillborn(plan, boot, stop)
            if stop.kind is StopKind.SIGNAL and stop.signo == signal.SIGTRAP:
                return None
            lib.tracee_request(lib.PTRACE_CONT, pid, 0, ffi.NULL)
        raise HostError(errno.ETIMEDOUT, f"a new stub process does not get past {plan.where(boot.step)}")

    def abandon(self, pid: int) -> None:
        """Kill and reap a child that did not become a stub.  It must not be reaped yet: its pid may be another's."""
        lib.signal_thread(pid, pid, signal.SIGKILL)
        status = ffi.new("int *")
        give_up = time.monotonic() + LAST_WAIT
        while time.monotonic() < give_up:
            rc = lib.tracee_wait(pid, WALL | os.WNOHANG, status)
            if rc < 0 or (rc > 0 and not os.WIFSTOPPED(status[0])):
                return
            if rc == 0:
                time.sleep(BIRTH_ROUND)


def _is_dead(pid: int) -> bool:
    """Whether a child has ended; its status stays uncollected.  A child that is already reaped is dead too."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG | WALL) is not None
    except ChildProcessError:
        return True
