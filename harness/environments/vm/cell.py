"""A cell in a guest, followed through the guest's messages.

The kernel's log during the cell becomes a record before the cell's footer, so that it is part of the results.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from worldswitch.harness.cell import frames, records
from worldswitch.harness.cell.records import REFUSAL
from worldswitch.harness.environments.protocol import Lost
from worldswitch.harness.environments.vm import kernel_log
from worldswitch.harness.environments.vm.guest import serial_link
from worldswitch.harness.environments.vm.guest.serial_link import Message
from worldswitch.harness.environments.vm.machine import VirtualMachine

LOG_CHUNKS = 400
LOG_CHUNK = 1 << 16  #: bytes
LAST_LINES = 1000  #: from the footer on
KILL_SECONDS = 30.0  #: for a guest to kill a cell: its CPU may be emulated
KEPT_LINES = 500  #: lines of the kernel's log in results

#: Prefix of a footer, to recognise it without decoding every record.
FOOTER = b'{"kind":"footer"'


class GuestCell:
    """One run of the suite in a guest."""

    def __init__(
        self, machine: VirtualMachine, number: int, order: Mapping[str, object], spoil: Callable[[], None]
    ) -> None:
        """Start the cell; `spoil` is called when the machine must not run further cells."""
        self._machine = machine
        self._number = number
        self._spoil = spoil
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._half = b""
        self._last: list[bytes] = []  #: the footer, held back until the kernel's log has arrived
        self._log: deque[str] = deque(maxlen=LOG_CHUNKS)
        self._ended = threading.Event()
        self._hearing = threading.Lock()  #: two threads report a lost machine: its follower, and `kill`
        self._status = 0
        self._lost = ""
        machine.listen(self._hear)
        machine.send({"do": "run", "cell": number, **order})

    def frames(self) -> Iterator[bytes]:
        """Yield the lines of the cell's standard output."""
        yield from iter(self._lines.get, None)

    @property
    def log(self) -> str:
        """The tail of the cell's standard error, or of the console of a lost machine."""
        return self._machine.console if self._lost else "".join(tuple(self._log))

    def wait(self, deadline: float) -> int:
        """Return the exit status.  Raises TimeoutError, or `Lost` with the machine."""
        if not self._ended.wait(deadline):
            raise TimeoutError(f"the suite in the guest did not end within {deadline:g} s")
        if self._lost:
            raise Lost(f"the guest was lost: {self._lost}")
        return self._status

    def kill(self) -> None:
        """Kill the cell through the guest, or the whole guest if it does not answer."""
        if not self._ended.is_set():
            self._machine.send({"do": "kill", "cell": self._number})
            if not self._ended.wait(KILL_SECONDS):
                self._spoil()
                self._machine.close()
        self._machine.listen(None)

    def _hear(self, message: Message) -> None:
        with self._hearing:
            if not self._ended.is_set():
                self._take_message(message)

    def _take_message(self, message: Message) -> None:
        if message["say"] == "lost":
            self._end_lost(message["reason"])
        elif message["cell"] == self._number:
            match message["say"]:
                case "out":
                    self._split_lines(serial_link.data(message["data"]))
                case "log":
                    self._log.append(serial_link.data(message["data"])[-LOG_CHUNK:].decode(errors="replace"))
                case "refused":
                    self._log.append(f"{REFUSAL}the guest could not run it: {message['reason']}\n")
                    self._end(2)
                case "end":
                    before, after = message["taint"]
                    self._record_kernel_log(message["kernel"], (before, after))
                    self._end(message["status"])

    def _split_lines(self, chunk: bytes) -> None:
        *lines, self._half = (self._half + chunk).split(b"\n")
        if len(self._half) > frames.LONGEST or len(self._last) > LAST_LINES:
            raise frames.LineTooLong(f"a line has more than {frames.LONGEST} bytes, or the cell goes on after its end")
        for line in lines:
            if self._last or _is_footer(line):
                self._last.append(line + b"\n")
            else:
                self._lines.put(line + b"\n")

    def _record_kernel_log(self, lines: list[str], taint: tuple[int, int]) -> None:
        complaints = tuple(kernel_log.shipped().complaints(lines, taint))
        if complaints:
            self._spoil()  # later verdicts on a broken kernel are meaningless
        record = records.KernelLog(lines=tuple(lines[-KEPT_LINES:]), taint=taint, complaints=complaints)
        self._lines.put(records.frame(record).lstrip())

    def _end_lost(self, reason: str) -> None:
        self._lost = reason
        self._spoil()
        self._record_kernel_log(self._machine.console.splitlines(), (0, 0))
        self._end(1)

    def _end(self, status: int) -> None:
        for line in (*self._last, self._half):
            self._lines.put(line)
        self._status = status
        self._ended.set()
        self._lines.put(None)


def _is_footer(line: bytes) -> bool:
    payload = frames.decode(line)
    return payload is not None and payload.startswith(FOOTER)
