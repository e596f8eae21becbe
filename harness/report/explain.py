"""One trial of a kept run, explained: what was claimed, what was expected and why, what happened, and what bears on it.

Everything comes from the run's folder; the texts of clauses and rules are today's.  An EPERM is always put down to the
one who said it.
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

#: So many lines of a long text; the folder has the rest.
LINES = 40

#: The last events that are shown.
EVENTS = 40

FAMILIES = (ptrace.PROBES, stub_calls.PROBES, cpu.PROBES, memory.PROBES, policy.PROBES, cgroups.PROBES)

#: The capability that what a probe tries takes, by its number and its name in include/uapi/linux/capability.h.
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
    """The parts that have something to say, in the order in which one reads them."""
    made = (Section(title, tuple(make(kept))) for title, make in _PARTS)
    return [section for section in made if section.lines]


def show(kept: KeptTrial, out: Console) -> None:
    """Print them: with colour where somebody watches, else plain."""
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
    # A kernel is fetched, and a machine booted, after the plan is made: the cell knows more.
    met = {key: value for key, value in header.environment.items() if key != "name"} if header else {}
    yield from (f"{key}: {value}" for key, value in {**kept.cell.plan.facts, **met}.items())


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
        yield "pass, as of every scenario that no rule speaks of"
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
        yield f"... {len(lines) - LINES} lines before"
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
        yield f"as they were {diagnosis.moment}:"
        yield from text.processes(diagnosis, whole=True)


# ----------------------------------------------------------------------------------------------------- probes and EPERM


def _found(kept: KeptTrial) -> Mapping[str, ProbeResult]:
    return kept.cell.header.fingerprint.probes if kept.cell.header else {}


def needs(kept: KeptTrial) -> tuple[str, ...]:
    """The probes that the scenario needs, with those that it need not name."""
    function = scenarios.function_of(kept.judged.trial.scenario)
    named = next((one.needs for one in kept.run.manifest.scenarios if one.name == function), ())
    return required(named)


def _probes(kept: KeptTrial) -> Iterator[str]:
    """Those that it needs, and of the same families those that did not find what they look for."""
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
    return f"{finding.state}: {finding.detail}" if finding else "not looked for"


def _eperm(kept: KeptTrial) -> Iterator[str]:
    """Of each EPERM that had a part in it: who said it."""
    known = kept.cell.header.fingerprint.confinement if kept.cell.header else None
    denied = [name for name in needs(kept) if (one := _found(kept).get(name)) and one.state == "denied"]
    requests = _refused_requests(kept, ptrace_denied=any(name in ptrace.PROBES for name in denied))
    others = [name for name in denied if name not in ptrace.PROBES]
    if not (requests or others) and any(_NAMED.search(line) for line in _said_of_it(kept)):
        others = ["what was refused"]
    if (requests or others) and known is None:
        yield "who could have said it was not looked at in this run"
    elif known:
        for request in requests:
            yield from eperm.told(known, request)
        for name in others:
            yield _other(name, known)


_NAMED = re.compile(r"\bEPERM\b|Operation not permitted")
_REQUEST = re.compile(r"PTRACE_[A-Z]+|ptrace|attach")


def _said_of_it(kept: KeptTrial) -> list[str]:
    return [*kept.judged.trial.reason.splitlines(), *kept.judged.trial.detail.splitlines()]


def _refused_requests(kept: KeptTrial, *, ptrace_denied: bool) -> list[str]:
    """The ptrace requests that were refused: as the recorder has it, else as the texts say."""
    diagnosis = kept.judged.trial.diagnosis
    events = diagnosis.events if diagnosis else ()
    refused = [one.request for one in events if one.result == "EPERM" and one.request != "wait4"]
    if not refused:
        named = [_REQUEST.findall(line) for line in _said_of_it(kept) if _NAMED.search(line)]
        words = [word for words in named for word in words]
        refused = [word for word in words if word.startswith("PTRACE_")]
        if not refused and (words or ptrace_denied):
            refused = ["PTRACE_SEIZE"]
    return list(dict.fromkeys(refused))


def _other(name: str, known: Confinement) -> str:
    """Who refused what is not ptrace: without the capability that it takes, nobody else need be asked."""
    number, capability = CAPABILITIES.get(name, (None, ""))
    if number is not None and not known.may(number):
        return f"{name}: EPERM: capability: it takes {capability}, which is not there"
    if known.seccomp == 2:
        return f"{name}: EPERM: seccomp, by elimination: filters are in force, and it lacks no capability that is known"
    who = f"{known.modules}, {known.label}".strip(", ") or "which are in force cannot be seen here"
    return f"{name}: EPERM: a security module or the mount's own rules, by elimination: {who}"


def _kernel_log(kept: KeptTrial) -> Iterator[str]:
    """What a kernel that was booted for the cell logged: first what no kernel should, then its last words."""
    log = kept.cell.reached.kernel_log
    if log:
        yield from (f"{one.meaning}: {one.line}" for one in log.complaints)
        yield from _end(log.lines)


def _again(kept: KeptTrial) -> Iterator[str]:
    yield repro.command(kept.cell.name, kept.judged.trial.scenario, kept.run.folder)


#: In the order in which one reads them.
_PARTS: tuple[tuple[str, Callable[[KeptTrial], Iterator[str]]], ...] = (
    ("trial", _trial),
    ("claim", _claim),
    ("stands on", _clauses),
    ("expected", _expected),
    ("what happened", _happened),
    ("not permitted, by whom", _eperm),
    ("probes that bear on it", _probes),
    ("assertion", _detail),
    ("transcript", _transcript),
    ("output", _output),
    ("last ptrace events", _events),
    ("who was there", _processes),
    ("kernel log", _kernel_log),
    ("again", _again),
)
