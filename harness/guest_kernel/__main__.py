"""Runs a static program on a platform: ``python -m worldswitch.harness.guest_kernel [--platform P] PROGRAM ARGUMENTS``.

The exit status is the program's, or 126 if the program could not be run: standard error has the reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.catalogue.platforms import load_platform
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.contract import Options, Placement, PlatformError
from worldswitch.harness.guest_kernel.elf import NotAProgram
from worldswitch.harness.guest_kernel.process import GuestProcess, ProgramLost, ProgramOutcome
from worldswitch.harness.linux import defects

CANNOT = 126


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worldswitch.harness.guest_kernel", description=__doc__)
    parser.add_argument("--platform", default=REFERENCE, help="default: %(default)s")
    parser.add_argument("--placement", type=Placement, default=Placement.FOLLOW, help="pin, follow or free")
    parser.add_argument("--resident", action="store_true", help="do not read vector registers back at each switch")
    parser.add_argument("program", type=Path)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    try:
        with closing(load_platform(options.platform)(Options(placement=options.placement))) as platform:
            guest = GuestProcess(platform, options.program, options.arguments, resident=options.resident)
            with closing(guest):
                return _reported(guest.run())
    except (NotAProgram, OSError, ProgramLost, PlatformError, NotFound) as problem:
        print(f"guest_kernel: {problem}", file=sys.stderr)
    except Exception as error:  # else its status 1 would be that of the program
        defects.report("guest_kernel: ", error)
    return CANNOT


def _reported(outcome: ProgramOutcome) -> int:
    if outcome.unserved:
        calls = ", ".join(f"{number} ({count} times)" for number, count in sorted(outcome.unserved.items()))
        print(f"guest_kernel: the program made unimplemented system calls: {calls}", file=sys.stderr)
    return outcome.status


if __name__ == "__main__":
    sys.exit(main())
