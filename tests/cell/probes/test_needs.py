"""The implied needs of a scenario, and its result without one."""

from __future__ import annotations

import pytest

from worldswitch.harness.cell.probes import needs, table
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.verdict import Verdict


@pytest.mark.parametrize(
    ("named", "required"),
    [
        ((), ("ptrace", "platform_calls", "ptrace_requests", "stub_calls")),
        (("root",), ("ptrace", "platform_calls", "ptrace_requests", "stub_calls", "root")),
        (("root", "ptrace"), ("ptrace", "platform_calls", "ptrace_requests", "stub_calls", "root")),
        (("ptrace_denied",), ("platform_calls", "ptrace_denied")),
        (("stub_calls_denied",), ("ptrace", "platform_calls", "ptrace_requests", "stub_calls_denied")),
    ],
)
def test_implied_needs_are_required_unless_the_claim_is_their_denial(
    named: tuple[str, ...], required: tuple[str, ...]
) -> None:
    assert needs.required(named) == required


def test_the_worst_unmet_need_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    states = dict.fromkeys(needs.IMPLIED, "yes") | {"stub_calls": "denied", "root": "no"}
    monkeypatch.setattr(table, "probe", lambda name: ProbeResult(states[name], "so it is"))  # type: ignore[arg-type]
    result = needs.unmet(("root",))
    assert result
    assert (result.verdict, result.reason) == (Verdict.BLOCKED, "needs stub_calls: so it is")
    states["stub_calls"] = "yes"
    result = needs.unmet(("root",))
    assert result
    assert result.verdict is Verdict.UNSUPPORTED
    assert needs.unmet(()) is None


def test_an_unknown_probe_is_an_error() -> None:
    result = needs.unmet(("telepathy",))
    assert result
    assert result.verdict is Verdict.ERROR
    assert result.reason.startswith("needs telepathy, but the probes are ptrace")
