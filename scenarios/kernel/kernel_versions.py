"""Features of newer kernels that affect a tracer or its stubs."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from worldswitch.scenarios import raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.raw_ptrace import lib
from worldswitch.scenarios.raw_ptrace.arena import PAGE

#: From include/uapi/linux/ptrace.h, elf.h, auxvec.h, asm/prctl.h and asm/unistd_64.h, newer than some headers.
GET_SYSCALL_USER_DISPATCH_CONFIG, SET_SYSCALL_INFO = 0x4211, 0x4212
NT_X86_SHSTK = 0x204
AT_RSEQ_FEATURE_SIZE = 27
ARCH_SET_CPUID = 0x1012
MSEAL = 462


def _request(tracee: raw_ptrace.Thread, number: int, length: int) -> str:
    buffer = bytearray(length)
    return raw_ptrace.answer(
        raw_ptrace.system_call(lib.SYS_ptrace, number, tracee.tid, length, raw_ptrace.address_of(buffer))
    )


@fact("KV1", clauses="kernel.versions", known={"there": "since 5.3", "EIO": "before 5.3"})
def get_syscall_info() -> str:
    """PTRACE_GET_SYSCALL_INFO exists since 5.3."""
    with raw_ptrace.tracee() as tracee:
        said = _request(tracee, lib.PTRACE_GET_SYSCALL_INFO, 128)
        return "there" if said.isdigit() else said


@fact("KV2", clauses="kernel.versions", known={"there": "since 6.16", "EIO": "before 6.16"})
def set_syscall_info() -> str:
    """PTRACE_SET_SYSCALL_INFO exists since 6.16, and refuses an empty structure."""
    with raw_ptrace.tracee() as tracee:
        tracee.enter(lib.SYS_getpid)
        said = _request(tracee, SET_SYSCALL_INFO, 88)
        return said if said == "EIO" else "there"


@fact("KV3", clauses="kernel.versions", known={"24": "since 5.13", "EIO": "before 5.13"})
def get_rseq_configuration() -> str:
    """PTRACE_GET_RSEQ_CONFIGURATION exists since 5.13, and returns 24 bytes."""
    with raw_ptrace.tracee() as tracee:
        return _request(tracee, lib.PTRACE_GET_RSEQ_CONFIGURATION, 24)


@fact("KV4", clauses="kernel.versions", known={"0": "since 6.4", "EIO": "before 6.4"})
def get_syscall_user_dispatch() -> str:
    """PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG exists since 6.4."""
    with raw_ptrace.tracee() as tracee:
        return _request(tracee, GET_SYSCALL_USER_DISPATCH_CONFIG, 32)


@fact(
    "KV5",
    clauses="kernel.versions",
    known={
        "ENODEV": "since 6.6, without the hardware or not in use",
        "0": "since 6.6",
        "EINVAL": "before, or built without",
    },
)
def a_shadow_stack_can_be_read() -> str:
    """The register set NT_X86_SHSTK exists since 6.6."""
    with raw_ptrace.tracee() as tracee:
        return tracee.regset(NT_X86_SHSTK, 8)[0]


@fact(
    "KV6",
    clauses="kernel.versions",
    known={
        "EPERM, and nothing is unmapped": "since 6.10",
        "no mseal: ENOSYS": "before 6.10",
        "no mseal: EPERM": "by a filter",
    },
)
def a_sealed_page_saves_its_neighbours() -> str:
    """``munmap`` of a range with a sealed page fails and unmaps nothing."""
    with raw_ptrace.tracee() as tracee:
        access = lib.PROT_READ
        begin = tracee.call(lib.SYS_mmap, 0, 3 * PAGE, access, lib.MAP_PRIVATE | lib.MAP_ANONYMOUS, -1)
        sealed = raw_ptrace.answer(tracee.call(MSEAL, begin + PAGE, PAGE, 0))
        if sealed != "0":
            return f"no mseal: {sealed}"
        said = raw_ptrace.answer(tracee.call(lib.SYS_munmap, begin, 3 * PAGE))
        kept = tracee.call(lib.SYS_mprotect, begin, PAGE, access) == 0
        return f"{said}, and {'nothing' if kept else 'something'} is unmapped"


@fact(
    "KV7",
    clauses="kernel.versions",
    known={"0": "without CONFIG_MSEAL_SYSTEM_MAPPINGS", "EPERM": "with it, since 6.15", "no vdso": "vdso=0"},
)
def the_vdso_can_be_unmapped() -> str:
    """``munmap`` of the vdso succeeds unless the kernel seals it."""
    with raw_ptrace.tracee() as tracee:
        for mapping in raw_ptrace.mappings_of(tracee.tid):
            if mapping.name == "[vdso]":
                return raw_ptrace.answer(tracee.call(lib.SYS_munmap, mapping.begin, mapping.end - mapping.begin))
        return "no vdso"


@fact("KV8", clauses="kernel.versions", known={"28": "since 6.3", "33": "since 7.0", "none": "before 6.3"})
def the_rseq_features_have_a_size() -> str:
    """AT_RSEQ_FEATURE_SIZE is in the auxiliary vector since 6.3."""
    words = Path("/proc/self/auxv").read_bytes()
    vector = dict(struct.iter_unpack("<QQ", words))
    return str(vector.get(AT_RSEQ_FEATURE_SIZE, "none"))


@fact(
    "KV9",
    clauses="kernel.versions",
    known={"0": "where the processor can fault it", "ENODEV": "elsewhere", "EINVAL": "before 4.12"},
)
def cpuid_can_be_made_to_fault() -> str:
    """``arch_prctl(ARCH_SET_CPUID)`` succeeds where the processor can make CPUID fault."""
    with raw_ptrace.tracee() as tracee:
        return raw_ptrace.answer(tracee.call(lib.SYS_arch_prctl, ARCH_SET_CPUID, 0))


@fact(
    "KV10",
    clauses="kernel.versions",
    known={"written": "proc_mem.force_override=always or ptrace", "EIO": "=never", "EACCES": "=never, another way"},
)
def a_tracer_may_write_to_code_by_proc() -> str:
    """A tracer can write to a read-only, executable page through /proc/PID/mem."""
    with raw_ptrace.tracee() as tracee:
        access = lib.PROT_READ | lib.PROT_EXEC
        page = tracee.call(lib.SYS_mmap, 0, PAGE, access, lib.MAP_PRIVATE | lib.MAP_ANONYMOUS, -1)
        memory = os.open(f"/proc/{tracee.tid}/mem", os.O_RDWR)
        try:
            written = os.pwrite(memory, b"\xcc", page)
        except OSError as refusal:
            return raw_ptrace.answer(-(refusal.errno or 0))
        finally:
            os.close(memory)
        return "written" if written else "not written"


@fact(
    "KV11",
    clauses="kernel.versions",
    known={"emulate": "vsyscall=emulate", "xonly": "vsyscall=xonly", "none": "vsyscall=none"},
)
def the_vsyscall_page_is_shown() -> str:
    """/proc/PID/maps shows the vsyscall page, if there is one, and whether it can be read."""
    maps = [line.split()[1] for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[vsyscall]")]
    return {"r-xp": "emulate", "--xp": "xonly"}.get(maps[0], maps[0]) if maps else "none"
