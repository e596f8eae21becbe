"""`worldswitch completion`: print the code by which a shell completes commands, options and names."""

from __future__ import annotations

import argparse
import os

from worldswitch.harness.errors import CouldNotRun

ABOUT = "print the code that makes a shell complete commands, options and names"
STATUSES = {0: "printed", 2: "invalid arguments, or the Python package argcomplete is not installed"}
EXAMPLES = """
eval "$(worldswitch completion bash)"       # in ~/.bashrc, or ~/.zshrc with zsh
worldswitch completion fish > ~/.config/fish/completions/worldswitch.fish
"""

ASKED = "_ARGCOMPLETE"  #: in the environment, if a shell wants completions
PROGRAM = "worldswitch"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the argument: the shell."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")


def main(arguments: argparse.Namespace) -> int:
    """Print the code."""
    try:
        from argcomplete.shell_integration import shellcode
    except ModuleNotFoundError as problem:
        raise CouldNotRun(f"completion needs the Python package {problem.name}, which is not installed") from problem
    print(shellcode([PROGRAM], shell=arguments.shell))
    return 0


def answer(parser: argparse.ArgumentParser) -> None:
    """If a shell asks for completions, write them and exit."""
    if ASKED in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser, always_complete_options="long")
