"""A virtual machine: booted once, then asked to run one cell after the other, until it is closed or lost.

A guardian holds QEMU, so that the machine ends with this process however that ends; it writes nothing to this host's
disks.  Whatever is waited for has a bound: a guest that does not come up in time is given up.
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
from typing import IO, TYPE_CHECKING

from worldswitch.harness.environments.guardian import GuardedProcess
from worldswitch.harness.environments.vm import qemu
from worldswitch.harness.environments.vm.guest.serial_link import Broken, Message, MessageSender, received
from worldswitch.harness.errors import Unobtainable

if TYPE_CHECKING:
    from worldswitch.harness.environments.images.tree import Tree
    from worldswitch.harness.environments.vm.qemu import Accelerator, Shape
    from worldswitch.harness.environments.vm.toolbox import QemuTools

#: For a guest to come up: an idle host takes 4 s to emulate that, a busy one many times as long.
BOOT_SECONDS = 120.0
#: How much slower than most a guest is whose processor is emulated; of one with a processor, and little memory, less.
TIME_SCALES = {"tcg": 10, "kvm": 2}
OFF_SECONDS = 5.0
CONSOLE_LINES = 400
CHUNK = 1 << 16

Listener = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Hardware:
    """What machines on this host are made with."""

    tools: QemuTools
    disk: Path
    accelerator: Accelerator

    @property
    def time_scale(self) -> int:
        """How many times slower than most a machine is."""
        return TIME_SCALES[self.accelerator]


@dataclass(frozen=True, slots=True)
class MachineParts:
    """What the machines of every kernel are made from."""

    hardware: Hardware
    tree: Tree


@dataclass(frozen=True, slots=True)
class Boot:
    """How a guest came up."""

    kernel: str  #: its release, as it says itself
    version: str
    taint: int
    cpus: int
    seconds: float


class NoBoot(Unobtainable):
    """A guest did not come up; `log` is its console."""

    def __init__(self, reason: str, console: str) -> None:
        super().__init__(reason, "see what its console shows, and whether this host is very busy", console)


class VirtualMachine:
    """A running guest."""

    def __init__(self, hardware: Hardware, kernel: Path, shape: Shape) -> None:
        """Start it; whether it comes up is seen by `boot`."""
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._held = self._start(hardware, kernel, shape, theirs.fileno())
        self._sender = MessageSender(self._write)
        self._console: deque[str] = deque(maxlen=CONSOLE_LINES)
        self._booted = threading.Event()
        self._boot: Message = {}
        self._listener: Listener | None = None
        self._lost = ""
        self._lock = threading.Lock()
        self._started = self._up = time.monotonic()
        self._readers = [self._read_lines(self._held.process.stdout), self._read_lines(self._held.process.stderr)]
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def _start(self, hardware: Hardware, kernel: Path, shape: Shape, port: int) -> GuardedProcess:
        try:
            return GuardedProcess(
                qemu.command(hardware.tools, hardware.accelerator, shape, kernel, hardware.disk, port),
                env=os.environ | hardware.tools.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                keep=[port],
            )
        except BaseException:
            self._socket.close()
            raise

    def boot(self, seconds: float = BOOT_SECONDS) -> Boot:
        """Wait for the guest; `NoBoot` if it does not come up within so many seconds."""
        came = self._booted.wait(seconds)
        said = self._boot
        if not said:
            how = "ended" if came else f"said nothing for {seconds:g} s"
            self.close()
            raise NoBoot(f"the guest {how} before it was up: {self._last_word()}", self.console)
        return Boot(said["kernel"], said["version"], said["taint"], said["cpus"], round(self._up - self._started, 1))

    @property
    def lost(self) -> str:
        """Why the machine is no more, or nothing."""
        return self._lost

    @property
    def console(self) -> str:
        """The end of what the guest's kernel and QEMU said."""
        return "\n".join(qemu.noteworthy(tuple(self._console)))

    def listen(self, listener: Listener | None) -> None:
        """Have what the guest says told to `listener`; a message that says ``lost`` is our own."""
        with self._lock:
            self._listener = listener
            lost = self._lost
        if lost and listener:
            listener({"say": "lost", "reason": lost})

    def send(self, order: Mapping[str, object]) -> None:
        """Order something; who is lost does not hear it."""
        with suppress(OSError):
            self._sender.send(order)

    def close(self) -> None:
        """End it: by its own hand if it still obeys."""
        if not self._lost and self._boot:
            self.send({"do": "off"})
            self._follower.join(OFF_SECONDS)
        self._held.release()
        self._follower.join(OFF_SECONDS)
        for reader in self._readers:
            reader.join(OFF_SECONDS)
        self._socket.close()

    def _write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _read_lines(self, stream: IO[bytes] | None) -> threading.Thread:
        assert stream is not None

        def read() -> None:
            with stream:
                for line in stream:
                    self._console.append(line.decode(errors="replace").rstrip("\r\n"))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread

    def _follow(self) -> None:
        """Pass on what the guest says until it says no more."""
        reason = ""
        try:
            for message in received(self._chunks()):
                if message["say"] == "boot":
                    self._boot, self._up = message, time.monotonic()
                    self._booted.set()
                elif listener := self._listener:
                    listener(message)
        except (Broken, ValueError, KeyError) as problem:
            reason = f"what it says cannot be believed: {problem}"
        for reader in self._readers:
            reader.join(OFF_SECONDS)
        with self._lock:
            self._lost = reason or self._last_word()
            listener = self._listener
        self._booted.set()
        if listener:
            listener({"say": "lost", "reason": self._lost})

    def _chunks(self) -> Iterator[bytes]:
        with suppress(OSError):
            while chunk := self._socket.recv(CHUNK):
                yield chunk

    def _last_word(self) -> str:
        """What tells most of how a guest ended: the kernel's panic, else the last line of its console."""
        lines = [line for line in self.console.splitlines() if line.strip()]
        panics = [line for line in lines if "Kernel panic" in line or "BUG:" in line]
        return next(iter(panics or lines[-1:]), "its console shows nothing")
