"""Examine this machine: its surroundings, whether the reference platform runs here, where else, and at what cost.

The reference itself must have switched before the answer is yes: a filter may deny what no probe asks for.
"""

from __future__ import annotations

from collections.abc import Callable

from worldswitch.harness.catalogue.scenarios import SCENARIOS
from worldswitch.harness.cell.probes import confinement, emulation, fingerprint, remedies, table
from worldswitch.harness.cell.probes.kernel_facts import Observed
from worldswitch.harness.cell.probes.needs import required
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.environments import distribution, installation
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.report.doctor import lacking, places, surroundings
from worldswitch.harness.report.doctor.findings import NO, YES, Answer, Cost, Emulation, Findings, NoCost, Place
from worldswitch.harness.run.request import rehearse_platform
from worldswitch.harness.verdict import Verdict

Measure = Callable[[], Cost | NoCost]

NO_SWITCH = "the probes that the reference platform needs succeed, but it did not switch"
HERE = "worldswitch run --engine host"


def examine(measure: Measure, say: Say, *, facts: bool) -> Findings:
    """Return the findings; `measure` times the reference, `say` is told what is being tried.

    With `facts`, the kernel's behaviour is observed too.  Where the reference cannot run, other probes are not tried:
    those that trace could take a minute to fail.
    """
    say("probing what this machine allows")
    refused = _refused()
    if not refused:
        say("measuring what a switch costs")
    cost = NoCost(f"it was not measured: {refused.reason}") if refused else measure()
    answer = refused or _answer(cost)
    if answer.can_run:
        say("probing what scenarios need")
    machine = fingerprint.take(SCENARIOS if answer.can_run else None, observed=None if facts else Observed({}))
    here = Place("host", YES if answer.can_run else NO, answer.reason, answer.remedy, HERE if answer.can_run else "")
    return Findings(
        answer=answer,
        places=(here, *places.look(say)),
        cost=cost if isinstance(cost, Cost) else None,
        cost_reason=cost.reason if isinstance(cost, NoCost) else "",
        machine=machine,
        surroundings=surroundings.describe(confinement.look()),
        emulation=_emulation(),
        lacking=lacking.groups() if answer.can_run else (),
    )


def _answer(cost: Cost | NoCost) -> Answer:
    if isinstance(cost, Cost):
        return Answer(True, f"the reference platform made {cost.switches:,} switches into a traced process")
    if cost.switched:
        return Answer(True, "the reference platform switched into a traced process")
    return Answer(False, f"{NO_SWITCH}: {cost.reason}", cost.remedy)


def _refused() -> Answer | None:
    """Return why the reference cannot run here, as far as loading it and the probes show; None if they show nothing."""
    loading = rehearse_platform(REFERENCE)
    if loading.verdict is not Verdict.PASS:
        return Answer(False, loading.reason, rebuild() if loading.verdict is Verdict.ERROR else "")
    for need in required(()):
        if (found := table.probe(need)).state != "yes":
            return Answer(False, f"{need}: {found.detail}", remedies.of(need, found))
    return None


def rebuild() -> str:
    """Return the command that builds and installs the C parts."""
    return f"{distribution.install('python3-dev gcc')} && {installation.reinstall()}"


def _emulation() -> Emulation | None:
    """Return what shows that the kernel is emulated, in the form of the findings."""
    found = emulation.look()
    if found is None:
        return None
    return Emulation(found.name, tuple(found.evidence), dict(found.lacking), tuple(found.lost))
