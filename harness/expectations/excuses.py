"""Excuses `unsupported` and `blocked` without a rule where the environment cannot provide what a scenario needs.

The cell's own probes decide, since a cell may run on its own kernel and machine.  A container on this machine's kernel
that lacks what the machine has is not excused: its profile or engine removed it, so a rule must say so.  The same
applies when root lacks a privilege: the machine is confined, so a rule must say so.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.records import Header
from worldswitch.harness.cell_name import REFERENCE, CellName
from worldswitch.harness.environments.host import Host
from worldswitch.harness.linux.uname import kernel
from worldswitch.harness.verdict import Verdict

LACKING = "this machine does not have what they need"
FORBIDDEN = "this user may not do what they need"
OPTIONAL = "this platform does not implement an optional part"


@dataclass(frozen=True, slots=True)
class HostAbilities:
    """What the machine that drives the run can do, by its own probes."""

    kernel: str = ""
    has: frozenset[str] = frozenset()  #: the needs of the scenarios that this machine meets
    is_root: bool = True  #: True if the run has effective user id 0


def host_abilities(scenarios: Iterable[Scenario]) -> HostAbilities:
    """Probe this machine for what these scenarios need."""
    needs = {need for scenario in scenarios for need in scenario.needs}
    has = frozenset(need for need in needs if table.probe(need).state == "yes")
    return HostAbilities(kernel(), has, os.geteuid() == 0)


def excuse(verdict: Verdict, needs: Collection[str], cell: CellName, header: Header, machine: HostAbilities) -> str:
    """Return why this verdict is excused for a scenario with these needs in a cell with this header, or ""."""
    found = header.fingerprint.probes
    states = {need: found[need].state for need in needs if need in found}
    if verdict is Verdict.BLOCKED:
        forbidden = cell.environment == Host.name and not machine.is_root and "denied" in states.values()
        return FORBIDDEN if forbidden else ""
    if verdict is not Verdict.UNSUPPORTED:
        return ""
    removed = machine.has if header.fingerprint.kernel == machine.kernel else ()
    if any(state == "no" and need not in removed for need, state in states.items()):
        return LACKING
    if cell.platform != REFERENCE and all(state == "yes" for state in states.values()):
        return OPTIONAL
    return ""
