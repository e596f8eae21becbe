"""Records the calls with which a container starts, and finds those without which it does not.

A filter that notifies of every call but write(2), which runc excludes, is given to the runtime with the path of a
socket, to which it sends the listener.  A container starts if its cell sends its results to the end.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from worldswitch.harness.cell import records
from worldswitch.harness.cell.records import Footer
from worldswitch.harness.environments.oci.container import Oci, OciCell, OciSetup
from worldswitch.harness.environments.oci.spec import Json
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.simulation import record
from worldswitch.harness.environments.simulation.call_numbers import NATIVE
from worldswitch.harness.environments.simulation.record import Part
from worldswitch.harness.run.syscall_record import denials, parts, unotify

SECONDS = 40.0  #: in which a container must start and end
STARTS, FAILS = "starts", "fails"
WRITE = "write"  #: runc cannot notify of it; every program makes it
#: One trial that needs nothing; the cell of a mutant makes no probes.
ARGUMENTS = ("--mutant", "AsksForTiles", "--id", "AS01", "--repeat", "quick", "-n", "1")
ANSWERS: dict[str, dict[str, Any]] = {
    record.REFUSED: {"action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM},
    record.ABSENT: {"action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
    record.KILLED: {"action": "SCMP_ACT_KILL_PROCESS"},
}


class FilteredContainer(Oci):
    """A container under a profile with another filter, in the OCI format."""

    def __init__(self, setup: OciSetup, profile: Profile, content: Mapping[str, Any]) -> None:
        if profile.namespaces.pid == "host":  # a process whose getpid(2) is denied may signal every other
            raise ValueError("a container under an arbitrary filter must have a PID namespace of its own")
        super().__init__(setup, profile)
        self._content = content

    def _specification(
        self, profile: Profile, command: Sequence[str], name: str, pid: int, image: PurePath, group: str
    ) -> Json:
        made = super()._specification(profile, command, name, pid, image, group)
        made["linux"]["seccomp"] = dict(self._content)
        return made


def starts(setup: OciSetup, profile: Profile, content: Mapping[str, Any]) -> bool:
    """Return true if a container starts under the filter, and its cell ends properly."""
    return ends(FilteredContainer(setup, profile, content).start(ARGUMENTS))


def ends(cell: OciCell, noise: Callable[[bytes], object] = lambda _: None) -> bool:
    """Return true if a cell sends its results to the end; lines that are no frames go to `noise`."""
    late = threading.Timer(SECONDS, cell.kill)
    late.start()
    try:
        words = list(records.unframe(cell.frames(), noise))
        return any(isinstance(word, Footer) for word in words)
    finally:
        late.cancel()
        cell.kill()


def observe(setup: OciSetup, profile: Profile, machine: str, workers: int) -> Part:
    """Return the calls of a start, and the effect of each one's denial."""
    calls = [*_calls(setup, profile, machine), WRITE]
    tries = [(key, answer) for key in calls for answer in record.ANSWERS if not key.startswith("#")]

    def failing(wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        with ThreadPoolExecutor(workers) as pool:
            outcomes = pool.map(lambda one: starts(setup, profile, _denying(one[0], one[1], machine)), wanted)
            return [one for one, started in zip(wanted, outcomes, strict=True) if not started]

    found = failing(tries)
    keys = Counter(key for key, _ in found)
    odd = [one for one in found if keys[one[0]] < len(record.ANSWERS)]
    again = failing(odd)  # a busy machine is too slow at times
    effects: dict[str, dict[str, str]] = {}
    for key, answer in found:
        if (key, answer) not in odd or (key, answer) in again:
            effects.setdefault(key, {})[answer] = FAILS
    return Part(tuple(calls), STARTS, effects)


def _calls(setup: OciSetup, profile: Profile, machine: str) -> list[str]:
    noted = parts.PartCalls()
    path = setup.run.scratch() / "listener"
    names = [name for number in range(1000) if (name := parts.compiler().name(number, NATIVE[machine]))]
    notifying = {"names": [name for name in names if name != WRITE], "action": "SCMP_ACT_NOTIFY"}
    content = _allowing(machine) | {"listenerPath": str(path), "syscalls": [notifying]}
    with _listening(path, noted):
        if not starts(setup, profile, content):
            raise unotify.Unrecordable("no container starts under a filter that notifies of every call")
    return list(noted.found[parts.FIRST])


@contextmanager
def _listening(path: Path, noted: parts.PartCalls) -> Iterator[None]:
    """Receive the listener at a socket, and note its calls in a thread."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(SECONDS)

        def follow() -> None:
            with suppress(TimeoutError), server.accept()[0] as connection:
                _, (listener, *_), _, _ = socket.recv_fds(connection, 1 << 16, 1)
                unotify.listen(listener, noted.note, lambda: None)
                os.close(listener)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        yield
        thread.join(SECONDS)


def _allowing(machine: str) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [NATIVE[machine]]}


def _denying(key: str, answer: str, machine: str) -> dict[str, Any]:
    args = [{"index": one.index, "value": one.value, "op": one.operator} for one in denials.conditions(key)]
    return _allowing(machine) | {"syscalls": [{"names": [record.parse(key)[0]], **ANSWERS[answer], "args": args}]}
