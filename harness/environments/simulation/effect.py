"""Predicts what a filter does to this suite: whether a container starts, each probe's state, each scenario's verdict.

A prediction combines the simulated answers with the record of calls and of what their denial does.  It says what the
filter does, given that everything works without it.  Where the record does not show the effect of an answer, there is
no prediction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from worldswitch.harness.cell.probes.needs import IMPLIED, required
from worldswitch.harness.environments.oci import capabilities, seccomp
from worldswitch.harness.environments.oci.seccomp import SeccompTarget
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.simulation import record
from worldswitch.harness.environments.simulation.answer import Answer
from worldswitch.harness.environments.simulation.filter_simulator import Call, FilterSimulator
from worldswitch.harness.environments.simulation.record import Part, Record
from worldswitch.harness.verdict import SEVERITY, Verdict

IDLE = "idle"  #: the recorded probe that does nothing: its calls are those around every probe and trial
VERDICTS = {"no": Verdict.UNSUPPORTED, "denied": Verdict.BLOCKED}
#: What ptrace requests are called (include/uapi/linux/ptrace.h, arch/x86/include/uapi/asm/ptrace-abi.h).
REQUESTS = {
    0: "TRACEME",
    4: "POKETEXT",
    5: "POKEDATA",
    7: "CONT",
    8: "KILL",
    9: "SINGLESTEP",
    12: "GETREGS",
    13: "SETREGS",
    14: "GETFPREGS",
    15: "SETFPREGS",
    16: "ATTACH",
    17: "DETACH",
    24: "SYSCALL",
    30: "ARCH_PRCTL",
    1: "PEEKTEXT",
    2: "PEEKDATA",
    3: "PEEKUSER",
    6: "POKEUSER",
    31: "SYSEMU",
    32: "SYSEMU_SINGLESTEP",
    0x4200: "SETOPTIONS",
    0x4201: "GETEVENTMSG",
    0x4202: "GETSIGINFO",
    0x4203: "SETSIGINFO",
    0x4204: "GETREGSET",
    0x4205: "SETREGSET",
    0x4206: "SEIZE",
    0x4207: "INTERRUPT",
    0x4208: "LISTEN",
    0x4209: "PEEKSIGINFO",
    0x420A: "GETSIGMASK",
    0x420B: "SETSIGMASK",
    0x420C: "SECCOMP_GET_FILTER",
    0x420E: "GET_SYSCALL_INFO",
    0x420F: "GET_RSEQ_CONFIGURATION",
    0x4212: "SET_SYSCALL_INFO",
}

#: The values of six arguments that were not recorded.
ANY = ((0, (1 << 64) - 1),) * 6


@dataclass(frozen=True, slots=True)
class Denial:
    """A recorded call that the filter denies."""

    key: str
    answer: Answer
    certain: bool = True  #: False if the answer depends on an argument that the record lacks

    def __str__(self) -> str:
        depends = "" if self.certain else ", for some arguments"
        return f"{call_text(self.key)} is denied by {self.answer.rule} ({self.answer}){depends}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A scenario's predicted verdict; None if the record does not show it."""

    verdict: Verdict | None
    reason: str = ""
    unknown: Denial | None = None  #: the denial whose effect on this scenario is not recorded


class FilterEffect:
    """The effect of a filter on the suite."""

    def __init__(self, simulator: FilterSimulator, found: Record, runtime: str) -> None:
        self._simulator = simulator
        self._record = found
        self._runtime = runtime
        self._answered: dict[str, tuple[Denial, ...]] = {}

    def denials(self, keys: Iterable[str]) -> Iterator[Denial]:
        """Yield the calls that the filter denies, in the order of `keys`."""
        for key in keys:
            if key not in self._answered:
                self._answered[key] = tuple(self._denied(key))
            yield from self._answered[key]

    def _denied(self, key: str) -> Iterator[Denial]:
        name, arguments, architecture = record.parse(key)
        call = Call(name, arguments, architecture)
        call = self._simulator.with_ranges(call, self._record.ranges.get(name, ANY))
        try:
            answers = self._simulator.answers(call)
        except KeyError:
            return
        certain = not any(one.allowed for one in answers)
        for answer in answers:
            if not answer.allowed:
                yield Denial(key, answer, certain)
                return

    @cached_property
    def start(self) -> Prediction:
        """Whether a container starts, and the reference loads: PASS, MISS, or no verdict."""
        part = self._record.starts.get(self._runtime)
        if part is None:
            return Prediction(None, f"no start of {self._runtime} is recorded")
        fatal, perhaps = self._changes(part)
        if fatal:
            return Prediction(Verdict.MISS, f"no container starts: {fatal[0][0]}")
        return Prediction(None, f"perhaps no container starts: {perhaps[0]}") if perhaps else Prediction(Verdict.PASS)

    @property
    def combines(self) -> bool:
        """True if several calls of a start are denied, or calls that no record has: their effects are known singly."""
        part = self._record.starts[self._runtime]
        return len({one.key for one in self.denials(part.calls)}) > 1 or self._simulator.denies_by_default

    @cached_property
    def fatal(self) -> tuple[Denial, ...]:
        """The denials without which a container would start."""
        part = self._record.starts.get(self._runtime)
        return tuple(denial for denial, _ in self._changes(part)[0]) if part else ()

    def _changes(self, part: Part) -> tuple[list[tuple[Denial, str]], list[Denial]]:
        """Return the denials that change a part's outcome, with the outcome, and those whose effect is not known."""
        certain: list[tuple[Denial, str]] = []
        perhaps: list[Denial] = []
        for denial in self.denials(part.calls):
            known = part.effects.get(denial.key, {})
            answer = record.answer_name(denial.answer)
            if answer == record.FAKED and known:
                perhaps.append(denial)
            elif answer in known:
                if denial.certain:
                    certain.append((denial, known[answer]))
                else:
                    perhaps.append(denial)
        return certain, perhaps

    def probe(self, name: str) -> tuple[str, Denial | None]:
        """Return a probe's state under the filter, and the denial that changed it; an empty state is not known."""
        part = self._record.probes.get(name)
        if part is None:
            return "", None
        certain, perhaps = self._changes(part)
        order = [*part.calls]
        first = min(certain, key=lambda one: order.index(one[0].key), default=None)
        if first:
            return (first[1] if first[1] in ("yes", "no", "denied") else "no"), first[0]
        return ("", perhaps[0]) if perhaps else (part.outcome, None)

    def of(self, scenario: str, needs: Sequence[str]) -> Prediction:
        """Return the prediction for a scenario that names these probes."""
        if self.start.verdict is not Verdict.PASS:
            return self.start
        if self.platform.verdict is not Verdict.PASS:
            return self.platform
        needed = self.needs(required(needs))
        if needed.verdict is not Verdict.PASS or any(map(self._inverse, needs)):
            return needed  # a scenario about a denial meets it in its own calls
        return self._own(self._record.scenarios.get(scenario))

    @cached_property
    def platform(self) -> Prediction:
        """Whether the reference can be loaded: PASS, ERROR, or no verdict."""
        certain, perhaps = self._changes(self._record.platform)
        if certain:
            return Prediction(Verdict.ERROR, f"the platform cannot be loaded: {certain[0][0]}")
        if perhaps:
            return Prediction(None, f"perhaps the platform cannot be loaded: {perhaps[0]}")
        return Prediction(Verdict.PASS)

    def every(self) -> Iterator[Denial]:
        """Yield each recorded call that the filter denies, once."""
        whole = self._record
        start = whole.starts.get(self._runtime)
        parts = (*([start] if start else []), whole.platform, *whole.probes.values(), *whole.scenarios.values())
        yield from self.denials(dict.fromkeys(key for part in parts for key in part.calls))

    def needs(self, names: Iterable[str]) -> Prediction:
        """Return what the probes of these names mean for a scenario that needs them: PASS if they all answer yes."""
        found: list[Prediction] = []
        for name in names:
            state, denial = self.probe(name)
            if denial and not state:
                return Prediction(None, f"perhaps needs {name}: {denial}")
            if denial and state != "yes":
                found.append(Prediction(VERDICTS[state], f"needs {name}: {denial}"))
            elif not denial and self._inverse(name):
                found.append(Prediction(Verdict.UNSUPPORTED, f"needs {name}: the filter denies nothing of the kind"))
        return min(found, key=lambda one: _severity(one.verdict), default=Prediction(Verdict.PASS))

    def _inverse(self, name: str) -> bool:
        """True for a probe of a denial that is not there without the filter."""
        part = self._record.probes.get(name)
        return part is not None and part.outcome == "no" and any(name in denials for denials in IMPLIED.values())

    def _own(self, part: Part | None) -> Prediction:
        if part is None:
            return Prediction(None, "the record has no calls of this scenario")
        for denial in self.denials(part.calls):
            answer = record.answer_name(denial.answer)
            outcome = part.effects.get(denial.key, {}).get(answer)
            if outcome is None and not self._tolerated(denial.key, answer):
                return _perhaps(denial)
            if outcome:
                return Prediction(Verdict(outcome), str(denial)) if denial.certain else _perhaps(denial)
        return Prediction(Verdict.PASS)

    def _tolerated(self, key: str, answer: str) -> bool:
        """True if each trial makes the call, and its denial changes nothing."""
        parts = (self._record.probes[IDLE], self._record.platform)
        return any(key in part.calls and answer not in part.effects.get(key, {}) for part in parts)


def _perhaps(denial: Denial) -> Prediction:
    return Prediction(None, f"perhaps fails: {denial}", denial)


def _severity(verdict: Verdict | None) -> int:
    return SEVERITY.index(verdict) if verdict in SEVERITY else len(SEVERITY)


def call_text(key: str) -> str:
    """Return a call as text: ``ptrace(PTRACE_SEIZE)``, ``mmap(…, 0x5, 0x12)``."""
    name, arguments, architecture = record.parse(key)
    known = [one for one in arguments if one is not None]
    if name == "ptrace" and known and known[0] in REQUESTS:
        return f"ptrace(PTRACE_{REQUESTS[known[0]]})"
    shown = ", ".join(f"argument {index} = {one:#x}" for index, one in enumerate(arguments) if one is not None)
    prefix = f" of {architecture}" if architecture else ""
    return f"{name}{prefix}({shown})" if shown else f"{name}{prefix}"


def effect_of(profile: Profile, runtime: str, found: Record | None = None) -> FilterEffect | None:
    """Return the effect of a profile's filter; None if it has none, or this architecture has no record.

    Raises `library.Rejected`, and `Unobtainable` if the filter does not support the architecture.
    """
    found = found or record.load()
    if profile.seccomp == "unconfined" or not found:
        return None
    granted = capabilities.granted(profile.capabilities)
    return filter_effect(profile.filter or seccomp.default(), granted, runtime, found)


def filter_effect(text: str, granted: Collection[str], runtime: str, found: Record) -> FilterEffect | None:
    """Return the effect of a filter's text in a container with these capabilities; None if engines then use none."""
    resolved = seccomp.resolve(text, granted, SeccompTarget.here())
    if not resolved:
        return None
    written = places(json.loads(text).get("syscalls") or (), resolved["syscalls"])
    return FilterEffect(
        FilterSimulator(resolved, machine=found.machine, runtime=runtime, places=written), found, runtime
    )


def places(written: Sequence[Mapping[str, object]], resolved: Sequence[Mapping[str, object]]) -> dict[int, int]:
    """Return the place in the user's file of each rule that applies, which the OCI format numbers anew."""
    found: dict[int, int] = {}
    place = 0
    for number, rule in enumerate(resolved):
        while place < len(written) and not _same(written[place], rule):
            place += 1
        found[number] = place
        place += 1
    return found


def _same(written: Mapping[str, object], resolved: Mapping[str, object]) -> bool:
    names = written.get("names") or [written.get("name")]
    return names == resolved.get("names") and written["action"] == resolved["action"]
