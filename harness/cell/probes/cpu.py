"""Probes of processor features and the kernel's support for them."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

from worldswitch.harness.cell.probes import Absent, Look
from worldswitch.harness.linux import ptrace, syscalls


def _xsave() -> str:
    with ptrace.stopped_child() as pid:
        return f"{ptrace.xstate_size(pid)} bytes of extended state"


def _cpu_flag(flag: str) -> str:
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
    if flag not in flags.split():
        raise Absent(f"/proc/cpuinfo lists no {flag}")
    return f"/proc/cpuinfo lists {flag}"


#: XFEATURE_XTILE_DATA, asm/fpu/types.h: the state component of AMX's tiles.
_TILE_DATA = 18

#: The modes of ``vsyscall=``, by the access that /proc/self/maps shows.
_VSYSCALL_MODES = {"--xp": "xonly", "r-xp": "emulate"}


def _vsyscall() -> str:
    lines = Path("/proc/self/maps").read_text().splitlines()
    access = next((line.split()[1] for line in lines if line.endswith("[vsyscall]")), None)
    if access is None:
        raise Absent("/proc/self/maps shows no vsyscall page")
    return _VSYSCALL_MODES.get(access, access)


def _int80() -> str:
    if platform.machine() != "x86_64":
        raise Absent(f"{platform.machine()} has no int 0x80")
    pid = ptrace.getpid_by_int80()
    if pid != os.getpid():
        raise Absent(f"getpid by int 0x80 returned {pid}")
    return "int 0x80 makes i386 system calls"


def _fsgsbase() -> str:
    ptrace.run_code(bytes.fromhex("f3480faec0 c3"))  # rdfsbase %rax; ret
    return "rdfsbase runs"


def _cpuid_faulting() -> str:
    syscalls.syscall(syscalls.ARCH_PRCTL, syscalls.ARCH_SET_CPUID, 0)
    return "ARCH_SET_CPUID makes CPUID fault"


def _shstk() -> str:
    with ptrace.stopped_child() as pid:
        ptrace.regset(pid, syscalls.NT_X86_SHSTK)
    return "a child of this program has a shadow stack"


def _amx() -> str:
    listed = _cpu_flag("amx_tile")
    with ptrace.stopped_child() as pid:
        components = ptrace.xstate_components(pid)
    if not components >> _TILE_DATA & 1:
        raise Absent(f"{listed}, but the extended state's components are {components:#x}")
    return f"{listed}, and the extended state has tiles"


def _smp() -> str:
    cpus = len(os.sched_getaffinity(0))
    if cpus < 2:
        raise Absent("one CPU")
    return f"{cpus} CPUs"


#: The probes of this file, by their names in a scenario's ``needs``.
PROBES: dict[str, Look] = {
    "xsave": _xsave,
    "avx": functools.partial(_cpu_flag, "avx"),
    "avx512": functools.partial(_cpu_flag, "avx512f"),
    "pku": functools.partial(_cpu_flag, "ospke"),
    "amx": _amx,
    "shstk": _shstk,
    "fsgsbase": _fsgsbase,
    "cpuid_faulting": _cpuid_faulting,
    "vsyscall": _vsyscall,
    "int80": _int80,
    "smp": _smp,
}
