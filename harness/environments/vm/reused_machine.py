"""The lane of one kernel: a machine that is booted on first use, reused by later cells, and rebooted when it is lost.

One machine runs at a time.  A profile with other kernel parameters, or with effects that only a reboot resets, gets a
machine of its own.  The kernel's facts are observed once per boot for all its cells, as root outside of a container:
they do not depend on the profile, and observing them on an emulated CPU takes as long as many trials.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.probes import kernel_facts
from worldswitch.harness.cell.probes.kernel_facts import Observed
from worldswitch.harness.environments.images.tree import Tree
from worldswitch.harness.environments.kernels.fetch import KernelFetcher
from worldswitch.harness.environments.kernels.image import KernelImage
from worldswitch.harness.environments.protocol import Lost, Say
from worldswitch.harness.environments.vm.cell import GuestCell
from worldswitch.harness.environments.vm.machine import Boot, MachineParts, NoBoot, VirtualMachine
from worldswitch.harness.environments.vm.qemu import Shape
from worldswitch.harness.errors import Unobtainable

START_SECONDS = 60.0  #: for a cell that observes, in addition to the experiments' own limit
ATTEMPTS = 2  #: to boot: an emulated guest may fail to boot on a very busy host; each attempt is counted


@dataclass(frozen=True, slots=True)
class BootedMachine:
    """A booted machine without complaints."""

    machine: VirtualMachine
    boot: Boot
    number: int  #: number of this boot of the kernel, from 1
    observed: Observed | None = None  #: the kernel's facts, if observed for all cells


class ReusedMachine:
    """The lane of a kernel's environments: its machines run one after the other."""

    def __init__(self, made: MachineParts, name: str, kernels: KernelFetcher, say: Say) -> None:
        """Use the kernel called `name`, fetched from `kernels` on first use."""
        self.hardware = made.hardware
        self._tree = made.tree
        self._initramfs = made.initramfs
        self.name = name
        self.kernel: KernelImage | None = None  #: None until it is fetched
        self._kernels = kernels
        self._say = say
        self._machine: VirtualMachine | None = None
        self._boot: Boot | None = None
        self._observed: Observed | None = None
        self._observes = True  #: False once observing has failed on this kernel
        self._shape = Shape()
        self._cells = 0
        self._boots = 0
        self._spoilt = False
        self._closed = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Fetch the kernel; `machine` boots it.  Raises `Unobtainable`."""
        self.kernel = self._kernels.get(self.name)

    def machine(self, shape: Shape, *, observed: bool = True) -> BootedMachine:
        """Return a machine of this shape; if `observed`, with its kernel's facts.

        Raises `NoBoot`, and `Unobtainable` if the lane was closed.
        """
        with self._lock:
            machine, boot = self._have(shape)
            if observed and self._observes and not self._observed:
                self._observe(machine, boot)
                machine, boot = self._have(shape)  # a new one, if observing spoilt it
            return BootedMachine(machine, boot, self._boots, self._observed if observed else None)

    def number(self) -> int:
        """Return a new cell number."""
        with self._lock:
            self._cells += 1
            return self._cells

    def spoil(self) -> None:
        """Run no further cell in the current machine."""
        self._spoilt = True

    def close(self) -> None:
        """End the machine, even while it boots, and start no other; callable from any thread."""
        self._closed = True
        if machine := self._machine:
            machine.close()

    def _have(self, shape: Shape) -> tuple[VirtualMachine, Boot]:
        """Return the current machine if it is usable, else a new one."""
        if self._machine and (self._machine.lost or self._spoilt or shape != self._shape):
            self._stop()
        if not self._machine or not self._boot:
            kernel = self._kernels.get(self.name)
            self._say(f"booting Linux {kernel.release} in QEMU, {self.hardware.accelerator}")
            self._machine, self._boot = self._start(kernel, shape)
            self._shape, self._spoilt, self._observed = shape, False, None
        return self._machine, self._boot

    def _observe(self, machine: VirtualMachine, boot: Boot) -> None:
        self._say(f"observing the facts of Linux {boot.kernel}")
        self._cells += 1
        where = f"as root of the machine, once for all cells of boot {self._boots}"
        scale = self.hardware.time_scale
        self._observed = observe(machine, self._cells, self._tree, where, scale, self.spoil)
        self._observes = self._observed is not None

    def _start(self, kernel: KernelImage, shape: Shape) -> tuple[VirtualMachine, Boot]:
        root = self._initramfs() if self._initramfs and kernel.why_initramfs else None
        if root:
            self._say(f"Linux {kernel.release} boots by an initramfs: {kernel.why_initramfs}")
        for attempt in range(1, ATTEMPTS + 1):
            self._machine = machine = VirtualMachine(self.hardware, kernel.image, shape, root)
            if self._closed:
                machine.close()
                raise Unobtainable("the run was interrupted before the guest was up", "run again")
            self._boots += 1
            try:
                return machine, machine.boot()
            except NoBoot:
                self._machine = None
                if attempt == ATTEMPTS or self._closed:
                    raise
        raise AssertionError("an attempt returns or raises")

    def _stop(self) -> None:
        if self._machine:
            self._machine.close()
        self._machine, self._boot = None, None


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
    """Return the facts in the cell's frames, None without valid ones; the only other frame is the kernel's log."""
    for payload in filter(None, map(frames.decode, cell.frames())):
        with suppress(msgspec.MsgspecError, RecursionError):
            return msgspec.json.decode(payload, type=Observed)
    return None
