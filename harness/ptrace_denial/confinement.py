"""The evidence about what restricts ptrace in a process; what is not visible is None or empty, never "absent"."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
MODULES = Path("/sys/kernel/security/lsm")
SELINUX = Path("/sys/fs/selinux")

CAP_SYS_PTRACE = 19  # include/uapi/linux/capability.h
CAPABILITY_VERSION_3 = 0x2008_0522
PR_GET_DUMPABLE, PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS = 3, 21, 39  # include/uapi/linux/prctl.h
FIRST_USER_NAMESPACE = 0xEFFF_FFFD  # PROC_USER_INIT_INO, include/linux/proc_ns.h

_libc = ctypes.CDLL(None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Confinement:
    """The restrictions on a process, and what ptrace answered in it."""

    user: int = 0  #: the effective user id
    capabilities: str = ""  #: the effective set, in hexadecimal
    permitted: str = ""  #: the permitted set, which children have too
    own_user_namespace: bool = False  #: the capabilities are valid only there
    dumpable: int = 1  #: prctl(PR_GET_DUMPABLE): tracing requires CAP_SYS_PTRACE unless it is 1
    tracer: int = 0  #: the pid that traces this process; 0 if none
    tracer_name: str = ""
    child_tracer: int | None = None  #: the pid that traces a new child; None if that was not looked at
    no_new_privileges: bool = False
    seccomp: int | None = 0  #: 2: filters are in force; None if that is not visible
    #: Results of ptrace requests for a pid that cannot exist; ``ESRCH`` if they reach the kernel.
    answers: Mapping[str, str] = field(default_factory=dict)
    #: Results of failed ptrace requests on an own child.
    errors: Mapping[str, str] = field(default_factory=dict)
    yama: int | None = None  #: ptrace_scope, None without Yama or if it is not visible
    yama_visible: bool = True  #: False where /proc/sys is not visible
    modules: str = ""  #: the active security modules; empty if unknown
    label: str = ""  #: the label that they give this process
    enforcing: bool | None = None  #: SELinux enforces its policy; None if that is not visible
    deny_ptrace: bool | None = None  #: SELinux's boolean of this name; None if it is not visible
    traces_new_child: bool | None = None  #: this thread may trace a child that it forks; None if that was not tried
    landlock: int | None = None  #: the nested Landlock domains that this thread is in; None if unknown

    def may(self, capability: int) -> bool:
        """True if it has the capability of this number (include/uapi/linux/capability.h)."""
        return bool(int(self.capabilities or "0", 16) >> capability & 1)


def current() -> Confinement:
    """Return the confinement of the calling thread, without what only a child can find, and without `answers`."""
    status = dict(line.partition(":")[::2] for line in _text(*_proc("status")).splitlines())
    values = {key: value.strip() for key, value in status.items()}
    tracer = int(values.get("TracerPid", 0))
    effective, permitted = _capabilities()
    scope = _text(YAMA).strip()
    return Confinement(
        user=os.geteuid(),
        capabilities=effective,
        permitted=permitted,
        own_user_namespace=_is_own_user_namespace(),
        dumpable=_libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
        tracer=tracer,
        tracer_name=_text(Path(f"/proc/{tracer}/comm")).strip() if tracer else "",
        no_new_privileges=_libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1,
        seccomp=int(values["Seccomp"]) if "Seccomp" in values else _seccomp_mode(),
        yama=int(scope) if scope.isdecimal() else None,
        yama_visible=YAMA.parents[1].is_dir(),
        modules=_text(MODULES).strip(),
        label=_text(*_proc("attr/current")).strip("\0\n "),
        enforcing=_flag(SELINUX / "enforce"),
        deny_ptrace=_flag(SELINUX / "booleans/deny_ptrace"),
    )


def tracer_of(pid: int) -> int | None:
    """Return the pid that traces a process, 0 if none, None if that is not visible."""
    for line in _text(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("TracerPid:"):
            return int(line.split()[1])
    return None


def _proc(name: str) -> tuple[Path, Path]:
    """The files of the calling thread, and of its process for kernels without the first."""
    return Path("/proc/thread-self", name), Path("/proc/self", name)


def _seccomp_mode() -> int | None:
    """The mode by prctl(2), where /proc does not show it; a kernel without seccomp and an emulated one refuse."""
    mode: int = _libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0)
    return mode if mode >= 0 else None


def _capabilities() -> tuple[str, str]:
    """The effective and the permitted set by capget(2), which needs no /proc; empty if the kernel refuses."""
    sets = ctypes.create_string_buffer(24)
    if _libc.capget(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), sets) != 0:
        return "", ""
    effective, permitted, _, effective_high, permitted_high, _ = struct.unpack("=6I", sets)
    return f"{effective_high << 32 | effective:016x}", f"{permitted_high << 32 | permitted:016x}"


def _is_own_user_namespace() -> bool:
    try:
        return Path("/proc/self/ns/user").stat().st_ino != FIRST_USER_NAMESPACE
    except OSError:
        return False


def _flag(path: Path) -> bool | None:
    """The current value of a file of SELinux; None if it is not visible."""
    text = _text(path).strip()
    return text[0] == "1" if text else None


def _text(*paths: Path) -> str:
    """The text of the first readable file."""
    for path in paths:
        try:
            return path.read_text(errors="replace")
        except OSError:
            continue
    return ""
