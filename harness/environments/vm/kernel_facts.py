"""What a guest's kernel does, observed once a boot for all cells of that boot: as its root, outside of any container.

How a kernel behaves is its own and no profile's, and to find out takes an emulated processor as long as many trials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.probes import kernel_facts
from worldswitch.harness.cell.probes.kernel_facts import Observed
from worldswitch.harness.environments.protocol import Lost
from worldswitch.harness.environments.vm.cell import GuestCell

if TYPE_CHECKING:
    from worldswitch.harness.environments.images.tree import Tree
    from worldswitch.harness.environments.vm.machine import VirtualMachine

START_SECONDS = 60.0  #: beside the time that the experiments have


def observe(
    machine: VirtualMachine, number: int, tree: Tree, where: str, time_scale: float, spoil: Callable[[], None]
) -> Observed | None:
    """The facts, as cell `number` of a machine, whose place is called `where`.

    None if not all went well: then each cell is to see for itself, so that what went wrong is told of it.  `spoil` is
    called when the machine must not be used any more.
    """
    seconds = kernel_facts.SECONDS * time_scale
    command = ["python3", "-m", kernel_facts.__name__, "--seconds", f"{seconds:g}", "--where", where]
    spoilt = False

    def and_say_so() -> None:
        nonlocal spoilt
        spoilt = True
        spoil()

    order = {"command": command, "environment": tree.environment, "folder": tree.folder}
    cell = GuestCell(machine, number, order, and_say_so)
    try:
        status = cell.wait(seconds + START_SECONDS)
    except (Lost, TimeoutError):
        return None
    finally:
        cell.kill()
    return None if spoilt or status else _said(cell)


def _said(cell: GuestCell) -> Observed | None:
    """Its frame; the only other one is what the kernel logged."""
    for payload in filter(None, map(frames.decode, cell.frames())):
        found = msgspec.json.decode(payload)
        if "facts" in found:
            return msgspec.convert(found, Observed)
    return None
