"""Builds the guests, assembly that scenarios map into address spaces, and their system call numbers.

setup.py reads this file from the top of the checkout, so paths are relative to that.
"""

from pathlib import Path

from cffi import FFI

HERE = Path("scenarios/guests")

#: The system calls that scenarios name; the compiler supplies the values.
NUMBERS = (
    *("read", "write", "close", "poll", "pselect6", "mmap", "munmap"),
    *("rt_sigreturn", "pause", "nanosleep", "futex", "wait4", "getpid", "getppid"),
    *("clone", "fork", "vfork", "execve", "exit", "exit_group", "arch_prctl", "kill", "tkill", "tgkill"),
    *("ptrace", "restart_syscall", "time", "gettimeofday", "getcpu"),
)

ffibuilder = FFI()
ffibuilder.cdef("".join(f"#define SYS_{name} ...\n" for name in NUMBERS))
ffibuilder.cdef((HERE / "guests.h").read_text())
ffibuilder.set_source(
    "worldswitch.scenarios.guests._guests",
    '#include <stddef.h>\n#include <sys/syscall.h>\n#include "guests.h"\n',
    sources=[str(HERE / "guests.c")],
    include_dirs=[str(HERE)],
    depends=[str(path) for path in (HERE / "guests.h", HERE / "build.py", *sorted(HERE.rglob("*.s")))],
    extra_compile_args=["-std=gnu17", "-Wall", "-Wextra", "-Werror", f"-Wa,-I,{HERE}"],
)
