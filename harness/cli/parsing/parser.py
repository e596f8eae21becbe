"""The parser of a command: it names the wrong word, suggests the right one, and ends the help with exit statuses."""

from __future__ import annotations

import argparse
import itertools
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from worldswitch.harness.nearest import hint

WIDTH = 76  #: columns of an exit status's meaning


class Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest name for an unknown command, option or choice."""

    def __init__(self, *, examples: str = "", statuses: Mapping[int, str] | None = None, **settings: Any) -> None:
        """Create a parser; `examples` and `statuses`, by number, end its help."""
        parts = [f"examples:\n{textwrap.indent(textwrap.dedent(examples).strip(), '  ')}"] if examples else []
        parts += [f"exit status:\n{_listed(statuses)}"] if statuses else []
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(epilog="\n\n".join(parts), **settings)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse `args`; unlike argparse's, a subcommand's parser reports its own unknown words."""
        words = sys.argv[1:] if args is None else args
        if self._subparsers:  # what follows the subcommand is for its parser
            words = list(itertools.takewhile(lambda word: word.startswith("-"), words))
        self._check_options(words)
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self._refuse(rest[0])
        return found, rest

    def _check_options(self, words: Iterable[str]) -> None:
        """Report an unknown option before argparse reports what it therefore misses."""
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            is_option = word.startswith("--") and " " not in word
            if is_option and not any(known.startswith(name) for known in self._option_string_actions):
                self._refuse(name)

    def _refuse(self, word: str) -> NoReturn:
        if word.startswith("-") and word != "-":
            known = [option for option in self._option_string_actions if option.startswith("--")]
            self.error(f"unknown option {word}{hint(word.partition('=')[0], known)}")
        self.error(f"unexpected argument {word!r}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(one) for one in action.choices]
            message = f"invalid choice: {value!r}{hint(str(value), choices)} (choose from {', '.join(choices)})"
            raise argparse.ArgumentError(action, message)


def _listed(statuses: Mapping[int, str]) -> str:
    return "\n".join(
        textwrap.fill(text, WIDTH, initial_indent=f"  {status}  ", subsequent_indent="     ")
        for status, text in statuses.items()
    )
