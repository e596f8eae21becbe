"""Whether the kernel that runs here is as a profile asks: seen in /proc, never by its version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from worldswitch.harness.environments.profiles.profile import YAMA, KernelSettings, Profile
from worldswitch.harness.errors import Unobtainable

PROC = Path("/proc")


def unmet(asked: KernelSettings, proc: Path = PROC) -> list[str]:
    """What a kernel has otherwise than is asked; nothing if it can be used as it is."""
    return [*_settings(asked, proc), *_command_line(asked, proc)]


def unavailable(profile: Profile) -> Unobtainable | None:
    """Why a profile cannot be had on this kernel, if it cannot."""
    if not (problems := unmet(profile.kernel)):
        return None
    return Unobtainable(
        f"the profile {profile.name} asks for another kernel than runs here: {'; '.join(problems)}",
        f"have one booted for it: worldswitch run --kernel 6.12 --profile {profile.name}",
    )


def required_sysctls(asked: KernelSettings) -> dict[str, str]:
    """Every setting to be written below /proc/sys, by its name."""
    return {**asked.sysctls, **({YAMA: str(asked.yama)} if asked.yama is not None else {})}


def _settings(asked: KernelSettings, proc: Path) -> Iterator[str]:
    for name, value in required_sysctls(asked).items():
        try:
            said = proc.joinpath("sys", *name.split(".")).read_text().split()
        except OSError:
            yield f"there is no {name}, which is to be {value}"
            continue
        if said != value.split():
            yield f"{name} is {' '.join(said)}, not {value}"


def _command_line(asked: KernelSettings, proc: Path) -> Iterator[str]:
    words = (proc / "cmdline").read_text().split()
    yield from (f"it was not booted with {word}" for word in asked.command_line if word not in words)
