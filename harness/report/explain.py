"""Explains one trial of a saved run: the claim, the expectation, what happened, and the relevant probes.

Everything is read from the run's folder, except the texts of clauses, which are the installed ones.  For each EPERM,
the explanation names the probable cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from worldswitch.harness.catalogue import clauses, scenarios
from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.cell.diagnosis import text
from worldswitch.harness.cell.probes import cgroups, cpu, memory, policy, ptrace, stub_calls
from worldswitch.harness.cell.probes.needs import required
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.expectations.judgement import PASSES
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.report import eperm
from worldswitch.harness.results.trial_id import KeptTrial
from worldswitch.harness.run import repro

LINES = 40  #: the last lines of a long text; the folder has the rest
EVENTS = 40  #: the last events

#: Families of probes: if one probe of a family is needed, the others may explain the verdict.
FAMILIES = (ptrace.PROBES, stub_calls.PROBES, cpu.PROBES, memory.PROBES, policy.PROBES, cgroups.PROBES)

#: The capability that each probe's attempt needs: number and name in include/uapi/linux/capability.h.
CAPABILITIES = {
    **dict.fromkeys(("pidns", "mountns", "ns_last_pid", "memcg", "cpuset", "freezer"), (21, "CAP_SYS_ADMIN")),
    "other_user": (7, "CAP_SETUID"),
}


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the explanation."""

    title: str
    lines: tuple[str, ...]


def sections(kept: KeptTrial) -> list[Section]:
    """The sections of the explanation that are not empty."""
    made = (Section(title, tuple(make(kept))) for title, make in _PARTS)
    return [section for section in made if section.lines]


def show(kept: KeptTrial, out: Console) -> None:
    """Print the explanation."""
    for section in sections(kept):
        out.print(Text(section.title, style="bold"))
        for line in section.lines:
            out.print(Text(f"  {line}"))
        out.print()


# ------------------------------------------------------------------------------------------------------------ the parts


def _trial(kept: KeptTrial) -> Iterator[str]:
    header, trial = kept.cell.header, kept.judged.trial
    word = "as expected" if kept.judged.judgement.expected else "not as expected"
    yield f"{kept.id.cell}::{trial.scenario}: {trial.verdict.value}, {word}"
    yield f"run {kept.run.folder}, seed {kept.run.manifest.seed}"
    if header:
        yield f"{header.fingerprint.kernel}, {header.repeat} repetitions, {trial.seconds:.1f} s"
    # The kernel is fetched, and the machine booted, after the plan is made: the cell's header has more facts.
    facts = {key: value for key, value in header.environment.items() if key != "name"} if header else {}
    yield from (f"{key}: {value}" for key, value in {**kept.cell.plan.facts, **facts}.items())


def _claim(kept: KeptTrial) -> Iterator[str]:
    trial = kept.judged.trial
    if trial.claim:
        yield from f"{' '.join(trial.ids)}: {trial.claim}".splitlines()


def _clauses(kept: KeptTrial) -> Iterator[str]:
    try:
        known: Mapping[str, str] = clauses.listed()
    except NotFound:
        known = {}
    for clause in kept.judged.trial.clauses:
        yield f"{clause}: {known[clause]}" if clause in known else clause


def _expected(kept: KeptTrial) -> Iterator[str]:
    judgement = kept.judged.judgement
    wanted = " or ".join(sorted(verdict.value for verdict in judgement.wanted))
    if judgement.wanted == PASSES and not judgement.reason:
        yield "pass: no rule covers this trial"
        return
    yield f"{wanted}: {judgement.reason}"
    if judgement.rule:
        yield f"rule: {judgement.rule}"
    yield from (f"evidence: {one}" for one in judgement.evidence)


def _happened(kept: KeptTrial) -> Iterator[str]:
    trial = kept.judged.trial
    yield f"{trial.verdict.value}: {trial.reason}" if trial.reason else trial.verdict.value
    if kept.cell.problem:
        yield f"the cell: {kept.cell.problem.reason}"
        if kept.cell.problem.remedy:
            yield f"what to do: {kept.cell.problem.remedy}"


def _end(lines: Sequence[str]) -> Iterator[str]:
    if len(lines) > LINES:
        yield f"... {len(lines) - LINES} earlier lines"
    yield from lines[-LINES:]


def _detail(kept: KeptTrial) -> Iterator[str]:
    return _end(kept.judged.trial.detail.splitlines())


def _transcript(kept: KeptTrial) -> Iterator[str]:
    return _end(kept.judged.trial.transcript)


def _output(kept: KeptTrial) -> Iterator[str]:
    return _end(text.output(kept.judged.trial.output).splitlines())


def _events(kept: KeptTrial) -> Iterator[str]:
    yield from text.events(kept.judged.trial.diagnosis, EVENTS)


def _processes(kept: KeptTrial) -> Iterator[str]:
    diagnosis = kept.judged.trial.diagnosis
    if diagnosis and diagnosis.processes:
        yield f"{diagnosis.moment}:"
        yield from text.processes(diagnosis, whole=True)


# ----------------------------------------------------------------------------------------------------- probes and EPERM


def _found(kept: KeptTrial) -> Mapping[str, ProbeResult]:
    return kept.cell.header.fingerprint.probes if kept.cell.header else {}


def needs(kept: KeptTrial) -> tuple[str, ...]:
    """The probes that the scenario needs, including those that every scenario needs."""
    function = scenarios.function_of(kept.judged.trial.scenario)
    named = next((one.needs for one in kept.run.manifest.scenarios if one.name == function), ())
    return required(named)


def _probes(kept: KeptTrial) -> Iterator[str]:
    """The needed probes, and the others of the same families that did not answer yes."""
    found, needed = _found(kept), needs(kept)
    for name in needed:
        yield f"{name}: {_said(found.get(name))} (needed)"
    for name in _related(needed):
        if name in found and found[name].state != "yes":
            yield f"{name}: {_said(found[name])}"


def _related(names: Sequence[str]) -> list[str]:
    families = [family for family in FAMILIES if any(name in family for name in names)]
    return [name for family in families for name in family if name not in names]


def _said(finding: ProbeResult | None) -> str:
    return f"{finding.state}: {finding.detail}" if finding else "not probed"


def _eperm(kept: KeptTrial) -> Iterator[str]:
    """The probable cause of each EPERM that the trial met."""
    known = kept.cell.header.fingerprint.confinement if kept.cell.header else None
    denied = [name for name in needs(kept) if (one := _found(kept).get(name)) and one.state == "denied"]
    requests = _refused_requests(kept, ptrace_denied=any(name in ptrace.PROBES for name in denied))
    others = [name for name in denied if name not in ptrace.PROBES]
    if not (requests or others) and any(_NAMED.search(line) for line in _message(kept)):
        others = ["an operation"]
    if (requests or others) and known is None:
        yield "unknown: the run did not record this process's confinement"
    elif known:
        for request in requests:
            yield from eperm.lines(known, request)
        for name in others:
            yield _other(name, known)


_NAMED = re.compile(r"\bEPERM\b|Operation not permitted")
_REQUEST = re.compile(r"PTRACE_[A-Z]+|ptrace|attach")


def _message(kept: KeptTrial) -> list[str]:
    return [*kept.judged.trial.reason.splitlines(), *kept.judged.trial.detail.splitlines()]


def _refused_requests(kept: KeptTrial, *, ptrace_denied: bool) -> list[str]:
    """The ptrace requests that were refused, from the recorded events, else from the trial's messages."""
    diagnosis = kept.judged.trial.diagnosis
    events = diagnosis.events if diagnosis else ()
    refused = [one.request for one in events if one.result == "EPERM" and one.request != "wait4"]
    if not refused:
        named = [_REQUEST.findall(line) for line in _message(kept) if _NAMED.search(line)]
        words = [word for words in named for word in words]
        refused = [word for word in words if word.startswith("PTRACE_")]
        if not refused and (words or ptrace_denied):
            refused = ["PTRACE_SEIZE"]
    return list(dict.fromkeys(refused))


def _other(name: str, known: Confinement) -> str:
    """The cause of an EPERM outside ptrace: a missing capability suffices as the cause, so it is checked first."""
    number, capability = CAPABILITIES.get(name, (None, ""))
    if number is not None and not known.may(number):
        return f"{name}: EPERM: capability: it needs {capability}, which this process lacks"
    if known.seccomp == 2:
        return f"{name}: EPERM: seccomp, by elimination: a filter is installed, and no needed capability is missing"
    modules = f"{known.modules}, {known.label}".strip(", ") or "the active modules are not visible here"
    return f"{name}: EPERM: a security module or mount options, by elimination: {modules}"


def _kernel_log(kept: KeptTrial) -> Iterator[str]:
    """The log of the kernel booted for the cell: first its warnings and faults, then its last lines."""
    log = kept.cell.reached.kernel_log
    if log:
        yield from (f"{one.meaning}: {one.line}" for one in log.complaints)
        yield from _end(log.lines)


def _again(kept: KeptTrial) -> Iterator[str]:
    yield repro.line(kept.cell.name, kept.judged.trial.scenario, kept.run.folder)


#: In the order of output.
_PARTS: tuple[tuple[str, Callable[[KeptTrial], Iterator[str]]], ...] = (
    ("trial", _trial),
    ("claim", _claim),
    ("clauses", _clauses),
    ("expected", _expected),
    ("what happened", _happened),
    ("cause of EPERM", _eperm),
    ("relevant probes", _probes),
    ("assertion", _detail),
    ("transcript", _transcript),
    ("output", _output),
    ("last ptrace events", _events),
    ("processes", _processes),
    ("kernel log", _kernel_log),
    ("again", _again),
)
