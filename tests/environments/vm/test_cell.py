"""A cell in a guest as the runner sees it: output, kernel log, exit, and the loss of its machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from worldswitch.harness.cell import records as results
from worldswitch.harness.cell.records import Footer, KernelLog, Record
from worldswitch.harness.environments.protocol import Lost
from worldswitch.harness.environments.vm import cell as module
from worldswitch.harness.environments.vm import machine
from worldswitch.harness.environments.vm.cell import GuestCell
from worldswitch.harness.environments.vm.guest import serial_link
from worldswitch.harness.environments.vm.guest.serial_link import Message
from worldswitch.harness.environments.vm.machine import Hardware
from worldswitch.harness.environments.vm.qemu import Shape
from worldswitch.harness.environments.vm.toolbox import QemuTools
from worldswitch.harness.run.collect import collect

FOOTER = Footer(finished=1.0, counts={})


class Machine:
    """A guest whose messages come from the test."""

    def __init__(self) -> None:
        self.orders: list[dict[str, object]] = []
        self.console = ""
        self.closed = False
        self._listener: Callable[[Message], None] | None = None

    def listen(self, listener: Callable[[Message], None] | None) -> None:
        self._listener = listener

    def send(self, order: dict[str, object]) -> None:
        self.orders.append(order)

    def close(self) -> None:
        self.closed = True
        self.say("lost", reason="closed")

    def say(self, word: str, **fields: object) -> None:
        if self._listener:
            self._listener({"say": word, "cell": 7, **fields})

    def out(self, data: bytes) -> None:
        self.say("out", data=serial_link.text(data))

    def end(self, status: int = 0, kernel: tuple[str, ...] = (), taint: tuple[int, int] = (0, 0)) -> None:
        self.say("end", status=status, kernel=list(kernel), taint=list(taint))


class Place:
    """An environment with one cell."""

    name = "linux-6.12"

    def __init__(self) -> None:
        self.machine = Machine()
        self.spoilt = False

    def cell(self) -> GuestCell:
        return GuestCell(self.machine, 7, {"command": ["x"]}, self._spoil)  # type: ignore[arg-type]

    def _spoil(self) -> None:
        self.spoilt = True


@pytest.fixture
def place() -> Place:
    return Place()


def records(cell: GuestCell) -> list[results.Word]:
    return list(results.unframe(cell.frames(), lambda _: None))


def test_the_order_has_the_cell_s_number(place: Place) -> None:
    place.cell()
    assert place.machine.orders == [{"do": "run", "cell": 7, "command": ["x"]}]


def test_lines_are_assembled_from_chunks(place: Place) -> None:
    cell = place.cell()
    frame = results.frame(results.Began("a::b"))
    for byte in frame:
        place.machine.out(bytes([byte]))
    place.machine.end()
    assert records(cell)[0] == results.Began("a::b")


def test_the_kernel_s_log_precedes_the_footer(place: Place) -> None:
    cell = place.cell()
    place.machine.out(results.frame(FOOTER))
    place.machine.end(kernel=("6 1.000000 hello",))
    assert records(cell) == [KernelLog(lines=("6 1.000000 hello",)), FOOTER]
    assert cell.wait(1) == 0
    assert not place.spoilt


def test_a_kernel_warning_spoils_the_machine(place: Place) -> None:
    cell = place.cell()
    place.machine.end(kernel=("4 1.000000 WARNING: CPU: 0 PID: 1 at kernel/ptrace.c:1",))
    (said,) = records(cell)
    assert isinstance(said, KernelLog)
    assert len(said.complaints) == 1
    assert place.spoilt


def test_a_lost_machine_is_reported_with_its_console(place: Place) -> None:
    cell = place.cell()
    place.machine.console = "[    9.000000] Kernel panic - not syncing: test"
    place.machine.say("lost", reason="Kernel panic - not syncing: test")
    (said,) = records(cell)
    assert isinstance(said, KernelLog)
    assert [one.meaning for one in said.complaints] == ["the kernel panicked"]
    with pytest.raises(Lost, match="Kernel panic"):
        cell.wait(1)
    assert "Kernel panic" in cell.log
    assert place.spoilt


def test_the_output_of_a_lost_cell_is_kept(place: Place) -> None:
    taken: list[Record] = []

    class Environment(Place):
        def start(self, _: object) -> GuestCell:
            cell = self.cell()
            self.machine.out(results.frame(results.Began("a::b")))
            self.machine.say("lost", reason="gone")
            return cell

    begun: list[str] = []
    problem = collect(Environment(), [], 1.0, taken.append, begun.append)  # type: ignore[arg-type]
    assert begun == ["a::b"]
    assert problem
    assert "the guest was lost: gone" in problem.reason


def test_a_loss_that_two_threads_report_is_recorded_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def console(_: Machine) -> str:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # until the other thread is here too, if nothing keeps it out
        return ""

    cell = place.cell()
    monkeypatch.setattr(Machine, "console", property(console, lambda *_: None), raising=False)
    threads = [threading.Thread(target=place.machine.say, args=("lost",), kwargs={"reason": "gone"}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(list(cell.frames())) == len([b"the kernel's log", b"the end of a line"])
    assert cell._lines.empty()


def test_a_refusal_has_a_reason(place: Place) -> None:
    cell = place.cell()
    place.machine.say("refused", reason="sysctl kernel/nothing: No such file or directory")
    assert records(cell) == []
    assert cell.wait(1) == 2
    assert "could not run" in cell.log


def test_a_guest_that_ignores_a_kill_is_ended(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KILL_SECONDS", 0.01)
    cell = place.cell()
    cell.kill()
    assert place.machine.closed
    assert place.spoilt


def test_a_cell_that_ended_is_not_killed(place: Place) -> None:
    cell = place.cell()
    place.machine.end()
    cell.kill()
    assert not place.machine.closed
    assert len(place.machine.orders) == 1


def test_waiting_for_a_cell_that_does_not_end_times_out(place: Place) -> None:
    with pytest.raises(TimeoutError):
        place.cell().wait(0.01)


def test_a_machine_whose_guardian_cannot_start_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []
    pair = socket.socketpair

    def recorded() -> tuple[socket.socket, socket.socket]:
        made.extend(pair())
        return made[0], made[1]

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(socket, "socketpair", recorded)
    monkeypatch.setattr(machine, "GuardedProcess", refuse)
    hardware = Hardware(QemuTools(Path("/tools"), "", "", ""), Path("/disk"), "tcg")
    with pytest.raises(BlockingIOError):
        machine.VirtualMachine(hardware, Path("/kernel"), Shape())
    assert [one.fileno() for one in made] == [-1, -1]
