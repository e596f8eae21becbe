"""Which probes a scenario needs without naming them, and what it says where it lacks one."""

from __future__ import annotations

import pytest

from worldswitch.harness.cell.probes import needs, table
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.verdict import Verdict


@pytest.mark.parametrize(
    ("named", "required"),
    [
        ((), ("ptrace", "stub_calls")),
        (("root",), ("ptrace", "stub_calls", "root")),
        (("root", "ptrace"), ("ptrace", "stub_calls", "root")),
        (("ptrace_denied",), ("ptrace_denied",)),
        (("stub_calls_denied",), ("ptrace", "stub_calls_denied")),
    ],
)
def test_what_every_scenario_needs_is_required_unless_its_claim_is_the_denial(
    named: tuple[str, ...], required: tuple[str, ...]
) -> None:
    assert needs.required(named) == required


def test_the_worst_lack_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"ptrace": "yes", "stub_calls": "denied", "root": "no"}
    monkeypatch.setattr(table, "probe", lambda name: ProbeResult(states[name], "so it is"))  # type: ignore[arg-type]
    lack = needs.unmet(("root",))
    assert lack
    assert (lack.verdict, lack.reason) == (Verdict.BLOCKED, "needs stub_calls: so it is")
    states["stub_calls"] = "yes"
    lack = needs.unmet(("root",))
    assert lack
    assert lack.verdict is Verdict.UNSUPPORTED
    assert needs.unmet(()) is None


def test_a_probe_that_is_none_is_an_error() -> None:
    lack = needs.unmet(("telepathy",))
    assert lack
    assert lack.verdict is Verdict.ERROR
    assert lack.reason.startswith("needs telepathy, and the probes are ptrace")
