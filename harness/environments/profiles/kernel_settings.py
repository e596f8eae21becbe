"""Compare the running kernel with a profile's kernel table: observed in /proc, never by its version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from worldswitch.harness.environments.profiles.profile import YAMA, KernelSettings, Profile
from worldswitch.harness.errors import Unobtainable

PROC = Path("/proc")


def unmet(required: KernelSettings, proc: Path = PROC) -> list[str]:
    """Return the differences between the running kernel and `required`; empty if there are none."""
    return [*_settings(required, proc), *_command_line(required, proc)]


def unavailable(profile: Profile) -> Unobtainable | None:
    """Return why a profile is unavailable on this kernel; None if it is available."""
    if not (problems := unmet(profile.kernel)):
        return None
    return Unobtainable(
        f"the profile {profile.name} needs other kernel settings: {'; '.join(problems)}",
        f"boot a kernel with these settings: worldswitch run --kernel 6.12 --profile {profile.name}",
    )


def required_sysctls(required: KernelSettings) -> dict[str, str]:
    """Return the sysctls to set, by dotted name."""
    return {**required.sysctls, **({YAMA: str(required.yama)} if required.yama is not None else {})}


def _settings(required: KernelSettings, proc: Path) -> Iterator[str]:
    for name, value in required_sysctls(required).items():
        try:
            found = proc.joinpath("sys", *name.split(".")).read_text().split()
        except OSError:
            yield f"{name} is missing and must be {value}"
            continue
        if found != value.split():
            yield f"{name} is {' '.join(found)}, not {value}"


def _command_line(required: KernelSettings, proc: Path) -> Iterator[str]:
    try:
        words = (proc / "cmdline").read_text().split()
    except OSError:
        yield from (f"{proc / 'cmdline'}, which must have {word}, cannot be read" for word in required.command_line)
        return
    yield from (f"it was not booted with {word}" for word in required.command_line if word not in words)
