"""Which of a scenario's needs an environment lacks, as its probes show."""

from __future__ import annotations

from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.verdict import SEVERITY, Verdict

#: What every scenario needs without saying so, tracers and stubs being what it is made with; unless its very claim is
#: about that being denied, as these needs say.
IMPLIED = {
    "ptrace": frozenset(("ptrace_denied", "ptrace_deniable")),
    "stub_calls": frozenset(("ptrace_denied", "ptrace_deniable", "stub_calls_denied")),
}


def unmet(needs: tuple[str, ...]) -> Result | None:
    """Why a scenario cannot run here, by the probes it names; None if it can."""
    implied = (name for name, denials in IMPLIED.items() if denials.isdisjoint(needs))
    unknown = [name for name in needs if name not in table.PROBES]
    if unknown:
        known = ", ".join(table.PROBES)
        return Result(verdict=Verdict.ERROR, reason=f"needs {', '.join(unknown)}, and the probes are {known}")
    verdicts = {"no": Verdict.UNSUPPORTED, "denied": Verdict.BLOCKED}
    found = {name: table.probe(name) for name in (*implied, *needs)}
    missing = [
        Result(verdict=verdicts[one.state], reason=f"needs {name}: {one.detail}")
        for name, one in found.items()
        if one.state != "yes"
    ]
    return min(missing, key=lambda result: SEVERITY.index(result.verdict), default=None)
