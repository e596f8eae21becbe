"""What `doctor` found: the values that it prints, and that ``--json`` has under the same names."""

from __future__ import annotations

import sys

import msgspec

from worldswitch.harness.cell.records import Fingerprint

FORMAT = 1

YES, NO, UNTRIED = "yes", "no", "untried"


class Answer(msgspec.Struct, frozen=True):
    """Whether a ptrace sandbox can run here."""

    can_run: bool
    reason: str  #: what was seen
    remedy: str = ""  #: what to do, if it cannot run


class Place(msgspec.Struct, frozen=True):
    """One kind of place where scenarios can run."""

    name: str  #: host, containers, oci, kernels
    state: str  #: yes: it was tried; no: it cannot run; untried: everything for it is there
    said: str
    remedy: str = ""  #: what to do, if it cannot run
    command: str = ""  #: what runs there
    profiles: tuple[str, ...] = ()  #: the profiles that containers there can have
    other_profiles: dict[str, str] = {}  #: those that they cannot have, and why


class Spread(msgspec.Struct, frozen=True):
    """The median of some values, and their quartiles."""

    median: float
    low: float
    high: float


class Cost(msgspec.Struct, frozen=True):
    """What a switch costs; times are in seconds."""

    switches: int  #: how many were made
    rounds: int
    switch: Spread  #: the reference: into a guest, to its next system call, and out, with all registers
    floor: Spread  #: PTRACE_SYSEMU and wait4 in a loop in C
    native: Spread  #: a system call without a tracer
    ratio: Spread  #: switch to floor, in each round


class NoCost(msgspec.Struct, frozen=True):
    """Why nothing was measured."""

    reason: str
    switched: bool = False  #: True if the reference was seen to switch
    remedy: str = ""


class Emulation(msgspec.Struct, frozen=True):
    """A kernel that is emulated by a program."""

    name: str  #: empty if it does not tell
    evidence: tuple[str, ...]
    lacking: dict[str, str] = {}  #: the ptrace requests that it does not know, and its answers
    lost: tuple[str, ...] = ()  #: what trials lose with other calls


class Surroundings(msgspec.Struct, frozen=True):
    """What confines this process, in words."""

    user: str
    capabilities: str
    seccomp: str
    no_new_privileges: str
    security_modules: str
    label: str
    yama: str
    tracer: str
    container: str
    virtual_machine: str


class Lack(msgspec.Struct, frozen=True):
    """A probe that scenarios need and that fails here."""

    probe: str
    state: str  #: no: the machine or kernel lacks it; denied: a policy forbids it
    said: str
    scenarios: tuple[str, ...]  #: their ids; none if it is needed by all but those about its denial


class Remedy(msgspec.Struct, frozen=True):
    """What provides some of the missing things."""

    do: str  #: empty: no setting of this machine provides them
    provides: tuple[Lack, ...]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `doctor` found."""

    format: int = FORMAT
    answer: Answer
    places: tuple[Place, ...]
    cost: Cost | None
    cost_reason: str = ""  #: why there is no cost
    machine: Fingerprint
    surroundings: Surroundings
    emulation: Emulation | None = None
    lacking: tuple[Remedy, ...]


def schema() -> bytes:
    """Return the JSON schema of `Findings`, the contents of ``results/doctor.schema.json``."""
    text = msgspec.json.encode(msgspec.json.schema(Findings), order="deterministic")
    return msgspec.json.format(text, indent=2) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(schema())
