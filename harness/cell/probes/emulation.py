"""Whether the kernel is Linux itself or a program that answers system calls in its place, and what that one lacks.

gVisor, qemu-user and WSL 1 claim a Linux release and lack calls that each kernel of that release has.  Such an answer
is evidence only where no seccomp filter could have given it.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.cell.probes import Absent, trying
from worldswitch.harness.linux import processes, ptrace, release, syscalls

#: The answers of a kernel that does not know a call, an option or a ptrace request.
UNKNOWN = {errno.ENOSYS: "ENOSYS", errno.EINVAL: "EINVAL", errno.EIO: "EIO"}

NO_SUCH_PID = 0x7FFF_FFFF  #: above PID_MAX_LIMIT (include/linux/threads.h)


@dataclass(frozen=True, slots=True)
class Emulation:
    """An emulated kernel, as the probes saw it."""

    name: str  #: empty if it does not tell
    evidence: tuple[str, ...]  #: what no kernel of the release that it claims does
    lacking: Mapping[str, str]  #: the ptrace requests that it does not know, and its answers
    lost: tuple[str, ...]  #: what this program loses with calls that it can do without

    def __str__(self) -> str:
        called = f" ({self.name})" if self.name else ""
        return f"an emulated kernel{called}, not Linux {os.uname().release}: {'; '.join(self.evidence)}"


def look() -> Emulation | None:
    """Return what is known about an emulated kernel; None if nothing shows that there is one."""
    named = list(_names())
    evidence = (*(said for _, said in named), *_impossible())
    if not evidence:
        return None
    return Emulation(next((name for name, _ in named), ""), evidence, lacking(), tuple(_lost()))


# ----------------------------------------------------------------------------------------------------------- its name


def _names() -> Iterator[tuple[str, str]]:
    """Yield the names that the kernel gives itself, with where it does."""
    version = _text("/proc/version").strip()
    if first := next((line for line in _log().splitlines() if "Starting gVisor" in line), ""):
        yield "gVisor", f"its log has {first.partition('] ')[2] or first!r}"
    elif version == _GVISOR_VERSION:
        yield "gVisor", f"/proc/version is {version!r}"
    if os.uname().release.endswith("-Microsoft"):  # WSL 2, which is Linux, has "-microsoft-standard"
        yield "WSL 1", f"its release is {os.uname().release}"
    if "User Mode Linux" in _text("/proc/cpuinfo"):
        yield "User Mode Linux", "/proc/cpuinfo has User Mode Linux"
    if (real := _emulator()) and processes.is_untraced():  # a tracer such as proot makes them differ too
        name = Path(real).name.replace("qemu-", "qemu-user ").removesuffix("-static")
        yield name, f"/proc/self/exe is {os.readlink('/proc/self/exe')}, /proc/thread-self/exe {real}"  # noqa: PTH115


#: pkg/sentry/fsimpl/proc, and pkg/sentry/syscalls/linux/linux64.go: without a compiler, unlike any build of Linux.
_GVISOR_VERSION = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016"


def _emulator() -> str:
    """The program that this thread runs, if /proc/self/exe hides it; qemu-user answers only the latter itself."""
    try:
        real, told = (os.readlink(f"/proc/{which}/exe") for which in ("thread-self", "self"))  # noqa: PTH115
    except OSError:
        return ""
    return real if real != told else ""


def _log() -> str:
    """The first bytes of the kernel's log; empty if this process may not read it."""
    buffer = ctypes.create_string_buffer(1 << 20)
    number = {"x86_64": 103, "aarch64": 116}.get(platform.machine())
    try:  # SYSLOG_ACTION_READ_ALL, include/linux/syslog.h
        length = syscalls.syscall(number, 3, ctypes.addressof(buffer), len(buffer)) if number else 0
    except OSError:
        return ""
    return buffer.raw[: min(length, 4096)].decode(errors="replace")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


# ------------------------------------------------------------------------------------------------ impossible answers


@dataclass(frozen=True, slots=True)
class _Promise:
    """A call that each kernel since a release knows, whatever its configuration."""

    call: str
    since: tuple[int, ...]
    make: Callable[[], object]
    answers: tuple[int, ...] = (errno.ENOSYS,)  #: which none of them gives


def _prctl(option: int) -> Callable[[], object]:
    buffer = ctypes.create_string_buffer(8)
    return lambda: syscalls.prctl(option, ctypes.addressof(buffer))


def _call(number: int, *arguments: int) -> Callable[[], object]:
    return lambda: syscalls.syscall(number, *arguments)


# The numbers since Linux 5.1 are the same everywhere; each call is invalid, and has no effect.
_PROMISES = (
    _Promise("prctl(PR_GET_CHILD_SUBREAPER)", (3, 4), _prctl(syscalls.PR_GET_CHILD_SUBREAPER), (errno.EINVAL,)),
    _Promise("prctl(PR_GET_TIMERSLACK)", (2, 6), _prctl(30), (errno.EINVAL,)),
    _Promise(
        "PTRACE_SEIZE of a process that cannot exist",
        (3, 4),
        lambda: syscalls.ptrace(syscalls.PTRACE_SEIZE, NO_SUCH_PID),
        tuple(UNKNOWN),
    ),
    _Promise("pidfd_open", (5, 3), _call(434, -1, 0)),
    _Promise("openat2", (5, 6), _call(437, -1, 0, 0, 0)),
    _Promise("pidfd_getfd", (5, 6), _call(438, -1, -1, 0)),
    _Promise("close_range", (5, 9), _call(436, 1, 0, 0)),
    _Promise("mount_setattr", (5, 12), _call(442, -1, 0, 0, 0, 0)),
)


def _impossible() -> Iterator[str]:
    """Yield the answers that neither the release that this kernel claims nor a filter gives."""
    if _filtered():
        return
    claimed = release.numbers(os.uname().release)
    for promise in _PROMISES:
        answer = _errno(promise.make)
        if claimed >= promise.since and answer in promise.answers:
            since = ".".join(map(str, promise.since))
            yield f"{promise.call} answers {errno.errorcode[answer]}, and each Linux since {since} knows it"


def _filtered() -> bool:
    """True if a seccomp filter may answer calls: /proc/self/status says so, or cannot be read."""
    return "\nSeccomp:\t0\n" not in _text("/proc/self/status")


def _errno(make: Callable[[], object]) -> int:
    try:
        make()
    except OSError as error:
        return error.errno or 0
    return 0


# --------------------------------------------------------------------------------------------------- ptrace requests


def lacking() -> dict[str, str]:
    """Return the ptrace requests of platforms that this kernel does not know, with its answers.

    Each is made of a stopped child, or of a process that cannot exist if there is no stopped child.
    """
    of_child = trying.probe(functools.partial(_request, "PTRACE_SEIZE", of_child=True)).state == "yes"
    answers = {name: trying.probe(functools.partial(_request, name, of_child=of_child)) for name in _REQUESTS}
    return {name: found.detail for name, found in answers.items() if found.state == "no"}


def _request(name: str, *, of_child: bool) -> str:
    """Make one request; raises `Absent` with the answer if the kernel does not know it."""
    buffer = ctypes.create_string_buffer(1 << 14)
    data = ctypes.addressof(buffer)
    vector = syscalls.Iovec(data, len(buffer))

    def make(pid: int) -> str:
        number, address, argument = _REQUESTS[name]
        given = {_BUFFER: data, _VECTOR: ctypes.addressof(vector)}.get(argument, argument)
        if number in _WRITES:  # what was read is written back
            syscalls.ptrace(_WRITES[number], pid, address, given)
        syscalls.ptrace(number, pid, address, given)
        return name

    try:
        if not of_child:
            return make(NO_SUCH_PID)
        with ptrace.stopped_child() as pid:
            return name if name in ("PTRACE_SEIZE", "PTRACE_INTERRUPT") else make(pid)
    except OSError as error:
        if error.errno in UNKNOWN:
            raise Absent(UNKNOWN[error.errno]) from error
        return f"{name}: {error}"  # known, and refused or of no process


_BUFFER, _VECTOR = -1, -2

#: Number, address and data of each request that a platform may make (include/uapi/linux/ptrace.h).
_REQUESTS: Mapping[str, tuple[int, int, int]] = {
    "PTRACE_SEIZE": (syscalls.PTRACE_SEIZE, 0, 0),
    "PTRACE_INTERRUPT": (syscalls.PTRACE_INTERRUPT, 0, 0),
    "PTRACE_CONT": (7, 0, 0),
    "PTRACE_SINGLESTEP": (9, 0, 0),
    "PTRACE_SYSCALL": (24, 0, 0),
    "PTRACE_DETACH": (17, 0, 0),
    "PTRACE_SETOPTIONS": (0x4200, 0, 0),
    "PTRACE_GETSIGINFO": (0x4202, 0, _BUFFER),
    "PTRACE_GETREGSET": (syscalls.PTRACE_GETREGSET, 1, _VECTOR),  # NT_PRSTATUS
    "PTRACE_SETREGSET": (0x4205, 1, _VECTOR),
    "PTRACE_GETSIGMASK": (0x420A, 8, _BUFFER),
    "PTRACE_SETSIGMASK": (0x420B, 8, _BUFFER),
    "PTRACE_GET_SYSCALL_INFO": (syscalls.PTRACE_GET_SYSCALL_INFO, 128, _BUFFER),
    "PTRACE_GET_RSEQ_CONFIGURATION": (syscalls.PTRACE_GET_RSEQ_CONFIGURATION, 24, _BUFFER),
    "PTRACE_SYSEMU": (syscalls.PTRACE_SYSEMU, 0, 0),
    "PTRACE_SYSEMU_SINGLESTEP": (syscalls.PTRACE_SYSEMU_SINGLESTEP, 0, 0),
} | (
    {
        "PTRACE_GETREGS": (syscalls.PTRACE_GETREGS, 0, _BUFFER),
        "PTRACE_SETREGS": (13, 0, _BUFFER),
        "PTRACE_GETREGSET of the extended state": (syscalls.PTRACE_GETREGSET, syscalls.NT_X86_XSTATE, _VECTOR),
        "PTRACE_SETREGSET of the extended state": (0x4205, syscalls.NT_X86_XSTATE, _VECTOR),
    }
    if platform.machine() == "x86_64"
    else {}
)

#: The request that reads what each of these writes.
_WRITES = {13: syscalls.PTRACE_GETREGS, 0x4205: syscalls.PTRACE_GETREGSET, 0x420B: 0x420A}


# ------------------------------------------------------------------------------------------------ what is done without


def _lost() -> Iterator[str]:
    """Yield what this program loses here, with the bound that remains."""
    if problem := processes.proc_problem():
        yield problem
    for look_, lost in _OPTIONAL:
        if (found := trying.probe(look_)).state != "yes":
            yield f"{lost} ({found.detail})"


def _adopts_orphans() -> str:
    """Check that an orphan becomes a child of this process, whatever prctl answers."""
    if not syscalls.set_subreaper():
        raise Absent("PR_SET_CHILD_SUBREAPER is refused")
    read, write = os.pipe()

    def orphan_a_child() -> None:
        middle = os.getpid()
        if os.fork() == 0:
            processes.wait_until(lambda: os.getppid() != middle, 2.0)
            os.write(write, str(os.getppid()).encode())
            os._exit(0)

    processes.call_in_child(orphan_a_child)
    os.close(write)
    if (parent := os.read(read, 20)) != str(os.getpid()).encode():
        raise Absent(f"an orphan became a child of process {parent.decode()}")
    return "orphans become children of this process"


def _dies_with_parent() -> str:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    return "PR_SET_PDEATHSIG"


def _pidfd() -> str:
    os.close(os.pidfd_open(os.getpid()))
    return "pidfd_open"


_OPTIONAL: tuple[tuple[Callable[[], str], str], ...] = (
    (_adopts_orphans, "no child subreaper: a trial's orphans are found and killed only if they are in its sessions"),
    (_dies_with_parent, "no PR_SET_PDEATHSIG: trials outlive a killed runner, until their deadlines"),
    (_pidfd, "no pidfd: a process that ends while it is being killed could be mistaken for a later one with its pid"),
)
