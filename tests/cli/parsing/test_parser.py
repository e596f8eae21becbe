"""Wrong words on a command line are named, with the nearest right one; each command's help has its exit statuses."""

from __future__ import annotations

import re

import pytest

from worldswitch.harness.cli import main
from worldswitch.harness.cli.main import _COMMANDS, _parser

HINTS = {
    "rnu": "invalid choice: 'rnu' (did you mean run?)",
    "Run": "did you mean run?",
    "run --enginee host": "worldswitch run: error: unknown option --enginee (did you mean --engine?)",
    "run --engine=host --profle=x": "unknown option --profle (did you mean --profile?)",
    "run --engine hots": "invalid choice: 'hots' (did you mean host?)",
    "run TT01": "worldswitch run: error: unexpected argument 'TT01'",
    "run -z": "worldswitch run: error: unknown option -z",
    "bisect KD3 --god 6.12": "unknown option --god (did you mean --good",
    "kernels fecth 6.12": "worldswitch kernels: error: argument WHAT: invalid choice: 'fecth' (did you mean fetch?)",
    "kernels fetch --jsn": "worldswitch kernels fetch: error: unknown option --jsn (did you mean --json?)",
    "list profilse": "did you mean profiles?",
    "report --format htm": "did you mean html?",
    "--verison": "unknown option --verison (did you mean --version?)",
}


@pytest.mark.parametrize(("line", "words"), HINTS.items(), ids=HINTS)
def test_a_wrong_word_is_named_with_the_nearest(line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main.main(line.split())
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


def helps() -> dict[str, str]:
    """The help of each command and subcommand, by its program name."""
    found, left = {}, [_parser()]
    while left:
        parser = left.pop()
        found[parser.prog] = parser.format_help()
        for action in parser._actions:
            left += (action.choices or {}).values() if action.nargs == "A..." else ()  # type: ignore[union-attr]
    return found


def test_each_help_ends_with_exit_statuses_that_include_0() -> None:
    without = [name for name, text in helps().items() if not re.search(r"\nexit status:\n  0  \w", text)]
    assert len(helps()) > 20
    assert without == []


def test_commands_differ_in_their_exit_statuses() -> None:
    assert len({str(command.STATUSES) for command in _COMMANDS}) > 10


def test_the_examples_of_each_help_parse() -> None:
    for text in helps().values():
        examples = text.partition("\nexamples:\n")[2].partition("\n\nexit status:")[0]
        for line in re.findall(r"^  worldswitch (.*)", examples.partition("\n\n")[0], re.MULTILINE):
            command = re.sub(r"\s+# .*|\s> .*", "", line)
            assert _parser().parse_args([word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)]).command


def test_the_version_has_the_commit_of_a_checkout(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"worldswitch \d+\.\d+\.\d+( \(commit [0-9a-f]{12}(-dirty)?\))?\n", capsys.readouterr().out)
