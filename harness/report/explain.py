"""Explains one trial of a saved run: the claim, the expectation, what happened, and the relevant probes.

Everything is read from the run's folder, except the texts of clauses, which are the installed ones.  For each denial,
the explanation names the probable cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from worldswitch.harness.catalogue import clauses, scenarios
from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.cell.diagnosis import text
from worldswitch.harness.cell.probes import (
    cgroups,
    cpu,
    memory,
    platform_calls,
    policy,
    ptrace,
    stub_calls,
    user_namespaces,
)
from worldswitch.harness.cell.probes.needs import required
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.expectations.judgement import PASSES
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.report import denied_requests, eperm, prediction
from worldswitch.harness.results.trial_id import KeptTrial
from worldswitch.harness.run import repro

LINES = 40  #: the last lines of a long text; the folder has the rest
EVENTS = 40  #: the last events

#: Families of probes: if one probe of a family is needed, the others may explain the verdict.
FAMILIES = (
    *(ptrace.PROBES, platform_calls.PROBES, stub_calls.PROBES),
    *(cpu.PROBES, memory.PROBES, {**policy.PROBES, **user_namespaces.PROBES}, cgroups.PROBES),
)

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


def sections(saved: KeptTrial) -> list[Section]:
    """The sections of the explanation that are not empty."""
    parts = (Section(title, tuple(make(saved))) for title, make in _PARTS)
    return [section for section in parts if section.lines]


def show(saved: KeptTrial, out: Console) -> None:
    """Print the explanation."""
    for section in sections(saved):
        out.print(Text(section.title, style="bold"))
        for line in section.lines:
            out.print(Text(f"  {line}"))
        out.print()


# ------------------------------------------------------------------------------------------------------------ the parts


def _trial(saved: KeptTrial) -> Iterator[str]:
    header, trial = saved.cell.header, saved.judged.trial
    word = "as expected" if saved.judged.judgement.expected else "not as expected"
    yield f"{saved.id.cell}::{trial.scenario}: {trial.verdict.value}, {word}"
    yield f"run {saved.run.folder}, seed {saved.run.manifest.seed}"
    if header:
        yield f"{header.fingerprint.kernel}, {header.repeat} repetitions, {trial.seconds:.1f} s"
    # The kernel is fetched, and the machine booted, after the plan is made: the cell's header has more facts.
    facts = {key: value for key, value in header.environment.items() if key != "name"} if header else {}
    yield from (f"{key}: {value}" for key, value in {**saved.cell.plan.facts, **facts}.items())


def _claim(saved: KeptTrial) -> Iterator[str]:
    trial = saved.judged.trial
    if trial.claim:
        yield from f"{' '.join(trial.ids)}: {trial.claim}".splitlines()


def _clauses(saved: KeptTrial) -> Iterator[str]:
    try:
        known: Mapping[str, str] = clauses.listed()
    except NotFound:
        known = {}
    for clause in saved.judged.trial.clauses:
        yield f"{clause}: {known[clause]}" if clause in known else clause


def _expected(saved: KeptTrial) -> Iterator[str]:
    judgement = saved.judged.judgement
    wanted = " or ".join(sorted(verdict.value for verdict in judgement.wanted))
    if judgement.wanted == PASSES and not judgement.reason:
        yield "pass: no rule covers this trial"
        return
    yield f"{wanted}: {judgement.reason}"
    if judgement.rule:
        yield f"rule: {judgement.rule}"
    yield from (f"evidence: {one}" for one in judgement.evidence)


def _predicted(saved: KeptTrial) -> Iterator[str]:
    """What the filter was predicted to do to this trial."""
    verdict, reason = prediction.predicted(saved.cell, saved.judged.trial.scenario)
    if saved.cell.plan.forecast:
        said = f"{verdict or 'no prediction'}{f': {reason}' if reason else ''}"
        yield said if prediction.agrees(saved.cell, saved.judged) else f"{said}; the observed verdict differs"


def _happened(saved: KeptTrial) -> Iterator[str]:
    trial = saved.judged.trial
    yield f"{trial.verdict.value}: {trial.reason}" if trial.reason else trial.verdict.value
    yield from (f"an earlier attempt: {reason}" for reason in trial.attempts)
    if saved.cell.problem:
        yield f"the cell: {saved.cell.problem.reason}"
        if saved.cell.problem.remedy:
            yield f"what to do: {saved.cell.problem.remedy}"


def _end(lines: Sequence[str]) -> Iterator[str]:
    if len(lines) > LINES:
        yield f"... {len(lines) - LINES} earlier lines"
    yield from lines[-LINES:]


def _detail(saved: KeptTrial) -> Iterator[str]:
    return _end(saved.judged.trial.detail.splitlines())


def _transcript(saved: KeptTrial) -> Iterator[str]:
    return _end(saved.judged.trial.transcript)


def _output(saved: KeptTrial) -> Iterator[str]:
    return _end(text.output(saved.judged.trial.output).splitlines())


def _events(saved: KeptTrial) -> Iterator[str]:
    yield from text.events(saved.judged.trial.diagnosis, EVENTS)


def _processes(saved: KeptTrial) -> Iterator[str]:
    diagnosis = saved.judged.trial.diagnosis
    if diagnosis and diagnosis.processes:
        yield f"{diagnosis.moment}:"
        yield from text.processes(diagnosis, whole=True)


# --------------------------------------------------------------------------------------------------- probes and denials


def _found(saved: KeptTrial) -> Mapping[str, ProbeResult]:
    return saved.cell.header.fingerprint.probes if saved.cell.header else {}


def needs(saved: KeptTrial) -> tuple[str, ...]:
    """The probes that the scenario needs, including those that every scenario needs."""
    function = scenarios.function_of(saved.judged.trial.scenario)
    named = next((one.needs for one in saved.run.manifest.scenarios if one.name == function), ())
    return required(named)


def _probes(saved: KeptTrial) -> Iterator[str]:
    """The needed probes, and the others of the same families that did not answer yes."""
    found, needed = _found(saved), needs(saved)
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


def _cause(saved: KeptTrial) -> Iterator[str]:
    """The cause of each denial that the trial met, by the evidence of what was denied."""
    known = saved.cell.header.fingerprint.confinement if saved.cell.header else None
    found = {name: one for name in needs(saved) if (one := _found(saved).get(name)) and one.state == "denied"}
    denials = list(denied_requests.of(saved.judged.trial, known, found))
    others = {name: one for name, one in found.items() if name not in ptrace.PROBES}
    if not (denials or others) and (said := denied_requests.errno_in(_message(saved))):
        others = {"an operation": ProbeResult("denied", said)}
    if (denials or others) and known is None:
        yield "unknown: the run did not record this process's confinement"
    elif known:
        for denial in denials:
            yield from eperm.lines(known, denial.request, denial.error, own_thread=denial.own_thread)
        for name, result in others.items():
            yield from _other(name, result, known)


def _message(saved: KeptTrial) -> str:
    return f"{saved.judged.trial.reason}\n{saved.judged.trial.detail}"


def _other(name: str, found: ProbeResult, known: Confinement) -> Iterator[str]:
    """The cause of a denial outside ptrace: what the probe saw, or a missing capability, which suffices."""
    said = f"{name}: {found.detail}"
    number, capability = CAPABILITIES.get(name, (None, ""))
    if found.remedy:
        yield said
        yield f"what to do: {found.remedy}"
    elif number is not None and not known.may(number):
        yield f"{said}: capability: it needs {capability}, which this process lacks"
    elif known.seccomp == 2:
        yield f"{said}: perhaps seccomp: a filter is in force, and no needed capability is missing"
    else:
        modules = f"{known.modules}, {known.label}".strip(", ") or "the active modules are not visible here"
        yield f"{said}: perhaps a security module or mount options: {modules}"


def _kernel_log(saved: KeptTrial) -> Iterator[str]:
    """The log of the kernel booted for the cell: first its warnings and faults, then its last lines."""
    log = saved.cell.reached.kernel_log
    if log:
        yield from (f"{one.meaning}: {one.line}" for one in log.complaints)
        yield from _end(log.lines)


def _again(saved: KeptTrial) -> Iterator[str]:
    yield repro.command(saved.cell.name, saved.judged.trial.scenario, saved.run.folder)


#: In the order of output.
_PARTS: tuple[tuple[str, Callable[[KeptTrial], Iterator[str]]], ...] = (
    ("trial", _trial),
    ("claim", _claim),
    ("clauses", _clauses),
    ("expected", _expected),
    ("predicted from the filter", _predicted),
    ("what happened", _happened),
    ("cause of the denial", _cause),
    ("relevant probes", _probes),
    ("assertion", _detail),
    ("transcript", _transcript),
    ("output", _output),
    ("last ptrace events", _events),
    ("processes", _processes),
    ("kernel log", _kernel_log),
    ("again", _again),
)
