"""What excuses `unsupported` and `blocked` whatever the rules say: that what a scenario needs is not to be had there.

The cell's own probes say so, for it may have a kernel and a machine of its own.  A container on this machine's kernel
that lacks what the machine has is another matter: then its profile or its engine took that away, and a rule has to say
so.  Likewise what root may not do: somebody confined this machine, and nobody said so.
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
OPTIONAL = "this platform does without an optional part"


@dataclass(frozen=True, slots=True)
class HostAbilities:
    """The machine that drives the run, as its own probes see it."""

    kernel: str = ""
    has: frozenset[str] = frozenset()  #: what can be had here, of what scenarios need
    is_root: bool = True  #: whether this is root's run


def host_abilities(scenarios: Iterable[Scenario]) -> HostAbilities:
    """The machine we are on, as far as these scenarios need it."""
    needs = {need for scenario in scenarios for need in scenario.needs}
    has = frozenset(need for need in needs if table.probe(need).state == "yes")
    return HostAbilities(kernel(), has, os.geteuid() == 0)


def excuse(verdict: Verdict, needs: Collection[str], cell: CellName, header: Header, machine: HostAbilities) -> str:
    """Why a scenario with these needs may come to that verdict in a cell with this header; "" if nothing excuses it."""
    found = header.fingerprint.probes
    states = {need: found[need].state for need in needs if need in found}
    if verdict is Verdict.BLOCKED:
        forbidden = cell.environment == Host.name and not machine.is_root and "denied" in states.values()
        return FORBIDDEN if forbidden else ""
    if verdict is not Verdict.UNSUPPORTED:
        return ""
    taken = machine.has if header.fingerprint.kernel == machine.kernel else ()
    if any(state == "no" and need not in taken for need, state in states.items()):
        return LACKING
    if cell.platform != REFERENCE and all(state == "yes" for state in states.values()):
        return OPTIONAL
    return ""
