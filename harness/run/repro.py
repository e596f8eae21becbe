"""Repeats one trial of an earlier run, alone.

Kernel, profile, platform or mutant, seed and repetitions are those in the run's folder.  What cannot be restored is
reported: the host's kernel, or a profile that has changed since.  Nothing is downloaded.
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

MUTANT = "mutant:"  #: prefix of a platform that is a mutant of the package


def command(cell: CellName, scenario: str, folder: Path) -> str:
    """Return the command that repeats a trial of the run in `folder`."""
    return f"worldswitch repro {shlex.quote(str(trial_id.of(cell, scenario, folder)))}"


def request(kept: KeptTrial) -> Request:
    """Return the request that repeats this trial alone."""
    try:
        earlier = msgspec.convert(kept.run.manifest.request, Request)
    except msgspec.ValidationError as problem:
        raise CouldNotRun(f"{kept.run.folder}: the request of the run is invalid: {problem}") from problem
    header, name = kept.cell.header, kept.cell.name
    return replace(
        earlier,
        platforms=(name.platform,),
        ids=(function_of(kept.judged.trial.scenario),),
        keyword="",
        all_facts=False,
        chaos=True,  # the trial may be one of chaos
        maxfail=0,
        only={},
        cells=(),
        whole=(),
        repeat=header.repeat if header else earlier.repeat_in(name.environment),
        seed=header.seed if header else earlier.seed,
        **(name.place | _kernel(name, earlier)),
    )


def effects(asked: Request) -> list[str]:
    """Return what the request does to this machine beyond running the package's own scenarios and platforms."""
    code = [name for name in asked.platforms if ":" in name and not name.startswith(MUTANT)]
    files = [name for name in asked.profiles if "/" in name or Path(name).suffix]
    images = [name for name in asked.kernels if "/" in name]
    return [
        *(f"run the code of the platform {name}" for name in code),
        *(f"start a container as the file {name} says" for name in files),
        *(f"boot the kernel {name}" for name in images),
        *(f"download the kernel {name} unless it is in the cache" for name in asked.kernels if name not in images),
        *(["install a container engine"] if asked.install_engine else []),
    ]


def check_trusted(kept: KeptTrial, asked: Request, results: Path) -> None:
    """Raise `CouldNotRun` if the run is not from the folder `results` and has `effects`."""
    folder = kept.run.folder.resolve()
    if not folder.is_relative_to(results.resolve()) and (found := effects(asked)):
        raise CouldNotRun(
            f"{kept.run.folder} is not a run of the folder {results}, and to repeat its trial would "
            f"{'; '.join(found)}. If you trust it, add --trust"
        )


def _kernel(name: CellName, earlier: Request) -> dict[str, tuple[str, ...]]:
    """Return the kernel image of the cell, if the kernels of the request were files."""
    if not name.kernel or name.kernel in earlier.kernels:
        return {}
    from worldswitch.harness.environments.kernels import image  # most trials need no kernel image

    environment = image.environment_of(name.kernel)
    files = (file for file in earlier.kernels if Path(file).is_file())
    found = next((file for file in files if image.from_file(Path(file)).environment == environment), None)
    return {"kernels": (found,)} if found else {}


def differences(kept: KeptTrial) -> Iterator[str]:
    """Yield the differences from the run that are known before the trial is repeated."""
    if header := kept.cell.header:
        before, now = header.fingerprint.versions.get("worldswitch"), fingerprint.versions()["worldswitch"]
        if before != now:
            yield f"worldswitch was {before}, now {now}"
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
    """Return the repeated trial; None if it did not run."""
    judged = (one for outcome in outcomes for one in outcome.judged)
    return next((one for one in judged if one.trial.scenario == kept.judged.trial.scenario), None)


def other_machine(kept: KeptTrial, folder: Path) -> Iterator[str]:
    """Yield the differences between the machines of the trial and of the run in `folder`, which repeated it.

    A virtual machine that shares this host with others has fewer processors than one alone.
    """
    cells = [cell for cell in reader.read(folder).cells if cell.header]
    was, now = kept.cell.header, cells[0].header if cells else None
    if was and now:
        if was.fingerprint.kernel != now.fingerprint.kernel:
            yield f"the kernel was {was.fingerprint.kernel}, now {now.fingerprint.kernel}"
        if was.fingerprint.cpus != now.fingerprint.cpus:
            yield f"the number of processors was {was.fingerprint.cpus}, now {now.fingerprint.cpus}"


def result(kept: KeptTrial, now: Judged | None) -> str:
    """Return the line that says whether the trial was reproduced."""
    was = kept.judged.trial.verdict.value
    if now is None or not now.trial.verdict.is_verdict:
        reason = f": {now.trial.reason}" if now else ""
        return f"not run here: it was {was} in {kept.run.folder}{reason}"
    if now.trial.verdict is kept.judged.trial.verdict:
        return f"reproduced: {was}, as in {kept.run.folder}"
    return f"not reproduced: {now.trial.verdict.value} here, {was} in {kept.run.folder}"
