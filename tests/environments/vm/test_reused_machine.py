"""A lane's machines: the kernel's facts are observed once per boot, and a failure to observe costs no cell."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.probes import kernel_facts
from worldswitch.harness.cell.probes.kernel_facts import Observed
from worldswitch.harness.environments.kernels.image import KernelImage
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.vm import reused_machine
from worldswitch.harness.environments.vm.environment import GuestEnvironment
from worldswitch.harness.environments.vm.guest import serial_link
from worldswitch.harness.environments.vm.guest.serial_link import Message
from worldswitch.harness.environments.vm.machine import Boot, Hardware, MachineParts
from worldswitch.harness.environments.vm.qemu import Shape
from worldswitch.harness.environments.vm.reused_machine import ReusedMachine

FACTS = {"kernel_memory::user_addresses_end": "0x7ffffffff000"}
KERNEL = KernelImage("6.12", "6.12.1-cloud", Path("bzImage"), "5a")
WARNING = "4 1.000000 WARNING: CPU: 0 PID: 1 at kernel/ptrace.c:1"


class Fake:
    """A machine whose guest answers at once, as the class attribute `answer` defines."""

    made: list[Fake]
    answer: Callable[[Fake, Message], None]

    def __init__(self, hardware: object, kernel: object, shape: Shape, initramfs: Path | None) -> None:
        self.initramfs = initramfs
        self.orders: list[Message] = []
        self.lost = self.console = ""
        self.closed = False
        self._listener: Callable[[Message], None] | None = None
        self.made.append(self)

    def boot(self) -> Boot:
        return Boot("6.12.1-cloud", "#1", 0, 1, 4.0)

    def listen(self, listener: Callable[[Message], None] | None) -> None:
        self._listener = listener

    def send(self, order: Message) -> None:
        self.orders.append(order)
        if order["do"] == "run" and kernel_facts.__name__ in order.get("command", ()):
            self.answer(order)

    def close(self) -> None:
        self.closed = True

    def say(self, word: str, order: Message, **fields: object) -> None:
        assert self._listener
        self._listener({"say": word, "cell": order["cell"], **fields})

    def tells(self, order: Message, status: int = 0, kernel: tuple[str, ...] = ()) -> None:
        """Answer with the facts, and the place from the order."""
        where = order["command"][order["command"].index("--where") + 1]
        frame = frames.encode(msgspec.json.encode(Observed(FACTS, where)))
        self.say("out", order, data=serial_link.text(frame))
        self.say("end", order, status=status, kernel=list(kernel), taint=[0, 0])

    def dies(self, order: Message) -> None:
        self.lost = "Kernel panic - not syncing: test"
        self.say("lost", order, reason=self.lost)


@dataclass
class Tree:
    id: str = "1"
    base: str = "b"
    environment: tuple[str, ...] = ()
    folder: str = "/"


@dataclass
class Tools:
    crun: str = "1"
    qemu: str = "10"


@dataclass
class Shelf:
    asked: list[str] = field(default_factory=list)

    def get(self, name: str) -> KernelImage:
        self.asked.append(name)
        return KERNEL


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    monkeypatch.setattr(reused_machine, "VirtualMachine", Fake)
    monkeypatch.setattr(Fake, "made", [], raising=False)
    monkeypatch.setattr(Fake, "answer", Fake.tells, raising=False)
    return Fake.made


@pytest.fixture
def one(machines: list[Fake]) -> ReusedMachine:
    made = MachineParts(Hardware(Tools(), Path(), "tcg"), Tree())  # type: ignore[arg-type]
    return ReusedMachine(made, "6.12", Shelf(), lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("why", "root"), [("", None), ("it has CONFIG_EXT4_FS=m", Path("/root.cpio"))])
def test_only_a_kernel_that_needs_an_initramfs_gets_one(
    why: str, root: Path | None, machines: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Shelf, "get", lambda *_: replace(KERNEL, why_initramfs=why))
    made = MachineParts(Hardware(Tools(), Path(), "tcg"), Tree(), lambda: Path("/root.cpio"))  # type: ignore[arg-type]
    ReusedMachine(made, "6.12", Shelf(), said.append).machine(Shape())  # type: ignore[arg-type]
    assert machines[0].initramfs == root
    assert any("boots by an initramfs: it has CONFIG_EXT4_FS=m" in line for line in said) is bool(why)


def test_a_kernel_is_observed_once_per_boot(one: ReusedMachine, machines: list[Fake]) -> None:
    ups = [one.machine(Shape()) for _ in range(3)]
    assert [up.observed and up.observed.facts for up in ups] == [FACTS] * 3
    assert len(machines) == 1
    assert len(machines[0].orders) == 1
    assert ups[0].observed
    assert ups[0].observed.where == "as root of the machine, once for all cells of boot 1"


def test_another_boot_is_observed_again(one: ReusedMachine, machines: list[Fake]) -> None:
    one.machine(Shape())
    up = one.machine(Shape(options={"vsyscall": "none"}))
    assert (len(machines), machines[0].closed, up.number) == (2, True, 2)
    assert up.observed
    assert up.observed.where.endswith("boot 2")


def test_a_machine_without_facts_is_not_observed(one: ReusedMachine, machines: list[Fake]) -> None:
    assert one.machine(Shape(), observed=False).observed is None
    assert machines[0].orders == []


def fails(machine: Fake, order: Message) -> None:
    machine.tells(order, status=1)


def complains(machine: Fake, order: Message) -> None:
    machine.tells(order, kernel=(WARNING,))


def test_after_a_failed_observation_cells_observe_for_themselves(
    one: ReusedMachine, machines: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fake, "answer", fails)
    assert one.machine(Shape()).observed is None
    one.machine(Shape())
    assert [len(machine.orders) for machine in machines] == [1]  # it is not tried again


@pytest.mark.parametrize("answer", [complains, Fake.dies])
def test_a_kernel_spoilt_by_observing_is_rebooted_for_the_cells(
    one: ReusedMachine, machines: list[Fake], monkeypatch: pytest.MonkeyPatch, answer: Callable[[Fake, Message], None]
) -> None:
    monkeypatch.setattr(Fake, "answer", answer)
    up = one.machine(Shape())
    assert up.observed is None
    assert (up.machine, up.number) == (machines[1], 2)
    assert machines[0].closed
    assert machines[1].orders == []


def started(one: ReusedMachine, profile: str | None, *arguments: str) -> list[str]:
    """Return the arguments of a cell's command between its environment and what confines its container."""
    chosen = profiles.select([profile])[0] if profile else None
    order = GuestEnvironment(one, Tree(), chosen).start(["--environment", "{}", *arguments])._machine.orders[-1]  # type: ignore[arg-type, attr-defined]
    command = order["configuration"]["process"]["args"] if chosen else order["command"]
    return command[command.index("--environment") + 2 : command.index("--confinement") if chosen else None]


@pytest.mark.parametrize("profile", [None, "hardened", "no-ptrace"])
def test_every_cell_receives_the_observed_facts(one: ReusedMachine, profile: str | None) -> None:
    option, text = started(one, profile)
    assert (option, json.loads(text)["facts"]) == ("--observed", FACTS)


def test_a_cell_with_its_own_sysctls_observes_for_itself(one: ReusedMachine) -> None:
    assert started(one, "few-mappings") == []


def test_a_mutant_s_cell_receives_no_facts(one: ReusedMachine, machines: list[Fake]) -> None:
    assert started(one, None, "--mutant", "Forgetful") == ["--mutant", "Forgetful"]
    assert len(machines[0].orders) == 1


def test_a_cell_that_observes_few_facts_receives_none(one: ReusedMachine, machines: list[Fake]) -> None:
    assert started(one, None, "--facts", "KD3") == ["--facts", "KD3"]
    assert len(machines[0].orders) == 1
