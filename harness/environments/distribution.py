"""The command that installs a package on this distribution, from one table of names."""

from __future__ import annotations

import platform
from collections.abc import Mapping

#: The names of a package, by Debian's: there and on Ubuntu, on Fedora, and on Arch Linux.
_PACKAGES: Mapping[str, tuple[str, str, str]] = {
    "docker.io": ("docker.io", "moby-engine", "docker"),
    "python3-dev gcc": ("python3-dev gcc", "python3-devel gcc", "gcc"),
    "runc": ("runc", "runc", "runc"),
    "uidmap": ("uidmap", "shadow-utils", "shadow"),
}

#: The commands in the order of those names, with the words of ID or ID_LIKE in /etc/os-release.
_COMMANDS: Mapping[str, frozenset[str]] = {
    "apt-get install": frozenset(("debian", "ubuntu")),
    "dnf install": frozenset(("fedora", "rhel", "centos")),
    "pacman -S": frozenset(("arch",)),
}


def install(package: str) -> str:
    """Return the command that installs a package, named as on Debian; on an unknown distribution, all commands."""
    commands = [f"{command} {name}" for command, name in zip(_COMMANDS, _PACKAGES[package], strict=True)]
    here = [command for command, ids in zip(commands, _COMMANDS.values(), strict=True) if ids & _ids()]
    return here[0] if here else f"{', '.join(commands[:-1])} or {commands[-1]}"


def _ids() -> set[str]:
    try:
        fields = platform.freedesktop_os_release()
    except OSError:
        return set()
    return {fields.get("ID", ""), *fields.get("ID_LIKE", "").split()}
