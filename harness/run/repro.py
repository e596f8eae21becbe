"""One trial of a kept run, once more: alone, and as it was.

What is restored is what the run's folder tells: kernel, profile, platform or mutant, seed and repetitions.  What cannot
be is said: a host's kernel, or a profile that has changed since.  Nothing is asked of a network.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from worldswitch.harness.catalogue.scenarios import function_of
from worldswitch.harness.cell.probes import fingerprint
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import CellOutcome, Judged
from worldswitch.harness.results import reader, trial_id
from worldswitch.harness.results.trial_id import KeptTrial
from worldswitch.harness.run.request import Request


def command(cell: CellName, scenario: str, folder: Path) -> str:
    """The command that repeats a trial of the run in `folder`."""
    return f"worldswitch repro {shlex.quote(str(trial_id.of(cell, scenario, folder)))}"


def request(kept: KeptTrial) -> Request:
    """What to ask for to have this trial again, alone."""
    try:
        asked = msgspec.convert(kept.run.manifest.request, Request)
    except msgspec.ValidationError as problem:
        raise CouldNotRun(f"{kept.run.folder}: what was asked for cannot be read: {problem}") from problem
    header, name = kept.cell.header, kept.cell.name
    return replace(
        asked,
        platforms=(name.platform,),
        ids=(function_of(kept.judged.trial.scenario),),
        keyword="",
        chaos=True,  # it was among those that ran
        repeat=header.repeat if header else asked.repeat_in(name.environment),
        seed=header.seed if header else asked.seed,
        **(name.place | _kernel(name, asked)),
    )


def _kernel(name: CellName, asked: Request) -> dict[str, tuple[str, ...]]:
    """Of kernels that were given as files, the one that the cell is called after."""
    if not name.kernel or name.kernel in asked.kernels:
        return {}
    from worldswitch.harness.environments.kernels import image  # which most trials do without

    environment = image.environment_of(name.kernel)
    files = (file for file in asked.kernels if Path(file).is_file())
    found = next((file for file in files if image.from_file(Path(file)).environment == environment), None)
    return {"kernels": (found,)} if found else {}


def differences(kept: KeptTrial) -> Iterator[str]:
    """What is not as it was in the run, as far as can be told before it is tried."""
    if header := kept.cell.header:
        was_version, is_version = header.fingerprint.versions.get("worldswitch"), fingerprint.versions()["worldswitch"]
        if was_version != is_version:
            yield f"worldswitch was {was_version}, and is {is_version}"
    if kept.cell.plan.profile:
        yield from _of_profile(kept)


def _of_profile(kept: KeptTrial) -> Iterator[str]:
    for name in kept.cell.name.profiles:
        try:
            (profile,) = profiles.select((name,))
        except profiles.ProfileError as problem:
            yield f"the profile {name}: {problem}"
            continue
        now = msgspec.to_builtins(profile)
        changed = [field for field, value in kept.cell.plan.profile.items() if now.get(field) != value]
        if changed:
            yield f"the profile {name} has changed: {', '.join(sorted(changed))}"


def again(kept: KeptTrial, outcomes: list[CellOutcome]) -> Judged | None:
    """What came of it this time; None if it never ran."""
    judged = (one for outcome in outcomes for one in outcome.judged)
    return next((one for one in judged if one.trial.scenario == kept.judged.trial.scenario), None)


def other_machine(kept: KeptTrial, folder: Path) -> Iterator[str]:
    """What is to be said of the machine that the trial met this time, in the run that left `folder`.

    Guests that share this host with others have fewer processors than one alone.
    """
    cells = [cell for cell in reader.read(folder).cells if cell.header]
    was, now = kept.cell.header, cells[0].header if cells else None
    if was and now:
        if was.fingerprint.kernel != now.fingerprint.kernel:
            yield f"the kernel was {was.fingerprint.kernel}, and is {now.fingerprint.kernel}"
        if was.fingerprint.cpus != now.fingerprint.cpus:
            yield f"the processors were {was.fingerprint.cpus}, and are {now.fingerprint.cpus}"


def result(kept: KeptTrial, now: Judged | None) -> str:
    """Whether it came to the same."""
    was = kept.judged.trial.verdict.value
    if now is None or not now.trial.verdict.is_verdict:
        reason = f": {now.trial.reason}" if now else ""
        return f"not tried: it was {was} in {kept.run.folder}, and could not be run here{reason}"
    if now.trial.verdict is kept.judged.trial.verdict:
        return f"reproduced: {was}, as in {kept.run.folder}"
    return f"not reproduced: {now.trial.verdict.value} here, and {was} in {kept.run.folder}"
