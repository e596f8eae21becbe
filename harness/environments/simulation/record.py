"""The shipped record of the suite's system calls on an architecture, and what a denial of each call does.

`worldswitch profile record --update` makes it by observation.  A **part** is what makes calls:

    start       the runtime after it installed the filter, init, Python, pytest; one for each runtime
    probe       each probe of the environment
    platform    the import of the reference
    scenario    each scenario's trial

A **call key** is a call with the arguments that filters look at: ``ptrace:0x4206``, ``x86/getpid``, ``close``.
"""

from __future__ import annotations

import errno
import functools
import platform
from collections.abc import Iterable
from pathlib import Path

import msgspec

from worldswitch.harness.environments.simulation.answer import Answer

FOLDER = Path(__file__).parent

#: The arguments in the key of a call: flags, requests and signals, never addresses or descriptors.
SIGNIFICANT: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("arch_prctl", "clone", "membarrier", "personality", "prctl", "ptrace", "seccomp"), (0,)),
    **dict.fromkeys(("munmap", "unshare", "setitimer", "timer_create"), (0,)),
    **dict.fromkeys(("fcntl", "futex", "ioctl", "memfd_create", "pidfd_open", "prlimit64", "setns"), (1,)),
    **dict.fromkeys(("mprotect", "madvise", "wait4"), (2,)),
    "mmap": (2, 3),
    "socket": (0, 1),
    "socketpair": (0, 1),
    "waitid": (0, 3),
}
#: Addresses in keys: one below 4 GiB, where only stubs have memory, and one above stand for all others.
LOW, LIMIT, HIGH = 0x20_0000, 1 << 32, 0x7F00_0000_0000
ADDRESSES = ("munmap",)
ARCHITECTURES = {"x86": "SCMP_ARCH_X86"}  #: prefixes of keys
ARGUMENTS = 6

#: The answers whose effects are recorded: a refusal, a call that does not exist, a kill.
REFUSED, ABSENT, KILLED = ANSWERS = ("EPERM", "ENOSYS", "kill")
FAKED = "0"  #: not recorded: a probe that believes in a new namespace would change the machine


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one part does."""

    calls: tuple[str, ...]  #: keys, in the order of their first call
    outcome: str = ""  #: without a filter
    #: What the denial of a key changes the outcome to, by key and answer; a key that is not here changes nothing.
    effects: dict[str, dict[str, str]] = {}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an architecture."""

    machine: str
    made_on: dict[str, str]  #: versions of the kernel, Python and the runtimes
    numbers: dict[str, dict[str, int]]  #: of all system calls, by architecture and name
    starts: dict[str, Part]  #: by runtime
    platform: Part
    probes: dict[str, Part]
    scenarios: dict[str, Part]  #: by function: a scenario's parameters share an entry
    #: For each call the lowest and the highest observed value of each argument.
    ranges: dict[str, tuple[tuple[int, int], ...]] = {}


def file(machine: str) -> Path:
    """Return the path of an architecture's record."""
    return FOLDER / f"{machine}.json"


@functools.cache
def load(machine: str = "") -> Record | None:
    """Return the record of an architecture, that of this machine if empty; None if there is none."""
    path = file(machine or platform.machine())
    return msgspec.json.decode(path.read_bytes(), type=Record) if path.exists() else None


def numbers(architecture: str) -> dict[str, int]:
    """Return the recorded numbers of an architecture's calls by name."""
    found = (msgspec.json.decode(path.read_bytes(), type=Record) for path in sorted(FOLDER.glob("*.json")))
    return next((one.numbers[architecture] for one in found if architecture in one.numbers), {})


def key(name: str, arguments: Iterable[int], architecture: str = "") -> str:
    """Return the key of a call."""
    every = tuple(arguments)
    if name in ADDRESSES:
        every = (LOW if every[0] < LIMIT else HIGH, *every[1:])
    shown = ",".join(f"{every[index]:#x}" for index in SIGNIFICANT.get(name, ()))
    prefix = f"{architecture}/" if architecture else ""
    return f"{prefix}{name}:{shown}" if shown else f"{prefix}{name}"


def parse(text: str) -> tuple[str, tuple[int | None, ...], str]:
    """Return a key's name, its arguments (None if unknown), and its architecture in filters (empty: the machine's)."""
    prefix, _, rest = text.rpartition("/")
    name, _, shown = rest.partition(":")
    arguments: list[int | None] = [None] * ARGUMENTS
    for index, word in zip(SIGNIFICANT.get(name, ()), shown.split(","), strict=False):
        arguments[index] = int(word, 16)
    return name, tuple(arguments), ARCHITECTURES.get(prefix, "")


def answer_name(answer: Answer) -> str:
    """Return which of the recorded answers stands for this one; empty if the call is allowed."""
    if answer.allowed:
        return ""
    if answer.errno is None:
        return KILLED
    return {0: FAKED, errno.EPERM: REFUSED, errno.EACCES: REFUSED}.get(answer.errno, ABSENT)
