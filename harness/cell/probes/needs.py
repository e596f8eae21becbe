"""Which probes a scenario needs: those that it names, and those that every scenario needs without naming them."""

from __future__ import annotations

from collections.abc import Iterable

from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.verdict import SEVERITY, Verdict

#: What every scenario needs without saying so, tracers and stubs being what it is made with; unless its very claim is
#: about that being denied, as these needs say.
IMPLIED = {
    "ptrace": frozenset(("ptrace_denied", "ptrace_deniable")),
    "stub_calls": frozenset(("ptrace_denied", "ptrace_deniable", "stub_calls_denied")),
}


def required(named: Iterable[str]) -> tuple[str, ...]:
    """The probes that a scenario needs which names these, the implied ones first."""
    names = tuple(named)
    implied = (name for name, denials in IMPLIED.items() if denials.isdisjoint(names))
    return tuple(dict.fromkeys((*implied, *names)))


def unmet(named: Iterable[str]) -> Result | None:
    """Why a scenario that names these probes cannot run here; None if it can."""
    needed = required(named)
    unknown = [name for name in needed if name not in table.PROBES]
    if unknown:
        known = ", ".join(table.PROBES)
        return Result(verdict=Verdict.ERROR, reason=f"needs {', '.join(unknown)}, and the probes are {known}")
    verdicts = {"no": Verdict.UNSUPPORTED, "denied": Verdict.BLOCKED}
    found = {name: table.probe(name) for name in needed}
    missing = [
        Result(verdict=verdicts[one.state], reason=f"needs {name}: {one.detail}")
        for name, one in found.items()
        if one.state != "yes"
    ]
    return min(missing, key=lambda result: SEVERITY.index(result.verdict), default=None)
