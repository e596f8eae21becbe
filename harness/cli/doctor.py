"""`worldswitch doctor`: say whether a ptrace sandbox can run here, where else, and at what cost."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options

ABOUT = "say whether a ptrace sandbox can run here, where else, at what cost, and what enables the rest"

STATUSES = """\
exit status:
  0  a ptrace sandbox can run here: the reference platform was tried
  2  it cannot; the first lines give the reason and what to do

Containers and other kernels do not change the status.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option for JSON."""
    parser.epilog = STATUSES
    options.json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Examine the machine, and print the findings."""
    import msgspec
    from rich.console import Console

    from worldswitch.harness.bench import quick_cost
    from worldswitch.harness.expectations.outcome import Status
    from worldswitch.harness.report.console import console
    from worldswitch.harness.report.doctor import examination, page, progress

    with progress.telling(Console(stderr=True)) as say:
        found = examination.examine(quick_cost.measure, say, facts=arguments.json)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        page.show(found, console())
    return Status.AS_EXPECTED if found.answer.can_run else Status.COULD_NOT_RUN
