"""Register names per architecture, in the kernel's order.  `registers` is this machine's table."""

import platform as _platform

if _platform.machine() == "x86_64":
    from worldswitch.harness.arch import x86_64 as registers
else:  # pragma: no cover - the second table is all another architecture needs here
    raise ImportError(f"no register table for {_platform.machine()}: worldswitch knows x86_64")

__all__ = ["registers"]
