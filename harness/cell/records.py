"""The records of a cell's results, one JSON line each.

    `Header`     the planned trials, the environment and the machine
    `Trial`      one trial's verdict; in any order, at most one each
    `KernelLog`  the log of a kernel booted for the cell
    `Footer`     the end of the cell, with the number of trials by verdict

A file without a footer is `Incomplete`.  An unreadable line, a trial that was not planned, a second verdict or
different counts make it `Damaged`.  Readers add planned trials that were not reported as `miss`.

On a stream shared with logs each line is a frame (`worldswitch.harness.cell.frames`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from worldswitch.harness import decoding
from worldswitch.harness.cell import frames
from worldswitch.harness.cell.diagnosis.model import Diagnosis
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.verdict import Verdict

FORMAT = 1
Moment: TypeAlias = Annotated[float, Meta(ge=0, le=253402300800)]  #: seconds since 1970, up to the year 9999
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]  #: a duration
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]

REFUSAL = "cell: could not run: "  #: the prefix of the reason that a cell cannot run, on standard error


class ProbeResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a probe and the evidence."""

    state: str  #: yes, no, denied
    detail: str
    remedy: str = ""  #: what to do, if the probe saw the evidence for it


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """The machine as the trials see it."""

    kernel: str
    machine: str
    cpu: str
    cpus: Count
    python: str
    versions: dict[str, str]
    probes: dict[str, ProbeResult]
    facts: dict[str, str] = {}  #: the kernel's behaviour, see `worldswitch.harness.cell.probes.kernel_facts`
    facts_from: str = ""  #: the place of observation, unless this cell
    facts_left_out: bool = False  #: True if only the facts that the run needs were observed
    behaviour: str = ""  #: a digest of all facts
    confinement: Confinement | None = None  #: the restrictions on ptrace


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="header", tag_field="kind"):
    """The first line."""

    format: int = FORMAT
    run: str
    started: Moment
    environment: dict[str, Any]
    platform: str
    mutant: str | None = None
    repeat: str
    seed: int  #: the seed of all random choices in the run
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
    detail: str = ""  #: pytest's report of the failure
    transcript: tuple[str, ...] = ()
    output: str = ""  #: the end of its output
    seconds: Seconds = 0.0
    worker: str = ""
    out_of_time: bool = False  #: a bound of time passed
    attempts: tuple[str, ...] = ()  #: the reasons of earlier attempts on a starved machine; this is the last one
    diagnosis: Diagnosis | None = None  #: of a failure: the last ptrace events and the processes


class Footer(msgspec.Struct, frozen=True, kw_only=True, tag="footer", tag_field="kind"):
    """The last line."""

    finished: Moment
    counts: dict[str, Count]


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a kernel's log that reports a kernel bug."""

    meaning: str
    line: str


class KernelLog(msgspec.Struct, frozen=True, kw_only=True, tag="kernel", tag_field="kind"):
    """The log of a kernel booted for the cell, while it ran: at most one, before the footer."""

    lines: tuple[str, ...]  #: level, seconds since boot and text; only the last ones if there are too many
    taint: tuple[int, int] = (0, 0)  #: the taint flags before and after
    complaints: tuple[Complaint, ...] = ()


Record: TypeAlias = Header | Trial | KernelLog | Footer


class Began(msgspec.Struct, frozen=True, tag="began", tag_field="kind"):
    """A trial has begun; sent on a stream for progress, and not part of the results."""

    scenario: str


Word: TypeAlias = Record | Began  #: one frame of a stream


def encode(record: Word) -> bytes:
    """Return `record` as JSON without line breaks."""
    return msgspec.json.encode(record)


def frame(record: Word) -> bytes:
    """Return `record` as a frame for a shared stream."""
    return frames.encode(encode(record))


def unframe(lines: Iterable[bytes], noise: Callable[[bytes], object]) -> Iterator[Word]:
    """Yield the records among `lines`; other lines that are not blank go to `noise`."""
    for line in lines:
        payload = frames.decode(line)
        if payload is not None:
            yield decoding.from_json(payload, Word)
        elif line.strip():
            noise(line)


def tally(trials: Iterable[Trial]) -> dict[str, int]:
    """Count the verdicts that occur, by name."""
    counts = Counter(trial.verdict for trial in trials)
    return {verdict.value: counts[verdict] for verdict in Verdict if counts[verdict]}


def schema() -> bytes:
    """Return the JSON schema of a line, the contents of ``results/run.schema.json``."""
    text = msgspec.json.encode(msgspec.json.schema(Record), order="deterministic")
    return msgspec.json.format(text, indent=2) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(schema())
