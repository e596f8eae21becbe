"""The C core where system calls fail: errors are typed, stops are not lost, and nothing is left undone in silence."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from paths import SUPPORT
from worlds import start

from worldswitch.reference._core import ffi, lib

#: What a script starts with: `fails(request, error)` has a ptrace request of the core fail.
PREAMBLE = """
import ctypes, errno, signal, time
from worldswitch.harness.contract import Died, HostError, Interrupted, PlatformError
from worldswitch.reference._core import ffi, lib
faults = ctypes.CDLL(None)
def setting(name, value):
    ctypes.c_int.in_dll(faults, name).value = value
def fails(request, error):
    setting("request_error", error)
    setting("failing_request", request)
def count():
    return ctypes.c_int.in_dll(faults, "requests_failed").value
def outcome(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return error
def interrupted(guest):
    threading.Timer(0.1, guest.context.interrupt).start()
    return guest.switch()
def raises(function, text):
    error = outcome(function)
    assert isinstance(error, HostError), error
    assert text in str(error), error
"""


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes calls fail."""
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = SUPPORT / "faults.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, source], check=True)
    return library


def run(faults: Path, script: str) -> None:
    """Run a script to its end, which must be a success."""
    preload = " ".join(filter(None, (str(faults), os.environ.get("LD_PRELOAD", ""))))
    process = start(PREAMBLE + script, LD_PRELOAD=preload)
    try:
        said, errors = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"it hangs; so far it said: {process.communicate()}") from None
    assert process.returncode == 0, said + errors


# -------------------------------------------------------------------------------------------- the end of a thread


def test_no_pthread_key_is_an_error_and_harms_no_other_library(faults: Path) -> None:
    run(
        faults,
        """
first = ctypes.c_uint()
assert faults.pthread_key_create(ctypes.byref(first), None) == 0
while faults.pthread_key_create(ctypes.byref(ctypes.c_uint()), None) == 0:
    pass
values = [faults.pthread_getspecific(key) for key in range(first.value + 1)]
error = outcome(stage.platform_with)
assert isinstance(error, PlatformError), error
assert "pthread" in str(error), error
assert values == [faults.pthread_getspecific(key) for key in range(first.value + 1)]
faults.pthread_key_delete(first)
stage.guest(guests.getpid_loop).syscalls(3)
""",
    )


def test_a_thread_whose_end_cannot_be_seen_traces_nothing(faults: Path) -> None:
    run(
        faults,
        """
guest = stage.guest(guests.getpid_loop)
guest.syscalls(3)
def elsewhere():
    setting("setspecific_error", errno.ENOMEM)
    raises(guest.switch, "pthread")
    assert lib.tracees_owned() == 0
    setting("setspecific_error", 0)
    guest.syscalls(3)
stage.thread(elsewhere).result()
guest.syscalls(3)
""",
    )


def test_a_tracee_that_was_lost_before_it_was_attached_stays_lost() -> None:
    """Burying a stub marks its tracees as lost, at any time."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    tracee = lib.tracee_new(pid, pid)
    try:
        assert lib.tracee_claim(tracee)
        lib.tracee_lose(tracee)
        lib.tracee_attach(tracee, 0, ffi.new("int *"))
        assert tracee.state == lib.TRACEE_LOST
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        lib.tracee_drop(tracee)


# -------------------------------------------------------------------------------------------- what cannot be read


@pytest.mark.parametrize("error", ["0", "errno.EIO", "errno.ENOMEM"])
def test_a_stop_whose_extended_state_cannot_be_read_ends_the_guest(faults: Path, error: str) -> None:
    """Its registers were read, but a system call whose vectors are missing must not be answered."""
    run(
        faults,
        f"""
guest = stage.guest(guests.getpid_loop)
guest.syscalls(3)
fails(lib.PTRACE_GETREGSET, {error})
event = outcome(guest.switch)
fails(-1, 0)
assert isinstance(event, Died), event
assert "PTRACE_GETREGSET" in event.cause.dump, event.cause.dump
assert isinstance(outcome(guest.switch), Died)
stage.guest(guests.getpid_loop).syscalls(3)
""",
    )


@pytest.mark.parametrize("request_", ["PTRACE_GETREGS", "PTRACE_GETSIGINFO"])
def test_a_stop_that_cannot_be_read_ends_the_guest(faults: Path, request_: str) -> None:
    run(
        faults,
        f"""
guest = stage.guest(guests.write_at)
guest.switch()
guest.state.pc = guest.code
guest.state["rdi"] = stage.place(guest.space, 4096)
fails({0x0C if request_ == "PTRACE_GETREGS" else 0x4202}, errno.EPERM)
event = outcome(guest.switch)
fails(-1, 0)
assert isinstance(event, Died), event
assert "{request_}" in event.cause.dump, event.cause.dump
""",
    )


def test_registers_that_cannot_be_loaded_leave_the_guest_where_it_was(faults: Path) -> None:
    run(
        faults,
        """
guest = stage.guest(guests.getpid_loop)
guest.syscalls(3)
for _ in range(2):
    guest.state.write_xstate(bytes(guest.state.xstate))
    fails(lib.PTRACE_SETREGSET, errno.EIO)
    raises(guest.switch, "loading the guest's registers")
    fails(-1, 0)
    guest.syscalls(3)
""",
    )


@pytest.mark.parametrize("request_", ["GETREGS", "SETREGS", "SETREGSET", "SYSEMU"])
def test_a_base_that_cannot_be_loaded_leaves_the_guest_where_it_was(faults: Path, request_: str) -> None:
    """A base of the kernel's half, which the thread sets by the stub's own code."""
    run(
        faults,
        f"""
guest = stage.guest(guests.getpid_loop, fs_base=0xffff800000000000)
guest.syscalls(3)
for count in (1, 2):
    guest.state["r9"] ^= 1
    fails(lib.PTRACE_{request_}, errno.EPERM)
    raises(guest.switch, "PTRACE_{request_}")
    fails(-1, 0)
    assert (guest.state["r9"], guest.state["r12"]) == (1, 3 * count - 1)
    guest.state["r9"] ^= 1  # as the thread had it before: it must be loaded all the same
    guest.syscalls(3)
    assert guest.state["r12"] == 3 * count + 2
    assert guest.state["fs_base"] == 0xffff800000000000
""",
    )


@pytest.mark.parametrize("error", ["0", "errno.EIO"])
def test_a_pull_that_fails_is_no_success(faults: Path, error: str) -> None:
    run(
        faults,
        f"""
guest = stage.guest(guests.getpid_loop, resident=True)
guest.syscalls(3)
fails(lib.PTRACE_GETREGSET, {error})
error = outcome(guest.context.pull)
fails(-1, 0)
assert "PTRACE_GETREGSET" in error.cause.dump, error
""",
    )


@pytest.mark.parametrize("request_", ["GETREGSET", "SETSIGMASK", "SETREGS", "DETACH"])
def test_a_guest_that_cannot_be_parked_dies_with_its_thread(faults: Path, request_: str) -> None:
    """Without PTRACE_O_EXITKILL, too: else it would run on where no tracer sees it."""
    run(
        faults,
        f"""
guest = stage.guest(guests.getpid_loop, resident=True, platform=stage.platform_with(exit_kill=False))
def elsewhere():
    guest.syscalls(3)
    fails(lib.PTRACE_{request_}, errno.EIO)
stage.thread(elsewhere).result()
stage.wait_until(lambda: count() == 1)
stage.wait_until(lambda: guest.space.stub_process.cause is not None, 10)
fails(-1, 0)
assert isinstance(outcome(guest.switch), Died)
""",
    )


@pytest.mark.parametrize("request_", ["SETSIGMASK", "DETACH"])
def test_a_thread_that_cannot_be_parked_is_told(faults: Path, request_: str) -> None:
    run(
        faults,
        f"""
def fails_to_park(tracee):
    fails(lib.PTRACE_{request_}, errno.EIO)
    result = lib.tracee_park(tracee.handle)
    fails(-1, 0)
    return result
guest = stage.guest(guests.getpid_loop)
guest.syscalls(3)
assert fails_to_park(guest.context._holder) == -errno.EIO
""",
    )


@pytest.mark.parametrize("request_", ["SEIZE", "INTERRUPT"])
def test_a_thread_that_cannot_be_attached_can_be_later(faults: Path, request_: str) -> None:
    run(
        faults,
        f"""
guest = stage.guest(guests.getpid_loop)
fails(lib.PTRACE_{request_}, errno.EPERM)
for _ in range(2):
    raises(guest.switch, "attaching to thread")
fails(-1, 0)
guest.syscalls(3)
""",
    )


# -------------------------------------------------------------------------------------------- what does not stop

FROZEN = """
class Alarm(Exception):
    pass
def alarm(signo, frame):
    raise Alarm
signal.signal(signal.SIGALRM, alarm)
guest = stage.guest(guests.count_loop, fs_base=BASE)
assert interrupted(guest) == Interrupted()
guest.state["r9"] = 1
tid = guest.context._holder.tid
def freeze():
    setting("frozen_tid", tid)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
def thaw():
    signal.setitimer(signal.ITIMER_REAL, 0)
    setting("frozen_tid", 0)
freeze()
assert isinstance(outcome(guest.switch), Alarm)
"""


@pytest.mark.parametrize("base", [0x1000, 0xFFFF_8000_0000_0000])
def test_signals_end_a_switch_whose_guest_does_not_stop(faults: Path, base: int) -> None:
    """Nor does it while its thread runs the stub's code, which sets a base of the kernel's half."""
    run(
        faults,
        f"""{FROZEN.replace("BASE", hex(base))}
assert isinstance(outcome(guest.switch), Alarm)
assert outcome(guest.space.release).__class__.__name__ == "Busy"
thaw()
before = guest.data.word()
assert interrupted(guest) == Interrupted()
assert guest.data.word() > before > 0
assert (guest.state["fs_base"], guest.state["r9"]) == ({base}, 1)
""",
    )


def test_no_other_thread_or_context_takes_a_guest_that_does_not_stop(faults: Path) -> None:
    run(
        faults,
        f"""{FROZEN.replace("BASE", "0")}
signal.setitimer(signal.ITIMER_REAL, 0)
elsewhere = stage.thread(outcome, guest.switch).result()
assert elsewhere.__class__.__name__ == "WrongThread", elsewhere
other = stage.guest(guests.getpid_loop, space=guest.space)
refusal = outcome(other.switch)
assert refusal.__class__.__name__ == "Busy", refusal
thaw()
assert interrupted(guest) == Interrupted()
other.syscalls(3)
""",
    )


def test_a_handler_that_switches_another_context_on_a_running_guest_is_refused(faults: Path) -> None:
    run(
        faults,
        """
guest = stage.guest(guests.count_loop)
other = stage.guest(guests.getpid_loop, space=guest.space)
seen = []
def alarm(signo, frame):
    seen.append(outcome(other.switch))
    guest.context.interrupt()
signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
event = guest.switch()
signal.setitimer(signal.ITIMER_REAL, 0)
assert event == Interrupted(), event
assert seen[0].__class__.__name__ == "Busy", seen
other.syscalls(3)
""",
    )


@pytest.mark.parametrize("exit_kill", [False, True])
def test_a_guest_that_does_not_stop_dies_with_its_thread(faults: Path, exit_kill: bool) -> None:
    run(
        faults,
        f"""
guest = stage.guest(guests.count_loop, platform=stage.platform_with(exit_kill={exit_kill}))
context = guest.context
def elsewhere():
    interrupted(guest)
    setting("frozen_tid", context._holder.tid)
    context._halted = (guest.space, context._holder, guest.state)
    context._space = None
    context._admission.result = lib.tracee_switch(context._admission)
    assert context._admission.result == lib.SWITCH_ERROR + errno.EINTR
    setting("frozen_tid", 0)
stage.thread(elsewhere).result()
stage.wait_until(lambda: guest.space.stub_process.cause is not None, 10)
assert isinstance(outcome(guest.switch), Died)
stage.guest(guests.getpid_loop).syscalls(3)
""",
    )


# ------------------------------------------------------------------------------------------------------- placement


def test_a_lost_tracees_id_is_not_bound_to_a_cpu() -> None:
    """A reaped thread's id may be another process's."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    tracee = lib.tracee_new(pid, pid)
    tracee.placement = lib.PLACEMENT_FOLLOW
    before = os.sched_getaffinity(pid)
    try:
        lib.tracee_lose(tracee)
        lib.tracee_place(tracee)
        assert os.sched_getaffinity(pid) == before
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        lib.tracee_drop(tracee)
