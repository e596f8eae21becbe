"""The host as an environment: the suite runs as a child process, on this kernel, with this user's privileges."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from worldswitch.harness.cell import frames
from worldswitch.harness.environments.guardian import GuardedProcess

LOG_CHUNKS = 400
CHUNK = 1 << 16


class Host:
    """The machine itself, without a container."""

    name = "host"
    facts: Mapping[str, str] = {"engine": "host"}
    profile = None
    lane = None

    def start(self, arguments: Sequence[str]) -> HostCell:
        """Run the suite under a guardian, so that none of its processes outlives this one."""
        command = [sys.executable, "-m", "worldswitch.harness.cell", *arguments]
        # Else a checkout as working directory would make `harness` importable as a second copy.
        environment = os.environ | {"PYTHONSAFEPATH": "1"}
        return HostCell(GuardedProcess(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE))


class HostCell:
    """A cell on this host."""

    where = "on the host"

    def __init__(self, guarded: GuardedProcess) -> None:
        self._guarded = guarded
        self._log: deque[bytes] = deque(maxlen=LOG_CHUNKS)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        with _stream(self._guarded.process.stderr) as stream:
            self._log.extend(_chunks(stream))

    def frames(self) -> Iterator[bytes]:
        """Yield the lines of the cell's standard output."""
        with _stream(self._guarded.process.stdout) as stream:
            for line in frames.lines(_chunks(stream)):
                yield line + b"\n"

    @property
    def log(self) -> str:
        """The end of the cell's standard error."""
        if self._guarded.process.poll() is not None:
            self._reader.join(1)
        return b"".join(tuple(self._log)).decode(errors="replace")

    def wait(self, deadline: float) -> int:
        """Return the exit status, 128 + signal if a signal ended the cell.  Raises TimeoutError."""
        try:
            return self._guarded.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the suite {self.where} did not end within {deadline:g} s") from None

    def kill(self) -> None:
        """Kill the cell and all its descendants."""
        self._guarded.release()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what arrives on a pipe until it is closed."""
    return iter(lambda: os.read(stream.fileno(), CHUNK), b"")
