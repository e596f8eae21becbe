"""Builds `worldswitch.harness.bench.native._native`; must run in the checkout's root."""

from pathlib import Path

from cffi import FFI

HERE = Path("harness/bench/native")

SOURCES = ("ptrace_loops.c", "other_loops.c", "guests_x86_64.c")

ffibuilder = FFI()
ffibuilder.cdef((HERE / "native.h").read_text())
ffibuilder.set_source(
    "worldswitch.harness.bench.native._native",
    '#include "native.h"\n',
    sources=[str(HERE / name) for name in SOURCES],
    depends=[str(HERE / name) for name in ("native.h", "clock.h", "build.py")],
    include_dirs=[str(HERE)],
    extra_compile_args=["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror"],
)
