"""Register tables per architecture; `registers` is this machine's."""

import platform as _platform

if _platform.machine() == "x86_64":
    from worldswitch.harness.arch import x86_64 as registers
else:  # pragma: no cover - another architecture needs its own table
    raise ImportError(f"no register table for {_platform.machine()}; worldswitch supports x86_64")

__all__ = ["registers"]
