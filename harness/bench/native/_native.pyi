"""native.h, through cffi."""

from typing import Any

ffi: Any
lib: Any
