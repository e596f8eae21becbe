"""The guest's supervisor: runs one cell at a time on the host's orders and forwards its output.

    run     start a cell: a plain command, or an OCI configuration for the runtime; sysctls apply while it runs
    kill    kill the cell
    off     end the machine

The end of every cell is reported with its exit status, the kernel's log during the cell, and the taint flags.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from worldswitch.harness.environments.vm.guest import kernel
from worldswitch.harness.environments.vm.guest.serial_link import Message, MessageSender, text
from worldswitch.harness.linux import bundles

CHUNK = 1 << 16
MOST_WORDS = 1000  #: characters of a message about an exception
SYSCTLS = Path("/proc/sys")


@dataclass(frozen=True, slots=True)
class GuestContext:
    """The system that a supervisor acts on; tests substitute it."""

    runtime: Sequence[str]  #: start of the OCI runtime's command
    bundles: Path  #: folder of the runtime's bundles
    clear: Callable[[], None]  #: kill every process that a cell left
    renew: Callable[[], None]  #: empty the folders that cells write to
    new_lines: Callable[[], list[str]]  #: return the kernel's log since the last call
    companion: Callable[[], int]  #: start the init of a new PID namespace; returns its pid
    run: Sequence[str] = ("run",)  #: the runtime's command that runs a container, with options
    sysctls: Path = SYSCTLS


@dataclass(slots=True)
class RunningCell:
    """A running cell."""

    number: int
    process: subprocess.Popen[bytes]
    readers: list[threading.Thread] = field(default_factory=list)


class Supervisor:
    """Runs at most one cell at a time.

    Its waits are unbounded: the host has the deadline, kills a silent cell and then the machine.
    """

    def __init__(self, sender: MessageSender, around: GuestContext) -> None:
        self._send = sender.send
        self._around = around
        self._running: RunningCell | None = None
        self._ended = threading.Event()
        self._ended.set()

    def serve(self, orders: Iterable[Message]) -> None:
        """Execute orders until `off` or the end of the stream."""
        for order in orders:
            match order["do"]:
                case "run":
                    self._ended.wait()
                    self._run(order)
                case "kill":
                    self._kill(order["cell"])
                case "off":
                    break
        if self._running:
            self._kill(self._running.number)
        self._ended.wait()

    def _run(self, order: Message) -> None:
        number = order["cell"]
        try:
            before = _set(self._around.sysctls, order.get("sysctls", {}))
        except OSError as problem:
            self._send({"say": "refused", "cell": number, "reason": f"sysctl {problem.filename}: {problem.strerror}"})
            return
        self._around.renew()
        self._around.new_lines()
        tainted = kernel.taint()
        try:
            process = self._start(order)
        except OSError as problem:
            _set(self._around.sysctls, before)
            self._send({"say": "refused", "cell": number, "reason": f"{problem.filename}: {problem.strerror}"})
            return
        self._ended.clear()
        self._running = running = RunningCell(number, process)
        running.readers += [self._pump(number, "out", process.stdout), self._pump(number, "log", process.stderr)]
        threading.Thread(target=self._wait, args=(running, order, before, tainted)).start()

    def _start(self, order: Message) -> subprocess.Popen[bytes]:
        command, folder = order.get("command", []), order.get("folder", "/")
        if configuration := order.get("configuration"):
            bundle = self._around.bundles / f"cell-{order['cell']}"
            bundle.mkdir(parents=True)
            self._join_companion(configuration)
            bundles.complete(configuration, bundle, Path(configuration.get("root", {}).get("path", "/")))
            (bundle / "config.json").write_text(json.dumps(configuration))
            command = [*self._around.runtime, *self._around.run, f"--bundle={bundle}", bundle.name]
            folder = str(bundle)
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(one.split("=", 1) for one in order["environment"]) if "environment" in order else None,
            cwd=folder,
            start_new_session=True,
        )

    def _join_companion(self, configuration: Message) -> None:
        """Start a companion for a container with a shared PID namespace, and set the namespace's path."""
        for namespace in configuration.get("linux", {}).get("namespaces", ()):
            if namespace.get("type") == "pid" and "path" in namespace:
                namespace["path"] = f"/proc/{self._around.companion()}/ns/pid"

    def _pump(self, number: int, kind: str, stream: IO[bytes] | None) -> threading.Thread:
        assert stream is not None

        def pump() -> None:
            with stream:
                while chunk := os.read(stream.fileno(), CHUNK):
                    self._send({"say": kind, "cell": number, "data": text(chunk)})

        thread = threading.Thread(target=pump)
        thread.start()
        return thread

    def _wait(self, running: RunningCell, order: Message, before: Mapping[str, str], tainted: int) -> None:
        try:
            self._finish(running, order, before, tainted)
        except Exception as error:  # else the host would wait for this cell, and the next one for ever
            traceback.print_exc()
            said = f"internal error: {type(error).__name__}: {error}"[:MOST_WORDS]
            self._send({"say": "refused", "cell": running.number, "reason": said})
        finally:
            self._running = None
            self._ended.set()

    def _finish(self, running: RunningCell, order: Message, before: Mapping[str, str], tainted: int) -> None:
        status = running.process.wait()
        self._around.clear()  # a leftover process may hold the streams open
        for reader in running.readers:
            reader.join()
        if order.get("configuration"):
            self._delete(f"cell-{running.number}")
        with suppress(OSError):
            _set(self._around.sysctls, before)
        self._send(
            {
                "say": "end",
                "cell": running.number,
                "status": status if status >= 0 else 128 - status,
                "kernel": self._around.new_lines(),
                "taint": [tainted, kernel.taint()],
            }
        )

    def _delete(self, name: str) -> None:
        with suppress(OSError, subprocess.TimeoutExpired):
            command = [*self._around.runtime, "delete", "--force", name]
            subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20, check=False)

    def _kill(self, number: int) -> None:
        running = self._running
        if running and running.number == number:
            with suppress(ProcessLookupError):  # just reaped; `clear` kills the rest
                os.killpg(running.process.pid, signal.SIGKILL)
            self._around.clear()


def _set(root: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """Set sysctls by their dotted names; returns the previous values of those changed."""
    before: dict[str, str] = {}
    for name, value in wanted.items():
        path = root / name.replace(".", "/")
        old = path.read_text().strip()
        if old != value:
            path.write_text(value)
            before[name] = old
    return before
