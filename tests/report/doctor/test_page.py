"""The doctor's page: readable at 60 columns, coloured on a terminal only, without a word that says nothing."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.cell.records import Fingerprint
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.report.doctor import page, surroundings
from worldswitch.harness.report.doctor.findings import (
    Answer,
    Cost,
    Emulation,
    Findings,
    Lack,
    Place,
    Remedy,
    Spread,
)

COMMAND = "worldswitch run --engine oci --profile a-profile-with-quite-a-long-name"


@pytest.fixture(scope="module")
def here() -> Fingerprint:
    return fingerprint.take(None)


def findings(machine: Fingerprint, **more: object) -> Findings:
    values: dict[str, object] = {
        "answer": Answer(True, "the reference platform made 12,345 switches into a traced process"),
        "places": (
            Place("host", "yes", "the same", command="worldswitch run --engine host"),
            Place("oci", "yes", "runc ran a container", "", COMMAND, ("one", "two"), {"three": "it needs more"}),
        ),
        "cost": Cost(9, 9, *[Spread(0.0739e-6, 0.07e-6, 1234.4e-6)] * 4),
        "machine": machine,
        "surroundings": surroundings.describe(Confinement(), Path("/nothing/is/here")),
        "lacking": (
            Remedy("run it elsewhere: " + COMMAND, (Lack("yama", "no", "there is none", ("EV01", "EV02")),)),
            Remedy("", (Lack("a_probe_name", "denied", "Permission denied", ()),)),
        ),
    }
    return Findings(**(values | more))  # type: ignore[arg-type]


def printed(found: Findings, width: int, *, terminal: bool = False) -> str:
    out = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system="standard" if terminal else None,
        highlight=False, markup=False, emoji=False, soft_wrap=True,
    )  # fmt: skip
    page.show(found, out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_at_60_columns_no_line_is_cut_but_a_command_is_whole(here: Fingerprint) -> None:
    lines = printed(findings(here), 60).splitlines()
    assert [line for line in lines if len(line) > 60 and not line.strip().startswith("->")] == []
    assert f"    -> {COMMAND}" in lines
    assert "there is none (EV01, EV02)" in " ".join(lines)


def test_colour_is_for_terminals(here: Fingerprint) -> None:
    plain, coloured = printed(findings(here), 100), printed(findings(here), 100, terminal=True)
    assert "\x1b[" not in plain
    assert "\x1b[1;32mYes" in coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert "\n".join(line.rstrip() for line in bare.splitlines()) == plain.rstrip("\n")


def test_a_denied_probe_says_so_once(here: Fingerprint) -> None:
    text = printed(findings(here), 200)
    assert "denied: Permission denied (every scenario but those about its denial)" in text
    assert not re.search(r"no +no:|\d{16}", text)


def test_no_answer_has_its_remedy_right_below(here: Fingerprint) -> None:
    text = printed(findings(here, answer=Answer(False, "it is denied", "allow it")), 100)
    assert "  No: it is denied.\n    -> allow it\n" in text


def test_no_cost_has_a_reason(here: Fingerprint) -> None:
    assert "  Unknown: it took too long." in printed(findings(here, cost=None, cost_reason="it took too long"), 100)


def test_an_emulated_kernel_is_on_top(here: Fingerprint) -> None:
    text = printed(
        findings(here, emulation=Emulation("gVisor", ("its log says so",), {"PTRACE_SEIZE": "EIO"}, ("no pidfd",))), 100
    )
    top = text.partition("Where?")[0]
    assert "The kernel is emulated by gVisor: its log says so." in top
    assert "It does not know PTRACE_SEIZE (EIO).\n    no pidfd" in top


@pytest.mark.parametrize(
    ("seconds", "text"), [(10.74e-6, "10.7"), (0.0739e-6, "0.0739"), (1234.4e-6, "1.23e+03"), (100e-6, "100")]
)
def test_times_have_three_digits(seconds: float, text: str) -> None:
    assert page.in_us(Spread(seconds, seconds, seconds)) == f"{text} µs [{text} .. {text}]"
