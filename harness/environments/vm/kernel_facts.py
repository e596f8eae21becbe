"""Observe the facts of a guest's kernel once per boot for all its cells, as root outside of a container.

The facts do not depend on the profile, and observing them on an emulated CPU takes as long as many trials.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.probes import kernel_facts
from worldswitch.harness.cell.probes.kernel_facts import Observed
from worldswitch.harness.environments.images.tree import Tree
from worldswitch.harness.environments.protocol import Lost
from worldswitch.harness.environments.vm.cell import GuestCell
from worldswitch.harness.environments.vm.machine import VirtualMachine

START_SECONDS = 60.0  #: in addition to the experiments' own limit


def observe(
    machine: VirtualMachine, number: int, tree: Tree, where: str, time_scale: float, spoil: Callable[[], None]
) -> Observed | None:
    """Return the kernel's facts, observed by cell `number` of a machine; `where` names the place in results.

    Returns None on any problem: each cell then observes for itself and reports the problem.  `spoil` is called when the
    machine must not be used any more.
    """
    seconds = kernel_facts.SECONDS * time_scale
    command = ["python3", "-m", kernel_facts.__name__, "--seconds", f"{seconds:g}", "--where", where]
    spoilt = False

    def on_spoil() -> None:
        nonlocal spoilt
        spoilt = True
        spoil()

    order = {"command": command, "environment": tree.environment, "folder": tree.folder}
    cell = GuestCell(machine, number, order, on_spoil)
    try:
        status = cell.wait(seconds + START_SECONDS)
    except (Lost, TimeoutError):
        return None
    finally:
        cell.kill()
    return None if spoilt or status else _facts(cell)


def _facts(cell: GuestCell) -> Observed | None:
    """Return the facts in the cell's frames; the only other frame is the kernel's log."""
    for payload in filter(None, map(frames.decode, cell.frames())):
        found = msgspec.json.decode(payload)
        if "facts" in found:
            return msgspec.convert(found, Observed)
    return None
