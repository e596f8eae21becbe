"""`worldswitch doctor`: list what can run on this machine."""

from __future__ import annotations

import argparse

from worldswitch.harness.cli import options

ABOUT = "list what can run on this machine, what cannot and why, and the command that enables it"
STATUSES = {
    0: "scenarios can run on the host and in containers",
    2: "they cannot; the output says why, and what to do",
}
EXAMPLES = """
worldswitch doctor
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the option for JSON."""
    options.json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Probe the machine, and print the findings."""
    from worldswitch.harness.report import doctor

    return doctor.show(as_json=arguments.json)
