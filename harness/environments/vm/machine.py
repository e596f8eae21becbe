"""A virtual machine: booted once, then runs one cell at a time until it is closed or lost.

QEMU runs under a guardian, so the machine ends with this process even if that is killed, and it writes nothing to this
host's disks.  Every wait is bounded.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.images.tree import Tree
from worldswitch.harness.environments.vm import guest_messages, qemu
from worldswitch.harness.environments.vm.guest.serial_link import Message, MessageSender, received
from worldswitch.harness.environments.vm.qemu import Accelerator, Shape
from worldswitch.harness.environments.vm.toolbox import QemuTools
from worldswitch.harness.errors import Unobtainable

#: For a boot: emulated it takes 4 s on an idle host, and many times as long on a busy one.
BOOT_SECONDS = 120.0
#: Factors for the time limits in a guest; with KVM it is slower only by having few CPUs and little memory.
TIME_SCALES = {"tcg": 10, "kvm": 2}
OFF_SECONDS = 5.0
CONSOLE_LINES = 400
CHUNK = 1 << 16
LONGEST_LINE = 4096  #: of the console; the rest is another line
MOST_WORDS = 400  #: characters of the reason why a guest is lost

Listener = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Hardware:
    """The tools, disk and accelerator of all machines on this host."""

    tools: QemuTools
    disk: Path
    accelerator: Accelerator

    @property
    def time_scale(self) -> int:
        """The factor for time limits in a machine."""
        return TIME_SCALES[self.accelerator]


@dataclass(frozen=True, slots=True)
class MachineParts:
    """The hardware and image that the machines of all kernels share."""

    hardware: Hardware
    tree: Tree
    initramfs: Callable[[], Path] | None = None  #: makes the root of the kernels that cannot mount the disk


@dataclass(frozen=True, slots=True)
class Boot:
    """A successful boot, as the guest reported it."""

    kernel: str  #: its release
    version: str
    taint: int
    cpus: int
    seconds: float


class NoBoot(Unobtainable):
    """A guest did not boot; carries its console."""

    def __init__(self, reason: str, console: str) -> None:
        super().__init__(reason, "read its console, and check whether this host is very busy", console)


class VirtualMachine:
    """A running guest."""

    def __init__(self, hardware: Hardware, kernel: Path, shape: Shape, initramfs: Path | None = None) -> None:
        """Start QEMU; `boot` waits for the guest.  Without support for an `initramfs` the kernel mounts the disk."""
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._qemu = self._start(hardware, kernel, shape, theirs.fileno(), initramfs)
        self._sender = MessageSender(self._socket.sendall)
        self._console: deque[str] = deque(maxlen=CONSOLE_LINES)
        self._booted = threading.Event()
        self._boot: Message = {}
        self._listener: Listener | None = None
        self._lost = ""
        self._lock = threading.Lock()
        self._started = self._up = time.monotonic()
        self._readers = [self._read_lines(self._qemu.process.stdout), self._read_lines(self._qemu.process.stderr)]
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def _start(
        self, hardware: Hardware, kernel: Path, shape: Shape, port: int, initramfs: Path | None
    ) -> GuardedProcess:
        try:
            return GuardedProcess(
                qemu.command(hardware.tools, hardware.accelerator, shape, kernel, hardware.disk, port, initramfs),
                env=os.environ | hardware.tools.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                keep=[port],
            )
        except BaseException:
            self._socket.close()
            raise

    def boot(self, seconds: float = BOOT_SECONDS) -> Boot:
        """Wait until the guest has booted.  Raises `NoBoot` after `seconds`."""
        came = self._booted.wait(seconds)
        report = self._boot
        if not report:
            how = "ended" if came else f"was silent for {seconds:g} s"
            self.close()
            raise NoBoot(f"the guest {how} before it was up: {self._last_line()}", self.console)
        seconds = round(self._up - self._started, 1)
        return Boot(report["kernel"], report["version"], report["taint"], report["cpus"], seconds)

    @property
    def lost(self) -> str:
        """Why the machine is lost; empty while it runs."""
        return self._lost

    @property
    def console(self) -> str:
        """The tail of the output of the guest's kernel and of QEMU."""
        return "\n".join(qemu.noteworthy(tuple(self._console)))

    def listen(self, listener: Listener | None) -> None:
        """Pass the guest's messages to `listener`; this class adds a ``lost`` message."""
        with self._lock:
            self._listener = listener
            lost = self._lost
        if lost and listener:
            listener({"say": "lost", "reason": lost})

    def send(self, order: Mapping[str, object]) -> None:
        """Send an order; a no-op if the machine is lost."""
        with suppress(OSError):
            self._sender.send(order)

    def close(self) -> None:
        """Power the guest off, or kill QEMU if it does not react."""
        if not self._lost and self._boot:
            self.send({"do": "off"})
            self._follower.join(OFF_SECONDS)
        self._qemu.release()
        self._follower.join(OFF_SECONDS)
        for reader in self._readers:
            reader.join(OFF_SECONDS)
        self._socket.close()

    def _read_lines(self, stream: IO[bytes] | None) -> threading.Thread:
        assert stream is not None

        def read() -> None:
            with stream:
                for line in iter(lambda: stream.readline(LONGEST_LINE), b""):
                    self._console.append(line.decode(errors="replace").rstrip("\r\n"))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def _follow(self) -> None:
        """Pass on the guest's messages until the port closes."""
        reason = ""
        try:
            for message in received(self._chunks()):
                guest_messages.check(message)
                if message["say"] == "boot":
                    self._boot, self._up = message, time.monotonic()
                    self._booted.set()
                elif listener := self._listener:
                    listener(message)
        except Exception as problem:  # whatever a guest sends costs its own cells: without this thread they hang
            reason = f"it sent a damaged message: {problem}"[:MOST_WORDS]
        for reader in self._readers:
            reader.join(OFF_SECONDS)
        with self._lock:
            self._lost = reason or self._last_line()
            listener = self._listener
        self._booted.set()
        if listener:
            listener({"say": "lost", "reason": self._lost})

    def _chunks(self) -> Iterator[bytes]:
        with suppress(OSError):
            while chunk := self._socket.recv(CHUNK):
                yield chunk

    def _last_line(self) -> str:
        """Return the kernel's panic message, else the last line of the console."""
        lines = [line for line in self.console.splitlines() if line.strip()]
        panics = [line for line in lines if "Kernel panic" in line or "BUG:" in line]
        return next(iter(panics or lines[-1:]), "its console is empty")
