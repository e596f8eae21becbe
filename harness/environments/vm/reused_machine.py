"""The machine of one kernel: booted when a cell first needs it, kept for the next, booted anew when it is lost.

One at a time.  A profile that asks something else of the boot, or leaves what only a boot undoes, gets one of its own.
How the kernel behaves is observed once a boot (`worldswitch.harness.environments.vm.kernel_facts`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worldswitch.harness.environments.vm import kernel_facts
from worldswitch.harness.environments.vm.machine import Boot, MachineParts, NoBoot, VirtualMachine
from worldswitch.harness.environments.vm.qemu import Shape
from worldswitch.harness.errors import Unobtainable

if TYPE_CHECKING:
    from worldswitch.harness.cell.probes.kernel_facts import Observed
    from worldswitch.harness.environments.kernels.fetch import KernelFetcher
    from worldswitch.harness.environments.kernels.image import KernelImage
    from worldswitch.harness.environments.protocol import Say

ATTEMPTS = 2  #: an emulated guest may fail to come up where the host is very busy; each attempt is counted


@dataclass(frozen=True, slots=True)
class BootedMachine:
    """A machine that is up and sound."""

    machine: VirtualMachine
    boot: Boot
    number: int  #: which boot of this kernel it is
    observed: Observed | None = None  #: how the kernel behaves, if that was observed for all cells


class ReusedMachine:
    """Where the machines of one kernel run, one after the other: the lane of the kernel's environments."""

    def __init__(self, made: MachineParts, name: str, kernels: KernelFetcher, say: Say) -> None:
        """Take the kernel called `name` from the shelf, as soon as it is needed."""
        self.hardware = made.hardware
        self._tree = made.tree
        self.name = name
        self.kernel: KernelImage | None = None  #: None until it is there
        self._kernels = kernels
        self._say = say
        self._machine: VirtualMachine | None = None
        self._boot: Boot | None = None
        self._observed: Observed | None = None
        self._observes = True  #: until that is seen to be too much for the kernel
        self._shape = Shape()
        self._cells = 0
        self._boots = 0
        self._spoilt = False
        self._closed = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Have the kernel; which machine is wanted is known when a cell starts.  Raises `Unobtainable`."""
        self.kernel = self._kernels.get(self.name)

    def machine(self, shape: Shape, *, observed: bool = True) -> BootedMachine:
        """A machine of this shape; if `observed`, with what is known of its kernel.

        Raises `NoBoot` if it does not come up, and `Unobtainable` if the rack was closed.
        """
        with self._lock:
            machine, boot = self._have(shape)
            if observed and self._observes and not self._observed:
                self._observe(machine, boot)
                machine, boot = self._have(shape)  # another one, if that was too much for it
            return BootedMachine(machine, boot, self._boots, self._observed if observed else None)

    def number(self) -> int:
        """A number for a cell that none before had."""
        with self._lock:
            self._cells += 1
            return self._cells

    def spoil(self) -> None:
        """Let no other cell have the present machine."""
        self._spoilt = True

    def close(self) -> None:
        """End the machine, even one that is just coming up, and let there be no other; any thread may."""
        self._closed = True
        if machine := self._machine:
            machine.close()

    def _have(self, shape: Shape) -> tuple[VirtualMachine, Boot]:
        """The present machine, if it will do, or a new one."""
        if self._machine and (self._machine.lost or self._spoilt or shape != self._shape):
            self._stop()
        if not self._machine or not self._boot:
            kernel = self._kernels.get(self.name)
            self._say(f"booting Linux {kernel.release} in QEMU, {self.hardware.accelerator}")
            self._machine, self._boot = self._start(kernel, shape)
            self._shape, self._spoilt, self._observed = shape, False, None
        return self._machine, self._boot

    def _observe(self, machine: VirtualMachine, boot: Boot) -> None:
        self._say(f"observing how Linux {boot.kernel} behaves")
        self._cells += 1
        where = f"as root of the machine, once for all cells of boot {self._boots}"
        scale = self.hardware.time_scale
        self._observed = kernel_facts.observe(machine, self._cells, self._tree, where, scale, self.spoil)
        self._observes = self._observed is not None

    def _start(self, kernel: KernelImage, shape: Shape) -> tuple[VirtualMachine, Boot]:
        for attempt in range(1, ATTEMPTS + 1):
            self._machine = machine = VirtualMachine(self.hardware, kernel.image, shape)
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
