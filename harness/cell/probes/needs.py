"""The probes that a scenario needs: those that it names, and the implied ones."""

from __future__ import annotations

from collections.abc import Iterable

from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.verdict import SEVERITY, Verdict

#: The probes that every scenario needs, since it makes stubs, unless it has one of these needs, about their denial.
IMPLIED: dict[str, frozenset[str]] = {
    "ptrace": frozenset(("ptrace_denied", "ptrace_deniable")),
    "platform_calls": frozenset(),
    "ptrace_requests": frozenset(("ptrace_denied", "ptrace_deniable")),
    "stub_calls": frozenset(("ptrace_denied", "ptrace_deniable", "stub_calls_denied")),
}


def required(named: Iterable[str]) -> tuple[str, ...]:
    """Return the probes that a scenario needs if it names these, the implied ones first."""
    names = tuple(named)
    implied = (name for name, denials in IMPLIED.items() if denials.isdisjoint(names))
    return tuple(dict.fromkeys((*implied, *names)))


def unmet(named: Iterable[str]) -> Result | None:
    """Return the result of a scenario that names these probes and cannot run here; None if it can."""
    needed = required(named)
    unknown = [name for name in needed if name not in table.PROBES]
    if unknown:
        known = ", ".join(table.PROBES)
        return Result(verdict=Verdict.ERROR, reason=f"needs {', '.join(unknown)}, but the probes are {known}")
    verdicts = {"no": Verdict.UNSUPPORTED, "denied": Verdict.BLOCKED}
    found = {name: table.probe(name) for name in needed}
    missing = [
        Result(verdict=verdicts[result.state], reason=f"needs {name}: {result.detail}")
        for name, result in found.items()
        if result.state != "yes"
    ]
    return min(missing, key=lambda result: SEVERITY.index(result.verdict), default=None)
