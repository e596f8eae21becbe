"""Checks whether the platform can run here, and explains a refusal.

Nothing asks for the kernel's version: the first stub shows what works.  If the kernel refuses a request, the state of
this process (its tracer, capabilities, Yama, seccomp) shows why.
"""

from __future__ import annotations

import errno
import os
import platform as machine
import signal
import struct
from functools import cache
from pathlib import Path
from typing import Any

from worldswitch.harness import ptrace_denial
from worldswitch.harness.contract import Death, HostError, PlatformError, StubDied, Unavailable
from worldswitch.reference import x86_64
from worldswitch.reference._core import ffi, lib
from worldswitch.reference.birth_plan import StubPlan
from worldswitch.reference.refusals import RequestRefused, refused
from worldswitch.reference.stops import Stop, StopKind
from worldswitch.reference.stub_page import PAGE
from worldswitch.reference.stubprocess import StubProcess, Use
from worldswitch.reference.x86_64 import FCW, FCW_INITIAL, LEGACY_END, MXCSR, MXCSR_INITIAL, SOFTWARE, XSTATE_BV

PTRACE_GET_RSEQ_CONFIGURATION = 0x420F  # include/uapi/linux/ptrace.h, Linux 5.13
ENOSYS_RESULT = (1 << 64) - errno.ENOSYS

#: The default of vm.mmap_min_addr in most distributions.
USUAL_LOWEST = 65536

#: More than any processor's extended state has, in bytes.
XSTATE_ROOM = 65536


# ------------------------------------------------------------------------------------------------ before the first stub


def check_machine() -> None:
    """Check what needs no stub.  Raises `Unavailable`."""
    if machine.machine() != "x86_64":
        raise Unavailable(f"this machine is {machine.machine()}", "the reference platform supports x86_64 only")


@cache
def lowest_address() -> int:
    """The lowest address that may be mapped without privilege (vm.mmap_min_addr), at least a page."""
    try:
        lowest = int(Path("/proc/sys/vm/mmap_min_addr").read_text())
    except (OSError, ValueError):
        lowest = USUAL_LOWEST
    return max(lowest, PAGE)


def stillborn(plan: StubPlan, boot: Any, stop: Stop) -> PlatformError:
    """The error for a child that did not reach the stub."""
    step, result = boot.step, boot.result
    ended = f"by signal {stop.signo}" if stop.signo else f"with status {stop.status}"
    said = f"a new stub process ended {ended} {plan.describe(step, result)}"
    if stop.signo == signal.SIGSYS:
        return Unavailable(said, "a seccomp filter kills for that call: allow the system call in the profile")
    if step < len(plan.steps) and result < 0:
        return HostError(-result, said)
    return Unavailable(said)


def explain(error: PlatformError | RequestRefused) -> Unavailable:
    """The error for a platform whose first stub failed."""
    if isinstance(error, RequestRefused):
        return refused(error.request, error.errno or 0)
    if isinstance(error, StubDied) and error.cause.death is Death.SECCOMP:
        return Unavailable(
            f"a seccomp filter killed the first stub process for an injected system call: {error}", ALLOW_INJECTED
        )
    if isinstance(error, HostError) and error.errno == errno.EPERM:
        return _denied_call(error)
    return Unavailable(f"the first stub process failed: {error}")


def _denied_call(error: HostError) -> Unavailable:
    """The error for a system call of the first stub that is denied: the kernel seals mappings, or a filter answers."""
    sealed = "the kernel seals its own mappings (vdso, vvar) against unmapping"
    unseal = "use a kernel without CONFIG_MSEAL_SYSTEM_MAPPINGS, whose help text says that it breaks such sandboxes"
    filters = ptrace_denial.current().seccomp != 0
    if "munmap" not in error.operation:
        cause = ": perhaps seccomp: filters are in force" if filters else ""
        return Unavailable(f"the first stub process failed: {error}{cause}", ALLOW_INJECTED if filters else "")
    if filters:
        return Unavailable(
            f"{error}: perhaps seccomp: filters are in force; or {sealed}", f"{ALLOW_INJECTED}; {unseal}"
        )
    return Unavailable(f"{error}: {sealed}", unseal)


ALLOW_INJECTED = "use a profile that allows mmap, munmap and clone with any arguments"


# --------------------------------------------------------------------------------------------------- on the first stub


def check_stub(stub: StubProcess) -> bytes:
    """Try on a fresh stub what the platform depends on; returns the initial extended state.  Creator thread only.

    Raises `Unavailable`.
    """
    _check_rseq(stub.pid)
    image = _read_xstate(stub.pid)
    _check_sysemu(stub)
    return initial_xstate(image)


def _check_rseq(tid: int) -> None:
    """Check that the stub inherited no restartable-sequence area, if the kernel can tell (Linux 5.13)."""
    info = ffi.new("unsigned long[4]")
    if lib.tracee_request(PTRACE_GET_RSEQ_CONFIGURATION, tid, ffi.sizeof(info), info) > 0 and info[0] != 0:
        raise Unavailable(
            f"the stub inherited a restartable-sequence (rseq) area at {info[0]:#x}, and the kernel would kill it for "
            "the contents",
            "start Python with GLIBC_TUNABLES=glibc.pthread.rseq=0",
        )


def _check_sysemu(stub: StubProcess) -> None:
    """Check that a guest's system call stops before it is executed, and before any seccomp filter sees it."""
    tracee = stub.acquire(Use.GUEST, lambda: stub.spawn(Use.GUEST), stub.plan.trace_options, 0)
    registers = tracee.registers()
    x86_64.set_call(registers, tracee.handle.segments, stub.page.call, lib.SYS_getpid, ())
    tracee.request(lib.PTRACE_SETREGS, 0, registers)
    tracee.request(lib.PTRACE_SYSEMU)
    try:
        stop = tracee.wait()
    except StubDied as death:
        raise Unavailable(
            "ptrace: under PTRACE_SYSEMU a seccomp filter saw the system call first", "use Linux 4.8 or later"
        ) from death
    result = tracee.registers().rax
    if stop.kind is not StopKind.SYSCALL or result != ENOSYS_RESULT:
        raise Unavailable(f"ptrace: PTRACE_SYSEMU of getpid ended in {stop} with the result {result:#x}")
    tracee.park()


def _read_xstate(tid: int) -> bytes:
    """A thread's extended state in the kernel's size: CPUID also counts features that the kernel does not enable."""
    buffer = ffi.new("unsigned char[]", XSTATE_ROOM)
    vector = ffi.new("unsigned long[2]", [int(ffi.cast("unsigned long", buffer)), XSTATE_ROOM])
    rc = lib.tracee_request(lib.PTRACE_GETREGSET, tid, lib.NT_X86_XSTATE, vector)
    if rc == -errno.ENODEV:
        raise Unavailable(
            f"ptrace: PTRACE_GETREGSET of the extended state: {os.strerror(-rc)}", "the CPU and kernel must have XSAVE"
        )
    if rc < 0:
        raise RequestRefused(-rc, lib.PTRACE_GETREGSET)
    return bytes(ffi.buffer(buffer, vector[1]))


def initial_xstate(image: bytes) -> bytes:
    """The extended state of a fresh thread, in the layout of `image`: all components in their initial state."""
    initial = bytearray(len(image))
    struct.pack_into("=H", initial, FCW, FCW_INITIAL)
    struct.pack_into("=I", initial, MXCSR, MXCSR_INITIAL)
    initial[MXCSR + 4 : MXCSR + 8] = image[MXCSR + 4 : MXCSR + 8]  # the mask of MXCSR's bits
    initial[SOFTWARE:LEGACY_END] = image[SOFTWARE:LEGACY_END]  # the components of the image
    initial[XSTATE_BV + 8 : XSTATE_BV + 16] = image[XSTATE_BV + 8 : XSTATE_BV + 16]
    return bytes(initial)
