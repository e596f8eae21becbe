"""Makes the shipped record of this architecture: calls, and the effect of their denial, by part.

probes, platform    here, as root, in PID and mount namespaces of their own
scenarios           here; the denials that the shipped filters contain are tried on each scenario that makes the call
starts              in containers of each installed runtime
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.environments.images import tree
from worldswitch.harness.environments.oci import runtime
from worldswitch.harness.environments.oci.container import OciSetup
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.environments.simulation import record
from worldswitch.harness.environments.simulation.call_numbers import AUDIT, X32_BIT
from worldswitch.harness.environments.simulation.effect import effect_of
from worldswitch.harness.environments.simulation.record import Part, Record
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.linux.uname import kernel
from worldswitch.harness.results.cell_file import read_reached
from worldswitch.harness.run.syscall_record import container_start, denials, marks, parts, unotify
from worldswitch.harness.run.syscall_record.compare import PLAIN, SLOWER
from worldswitch.harness.verdict import Verdict

PROFILE = "docker-default"  #: whose settings, but for the filter, the recorded containers have
HIGHEST = 1000  #: above every system call number
ROUNDS = 4  #: a denial hides those after it
TRIAL_SECONDS = 3600.0  #: for all scenarios that make a call
PASSING = (Verdict.PASS, Verdict.UNSUPPORTED)


def update(say: Say) -> Path:
    """Make the record of this machine's architecture; returns its path.  Raises `CouldNotRun`."""
    if os.geteuid():
        raise CouldNotRun("the probes of namespaces and control groups need root: run again as root")
    machine, workers = platform.machine(), len(os.sched_getaffinity(0))
    say("recording the calls of the probes")
    probed = _recorded([sys.executable, "-m", marks.__name__], say)
    calls = {part: tuple(probed.found[part]) for part in marks.PARTS}
    say("denying each call to each probe")
    tried = denials.effects(calls, workers)
    found = {name: _part(calls[name], tried[name]) for name in marks.PARTS}
    say("recording the calls of the scenarios")
    made = _recorded([*_pytest(), "-p", marks.__name__], say)
    starts, versions = _starts(machine, workers, say)
    whole = Record(
        machine=machine,
        made_on={"kernel": kernel(), "python": platform.python_version(), **versions},
        numbers={one: _numbers(one) for one in AUDIT},
        starts=starts,
        platform=found.pop(marks.PLATFORM),
        probes=found,
        scenarios=_trials(made, calls[marks.IDLE]),
        ranges={name: tuple((low, high) for low, high in one) for name, one in _merged(probed, made).items()},
    )
    _write(whole)  # what follows takes long, and may be interrupted
    return _write(_with_denials(whole, workers, say))


def _write(whole: Record) -> Path:
    path = record.file(whole.machine)
    path.write_text(text(whole))
    record.load.cache_clear()
    return path


def text(whole: Record) -> str:
    """Return a record as JSON with a line for each part, so that changes can be reviewed."""
    fields = (f"{json.dumps(name)}: {_lines(value)}" for name, value in msgspec.to_builtins(whole).items())
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _lines(value: object) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    entries = (f" {json.dumps(name)}: {json.dumps(one)}" for name, one in value.items())
    return "{\n" + ",\n".join(entries) + "\n}"


def _pytest() -> list[str]:
    return [sys.executable, "-m", "pytest", *PLAIN, "--pyargs", catalogue.SCENARIOS, "--repeat", "quick"]


def _recorded(command: Sequence[str], say: Say) -> parts.PartCalls:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        names = Path(folder, "parts")
        names.touch()
        noted = parts.PartCalls(names)
        slower = ["--time-scale", f"{SLOWER:g}"] if "pytest" in command else []
        environment = os.environ | {parts.FILE: str(names)}
        status = unotify.follow([*command, *slower], environment, log.fileno(), noted.note, lambda: say(noted.part))
        if status not in (0, 1):
            raise unotify.Unrecordable(f"the recorded program ended with status {status}")
        return noted


def _part(calls: Sequence[str], tried: Mapping[str, Mapping[str, str]]) -> Part:
    effects = {key: dict(found) for key, found in tried.items() if key}
    return Part(tuple(calls), tried[""][""], effects)


def _trials(made: parts.PartCalls, common: Sequence[str]) -> dict[str, Part]:
    """Return the calls of each scenario, without those around every probe and trial."""
    found = {name: tuple(key for key in keys if key not in common) for name, keys in made.found.items()}
    return {name: Part(keys) for name, keys in sorted(found.items()) if "::" in name}


def _merged(*noted: parts.PartCalls) -> dict[str, list[list[int]]]:
    merged: dict[str, list[list[int]]] = {}
    for one in noted:
        for name, seen in one.ranges.items():
            before = merged.setdefault(name, seen)
            merged[name] = [[min(a, c), max(b, d)] for (a, b), (c, d) in zip(before, seen, strict=True)]
    return merged


def _numbers(architecture: str) -> dict[str, int]:
    first = X32_BIT if architecture == "SCMP_ARCH_X32" else 0
    known = ((parts.compiler().name(number, architecture), number) for number in range(first, first + HIGHEST))
    return {name: number for name, number in known if name}


def _starts(machine: str, workers: int, say: Say) -> tuple[dict[str, Part], dict[str, str]]:
    """Return the record of a start for each runtime that works here, and its version."""
    run = RunResources.create()
    profile = profiles.load(profiles.available()[PROFILE])
    starts: dict[str, Part] = {}
    versions: dict[str, str] = {}
    try:
        runtime.obtain(run, install=False, say=say)
        image = tree.obtain(run, say)
        for one in runtime.installed():
            name, _, version = one.name.partition(" ")
            if refusal := runtime.probe(one, run):
                say(f"no start of {name} is recorded: {refusal}")
                continue
            say(f"denying each call to containers of {name}")
            starts[name] = container_start.observe(OciSetup(one, image, run), profile, machine, workers)
            versions[name] = version
    finally:
        run.close()
    return starts, versions


def _with_denials(whole: Record, workers: int, say: Say) -> Record:
    """Add the effects of the denials in the shipped filters on the scenarios that make the calls."""
    for _ in range(ROUNDS):
        wanted = dict.fromkeys(_unknown(whole))
        if not wanted:
            break
        for key, answer in wanted:
            say(f"denying {key} ({answer}) to the scenarios that make it")
            whole = _denied(whole, key, answer, workers)
    return whole


def _unknown(whole: Record) -> Iterator[tuple[str, str]]:
    """Yield the denials in shipped filters whose effect on a scenario is not recorded."""
    for profile in profiles.select([profiles.ALL]):
        effect = effect_of(profile, "runc", whole)
        if effect is None:
            continue
        for scenario in catalogue.scenarios():
            denial = effect.of(scenario.name, scenario.needs).unknown
            if denial and denial.certain:
                yield denial.key, record.answer_name(denial.answer)


def _denied(whole: Record, key: str, answer: str, workers: int) -> Record:
    names = [name for name, part in whole.scenarios.items() if key in part.calls]
    failed = _failing(key, answer, names, workers)
    failed = _failing(key, answer, list(failed), 1) if failed else {}  # once more alone: a busy machine fails some
    effect = {name: failed.get(name, "") for name in names}
    scenarios = {name: _adding(part, key, answer, effect.get(name)) for name, part in whole.scenarios.items()}
    return msgspec.structs.replace(whole, scenarios=scenarios)


def _failing(key: str, answer: str, names: Sequence[str], workers: int) -> dict[str, str]:
    """Return the verdict of each scenario that does not pass under a filter that denies a call."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results")
        command = [*denials.ISOLATED, sys.executable, "-m", denials.NAME, key, answer, *_pytest(), "-n", str(workers)]
        command += ["--worldswitch-results", str(results), *(word for name in names for word in ("--id", name))]
        subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=TRIAL_SECONDS, check=False
        )
        trials = read_reached(results).trials
    missed = set(names).difference(catalogue.function_of(one.scenario) for one in trials)
    failed = {catalogue.function_of(one.scenario): one.verdict for one in trials if one.verdict not in PASSING}
    return {name: str(verdict) for name, verdict in (failed | dict.fromkeys(missed, Verdict.MISS)).items()}


def _adding(part: Part, key: str, answer: str, outcome: str | None) -> Part:
    if outcome is None:
        return part
    return msgspec.structs.replace(part, effects=part.effects | {key: part.effects.get(key, {}) | {answer: outcome}})
