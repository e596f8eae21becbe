"""`worldswitch doctor`: say whether a ptrace sandbox can run here, where else, and at what cost."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options

ABOUT = "say whether a ptrace sandbox can run here, where else, at what cost, and what enables the rest"

STATUSES = {
    0: "a ptrace sandbox can run here: the reference platform did",
    2: "it cannot: the first lines give the reason and what to do; or invalid arguments",
}
EXAMPLES = """
worldswitch doctor
worldswitch doctor --json
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option for JSON."""
    parser.epilog = "\n".join(("exit status:", *(f"  {status}  {text}" for status, text in STATUSES.items())))
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
