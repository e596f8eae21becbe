"""Results as JSON lines: a header, one line a trial, a footer; and how they are read back without believing too much.

    `Header`   what was planned, where, on what
    `Trial`    one scenario's verdict; in any order, at most once each
    `KernelLog`  what a kernel that was booted for the cell said meanwhile
    `Footer`   the cell came to its end; its counts say what it reported

A file without its footer is not a result (`Incomplete`).  A line that cannot be read, a trial nobody planned, a second
verdict or counts that differ are `Damaged`.  What was planned and not reported is added as `miss` when reading.

On a stream shared with logs each line is a frame (`worldswitch.harness.cell.frames`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from worldswitch.harness.cell import frames
from worldswitch.harness.cell.diagnosis.model import Diagnosis
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.verdict import Verdict

FORMAT = 1
REFUSAL = "cell: could not run: "  #: a cell that cannot run writes its reason after these words


class ProbeResult(msgspec.Struct, frozen=True):
    """What a probe found, and what showed it."""

    state: str  #: yes, no, denied
    detail: str


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """The machine as the trials saw it."""

    kernel: str
    machine: str
    cpu: str
    cpus: int
    python: str
    versions: dict[str, str]
    probes: dict[str, ProbeResult]
    facts: dict[str, str] = {}  #: how the kernel behaves, see `worldswitch.harness.cell.probes.kernel_facts`
    facts_from: str = ""  #: where they were observed, if not in this cell itself
    behaviour: str = ""  #: a digest of the facts
    confinement: Confinement | None = None  #: who could forbid ptrace here, and what is known of each


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="header", tag_field="kind"):
    """The first line."""

    format: int = FORMAT
    run: str
    started: float  #: seconds since 1970
    environment: dict[str, Any]
    platform: str
    mutant: str | None = None
    repeat: str
    seed: int  #: what everything random in the run was drawn from
    planned: tuple[str, ...]
    fingerprint: Fingerprint


class Trial(msgspec.Struct, frozen=True, kw_only=True, tag="trial", tag_field="kind"):
    """One scenario's verdict."""

    scenario: str  #: ``threads::a_sentence``
    verdict: Verdict
    ids: tuple[str, ...] = ()
    claim: str = ""
    clauses: tuple[str, ...] = ()
    reason: str = ""
    assertion: bool = False  #: the scenario's own assertion failed
    detail: str = ""  #: pytest's account of the failure
    transcript: tuple[str, ...] = ()
    output: str = ""  #: the end of what it printed
    seconds: float = 0.0
    worker: str = ""
    diagnosis: Diagnosis | None = None  #: of one that did not pass: its last ptrace events, and who was there


class Footer(msgspec.Struct, frozen=True, kw_only=True, tag="footer", tag_field="kind"):
    """The last line."""

    finished: float  #: seconds since 1970
    counts: dict[str, int]


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a kernel's log that no kernel should log."""

    meaning: str
    line: str


class KernelLog(msgspec.Struct, frozen=True, kw_only=True, tag="kernel", tag_field="kind"):
    """What the kernel logged while the cell ran, where a kernel was booted for it: at most once, before the footer."""

    lines: tuple[str, ...]  #: each after its level and the seconds since boot; the last ones, if there were very many
    taint: tuple[int, int] = (0, 0)  #: its flags before and after
    complaints: tuple[Complaint, ...] = ()


Record: TypeAlias = Header | Trial | KernelLog | Footer


class Began(msgspec.Struct, frozen=True, tag="began", tag_field="kind"):
    """A trial has begun: said on a stream, for those who wait, and no line of a result."""

    scenario: str


Word: TypeAlias = Record | Began  #: what a stream carries


_decode_word = msgspec.json.Decoder(Word).decode


def encode(record: Word) -> bytes:
    """`record` as JSON, without a line break."""
    return msgspec.json.encode(record)


def frame(record: Word) -> bytes:
    """`record` as a frame for a shared stream."""
    return frames.encode(encode(record))


def unframe(lines: Iterable[bytes], noise: Callable[[bytes], object]) -> Iterator[Word]:
    """The words among `lines`; every other line that says anything goes to `noise`."""
    for line in lines:
        payload = frames.decode(line)
        if payload is not None:
            yield _decode_word(payload)
        elif line.strip():
            noise(line)


def tally(trials: Iterable[Trial]) -> dict[str, int]:
    """How often each verdict occurs, those that do."""
    counts = Counter(trial.verdict for trial in trials)
    return {verdict.value: counts[verdict] for verdict in Verdict if counts[verdict]}


def schema() -> bytes:
    """The JSON schema of a line, as it stands in ``results/run.schema.json``."""
    text = msgspec.json.encode(msgspec.json.schema(Record), order="deterministic")
    return msgspec.json.format(text, indent=2) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(schema())
