"""Builds the guests: assembly that scenarios map into address spaces, and the system call numbers they speak of.

Read by setup.py from the top of the checkout, so paths are relative to it.
"""

from pathlib import Path

from cffi import FFI

HERE = Path("scenarios/guests")

#: The kernel's names that scenarios need; the compiler gives their values.
NUMBERS = (
    *("read", "write", "close", "poll", "pselect6", "mmap", "munmap"),
    *("rt_sigreturn", "pause", "nanosleep", "futex", "wait4", "getpid", "getppid"),
    *("clone", "fork", "vfork", "execve", "exit", "exit_group", "kill", "tkill", "tgkill"),
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
