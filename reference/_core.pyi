"""The C core: core/core.h, and the kernel's constants listed in core/build.py."""

from typing import Any

# `lib` is the one place without types: its functions and constants are C's, described in core.h.
ffi: Any
lib: Any
