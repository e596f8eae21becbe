"""Builds `worldswitch.harness.limits._limits` from loops.h and loops.c; run from the checkout's root."""

from pathlib import Path

from cffi import FFI

HERE = Path("harness/limits")

ffibuilder = FFI()
ffibuilder.cdef((HERE / "loops.h").read_text())
ffibuilder.set_source(
    "worldswitch.harness.limits._limits",
    '#include "loops.h"\n',
    sources=[str(HERE / "loops.c")],
    depends=[str(HERE / "loops.h")],
    include_dirs=[str(HERE)],
    extra_compile_args=["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror"],
)
