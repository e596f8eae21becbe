"""Lists the profiles: what each restricts, its settings, and the engines that can run it on this machine."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from worldswitch.harness.environments.profiles import kernel_settings
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.kernel_settings import PROC
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.expectations.outcome import Status

ENGINES = ("docker", "oci")  #: can run a profile that needs no kernel settings
WIDTH = 110


def show(*, as_json: bool) -> Status:
    """Print the profiles."""
    found = profiles.select([profiles.ALL])
    if as_json:
        print(json.dumps([fields(profile) for profile in found], indent=2))
    else:
        print("\n".join(lines(found)))
    return Status.AS_EXPECTED


def engines(profile: Profile, proc: Path = PROC) -> tuple[str, ...]:
    """Return what can run a profile: values of `--engine`, and "kernel", a virtual machine."""
    return (*(() if kernel_settings.unmet(profile.kernel, proc) else ENGINES), "kernel")


def fields(profile: Profile, proc: Path = PROC) -> dict[str, Any]:
    """Return the profile and the engines that can run it, as plain values."""
    return {
        **profile.fields,
        "about": " ".join(profile.about.split()),
        "engines": engines(profile, proc),
        "unmet": kernel_settings.unmet(profile.kernel, proc),
    }


def lines(found: Sequence[Profile], proc: Path = PROC) -> Iterator[str]:
    """Yield the profiles as text; settings with default values are omitted."""
    for profile in found:
        usual = ", usual" if profile.usual else ""
        yield f"{profile.name}  ({', '.join(engines(profile, proc))}{usual})"
        yield from textwrap.wrap(
            " ".join(profile.about.split()), WIDTH, initial_indent="    ", subsequent_indent="    "
        )
        yield f"    {'; '.join(_made_of(profile))}"
        yield from (
            f"    not on this machine's own kernel: {why}" for why in kernel_settings.unmet(profile.kernel, proc)
        )
        yield ""
    yield "docker, oci: worldswitch run --engine ENGINE --profile NAME; kernel: with --kernel, in a virtual machine"
    yield "default: the engine's own setting; usual: run by default, if no profile is named"
    yield "--profile all: every profile that can run here"


def _made_of(profile: Profile) -> Iterator[str]:
    granted = profile.capabilities if isinstance(profile.capabilities, str) else " ".join(profile.capabilities)
    yield f"capabilities: {granted or 'none'}"
    yield f"filter: {profile.seccomp}"
    standard, own = Profile(profile.name, "-", (), "default"), profile.fields
    for name, value in standard.fields.items():
        if name not in ("about", "capabilities", "seccomp", "usual", "name") and own[name] != value:
            yield from _differences(name, own[name], value)


def _differences(name: str, own: Any, standard: Any) -> Iterator[str]:
    if not isinstance(own, dict):
        yield f"{name}: {_plain(own)}"
        return
    for key, value in own.items():
        if value != standard.get(key):
            yield f"{name}.{key}: {_plain(value)}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} = {one}" for name, one in value.items())
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
