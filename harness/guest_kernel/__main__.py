"""Runs a static program on a platform: ``python -m worldswitch.harness.guest_kernel [--platform P] PROGRAM ARGUMENTS``.

The exit status is the program's; 126 says that it could not be run, and why stands on standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.catalogue.platforms import load_platform
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.contract import Options, Placement, PlatformError
from worldswitch.harness.guest_kernel.elf import NotAProgram
from worldswitch.harness.guest_kernel.process import GuestProcess, ProgramLost, ProgramOutcome

CANNOT = 126


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m worldswitch.harness.guest_kernel", description=__doc__)
    parser.add_argument("--platform", default=REFERENCE, help="default: %(default)s")
    parser.add_argument("--placement", type=Placement, default=Placement.FOLLOW, help="pin, follow or free")
    parser.add_argument("--resident", action="store_true", help="leave vector registers where they are")
    parser.add_argument("program", type=Path)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    try:
        platform = load_platform(asked.platform)(Options(placement=asked.placement))
        try:
            process = GuestProcess(platform, asked.program, asked.arguments, resident=asked.resident)
            try:
                return _told(process.run())
            finally:
                process.close()
        finally:
            platform.close()
    except (NotAProgram, OSError, ProgramLost, PlatformError, NotFound) as problem:
        print(f"personality: {problem}", file=sys.stderr)
        return CANNOT


def _told(outcome: ProgramOutcome) -> int:
    if outcome.calls:
        calls = ", ".join(f"{number} ({count} times)" for number, count in sorted(outcome.calls.items()))
        print(f"personality: it made system calls that are not served: {calls}", file=sys.stderr)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
