"""The cffi binding of native.h."""

from typing import Any

ffi: Any
lib: Any
