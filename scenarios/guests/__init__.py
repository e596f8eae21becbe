"""The guests that scenarios run, and the system call numbers that scenarios use.

A guest is position-independent machine code, written and described in ``x86_64/*.s``.  By convention ``rbx`` is the
address of a guest's data, ``rsp`` the end of its stack, ``rdi`` an address to access, ``r12`` a count.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from worldswitch.scenarios.guests._guests import ffi, lib


@dataclass(frozen=True, slots=True)
class Program:
    """The name and the code of one guest."""

    name: str
    code: bytes


def _programs() -> dict[str, Program]:
    table = [lib.guest_table[index] for index in range(lib.guest_count)]
    names = [ffi.string(entry.name).decode() for entry in table]
    codes = [bytes(ffi.buffer(entry.begin, entry.end - entry.begin)) for entry in table]
    return {name: Program(name, code) for name, code in zip(names, codes, strict=True)}


PROGRAMS = _programs()

# Guests that never return by themselves.
count_loop = PROGRAMS["count_loop"]
read_loop = PROGRAMS["read_loop"]
write_loop = PROGRAMS["write_loop"]
vector_spin = PROGRAMS["vector_spin"]
nop_page = PROGRAMS["nop_page"]

# System calls.
syscall_once = PROGRAMS["syscall_once"]
syscall_loop = PROGRAMS["syscall_loop"]
getpid_loop = PROGRAMS["getpid_loop"]
vector_loop = PROGRAMS["vector_loop"]
write_file_loop = PROGRAMS["write_file_loop"]
leap = PROGRAMS["leap"]
stray_call = PROGRAMS["stray_call"]
account_loop = PROGRAMS["account_loop"]
gate_loop = PROGRAMS["gate_loop"]
six_arguments = PROGRAMS["six_arguments"]
int80_getpid = PROGRAMS["int80_getpid"]
int80_once = PROGRAMS["int80_once"]

# Memory.
read_at = PROGRAMS["read_at"]
write_at = PROGRAMS["write_at"]
touch_pages = PROGRAMS["touch_pages"]
increment_at = PROGRAMS["increment_at"]
call_at = PROGRAMS["call_at"]
call_function = PROGRAMS["call_function"]
return_only = PROGRAMS["return_only"]
read_counter = PROGRAMS["read_counter"]

# The kernel's own actions.
call_and_trap = PROGRAMS["call_and_trap"]
trap_or_not = PROGRAMS["trap_or_not"]
nops = PROGRAMS["nops"]
stripes = PROGRAMS["stripes"]

# Traps and faults.
int3 = PROGRAMS["int3"]
divide_by_sse = PROGRAMS["divide_by_sse"]
divide_by_x87 = PROGRAMS["divide_by_x87"]
push_word = PROGRAMS["push_word"]
int1 = PROGRAMS["int1"]
ud2 = PROGRAMS["ud2"]
divide_by_zero = PROGRAMS["divide_by_zero"]
hlt = PROGRAMS["hlt"]
int_0x81 = PROGRAMS["int_0x81"]
read_noncanonical = PROGRAMS["read_noncanonical"]
step_itself = PROGRAMS["step_itself"]
trap_when_told = PROGRAMS["trap_when_told"]

# 32-bit mode, and the other entries to the kernel.
compat_int80 = PROGRAMS["compat_int80"]
compat_syscall = PROGRAMS["compat_syscall"]
compat_sysenter = PROGRAMS["compat_sysenter"]
compat_read = PROGRAMS["compat_read"]
door_syscall = PROGRAMS["door_syscall"]
door_int80 = PROGRAMS["door_int80"]
door_sysenter = PROGRAMS["door_sysenter"]
door_call = PROGRAMS["door_call"]

# Features that some processors lack.
cpuid_once = PROGRAMS["cpuid_once"]
read_bases = PROGRAMS["read_bases"]
load_selectors = PROGRAMS["load_selectors"]
pkru_fill = PROGRAMS["pkru_fill"]
pkru_store = PROGRAMS["pkru_store"]
clear_tile = PROGRAMS["clear_tile"]

# Registers.
twiddle_syscall = PROGRAMS["twiddle_syscall"]
twiddle_fault = PROGRAMS["twiddle_fault"]
read_flags = PROGRAMS["read_flags"]
load_flags = PROGRAMS["load_flags"]
xmm_fill = PROGRAMS["xmm_fill"]
xmm_store = PROGRAMS["xmm_store"]
ymm_fill = PROGRAMS["ymm_fill"]
ymm_store = PROGRAMS["ymm_store"]
zmm_fill = PROGRAMS["zmm_fill"]
zmm_store = PROGRAMS["zmm_store"]
mxcsr_fill = PROGRAMS["mxcsr_fill"]
mxcsr_store = PROGRAMS["mxcsr_store"]

#: getpid in the i386 table, called by `int80_getpid` (asm/unistd_32.h).
GETPID_I386 = 20


class Number(enum.IntEnum):
    """System calls by name."""

    READ = lib.SYS_read
    WRITE = lib.SYS_write
    CLOSE = lib.SYS_close
    POLL = lib.SYS_poll
    PSELECT6 = lib.SYS_pselect6
    MMAP = lib.SYS_mmap
    MUNMAP = lib.SYS_munmap
    RT_SIGRETURN = lib.SYS_rt_sigreturn
    PAUSE = lib.SYS_pause
    NANOSLEEP = lib.SYS_nanosleep
    FUTEX = lib.SYS_futex
    WAIT4 = lib.SYS_wait4
    GETPID = lib.SYS_getpid
    GETPPID = lib.SYS_getppid
    CLONE = lib.SYS_clone
    FORK = lib.SYS_fork
    VFORK = lib.SYS_vfork
    EXECVE = lib.SYS_execve
    EXIT = lib.SYS_exit
    EXIT_GROUP = lib.SYS_exit_group
    ARCH_PRCTL = lib.SYS_arch_prctl
    KILL = lib.SYS_kill
    TKILL = lib.SYS_tkill
    TGKILL = lib.SYS_tgkill
    PTRACE = lib.SYS_ptrace
    RESTART_SYSCALL = lib.SYS_restart_syscall
    TIME = lib.SYS_time
    GETTIMEOFDAY = lib.SYS_gettimeofday
    GETCPU = lib.SYS_getcpu
