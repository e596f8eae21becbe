"""Compare what confines this process with the settings of a profile, where a process can see it.

A setting that cannot be seen, because /proc does not show it, is not compared.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from worldswitch.harness.linux import cgroups

PROC = Path("/proc")
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
FLAGS = {"ro": "rw", "noexec": "exec", "nosuid": "suid", "nodev": "dev"}
RLIMIT_LOCKS = 10  # asm-generic/resource.h; Python has no name for it
LAST_CAPABILITY = "sys/kernel/cap_last_cap"


def differences(settings: Mapping[str, Any], proc: Path = PROC) -> list[str]:
    """Return a sentence for each setting that this process does not have; empty if it has all that can be seen."""
    return [
        *_identity(settings),
        *_status(settings, _fields(proc / "self/status"), proc),
        *_label(settings, proc),
        *_root(settings["read_only"]),
        *_mounts(settings["mounts"], proc),
        *(f"there is no device {path}" for path in settings["devices"] if not _is_device(path)),
        *_limits(settings["ulimits"]),
        *_group_limits(settings["limits"]),
    ]


def _identity(settings: Mapping[str, Any]) -> Iterator[str]:
    if (found := [os.getuid(), os.getgid()]) != settings["user"]:
        yield f"user and group are {_ids(found)}, not {_ids(settings['user'])}"
    if missing := sorted(set(settings["groups"]) - set(os.getgroups())):
        yield f"the process is not in the groups {' '.join(map(str, missing))}"


def _ids(pair: Sequence[int]) -> str:
    return ":".join(map(str, pair))


def _fields(status: Path) -> dict[str, str]:
    with suppress(OSError):
        lines = (line.partition(":") for line in status.read_text().splitlines())
        return {name: value.strip() for name, _, value in lines}
    return {}


def _status(settings: Mapping[str, Any], shown: Mapping[str, str], proc: Path) -> Iterator[str]:
    if settings["seccomp"] and shown.get("Seccomp") == "0":
        yield "no seccomp filter is in force"
    if settings["no_new_privileges"] and shown.get("NoNewPrivs") == "0":
        yield "no_new_privs is not set"
    if settings["capabilities"] is not None and "CapBnd" in shown:
        yield from _capabilities(_granted(settings, proc), int(shown["CapBnd"], 16))


def withheld(settings: Mapping[str, Any], proc: Path = PROC) -> list[str]:
    """Return the granted capabilities that this process's bounding set does not have."""
    bounding = int(_fields(proc / "self/status").get("CapBnd", "f" * 16), 16)
    return [name for name, number in _granted(settings, proc).items() if not bounding >> number & 1]


def _granted(settings: Mapping[str, Any], proc: Path) -> dict[str, int]:
    granted: dict[str, int] = settings["capabilities"] or {}
    last = _last_capability(proc) if settings["every_capability"] else max(granted.values(), default=0)
    return {name: number for name, number in granted.items() if number <= last}


def _last_capability(proc: Path) -> int:
    try:
        return int((proc / LAST_CAPABILITY).read_text())
    except (OSError, ValueError):
        return 63


def _capabilities(granted: Mapping[str, int], bounding: int) -> Iterator[str]:
    """Compare the bounding set: a process that is not root has no other."""
    if missing := [name for name, number in granted.items() if not bounding >> number & 1]:
        yield f"the container does not have {' '.join(missing)}"
    if more := [str(bit) for bit in range(64) if bounding >> bit & 1 and bit not in granted.values()]:
        yield f"the container also has the capabilities of the numbers {' '.join(more)} (linux/capability.h)"


def _label(settings: Mapping[str, Any], proc: Path) -> Iterator[str]:
    wanted, shown = settings["apparmor"], _read_label(proc, "apparmor")
    # "docker-default (enforce)"; without AppArmor nothing is confined by it
    if wanted and shown.partition(" ")[0] != wanted and (shown or wanted != "unconfined"):
        yield f"the AppArmor profile is {shown or 'none: the kernel shows no AppArmor label'}, not {wanted}"
    parts = dict(zip(("user", "role", "type", "level"), _read_label(proc, "selinux").split(":", 3), strict=False))
    for option in settings["selinux"]:
        name, _, value = option.partition(":")
        if option != "disable" and parts.get(name) != value:
            has = parts.get(name) or "none: the kernel shows no SELinux label"
            yield f"the {name} of the SELinux label is {has}, not {value}"


def _read_label(proc: Path, module: str) -> str:
    """Return this process's label of a security module; empty if there is none."""
    with suppress(OSError):
        return (proc / "self/attr" / module / "current").read_text().strip("\0\n")
    with suppress(OSError):
        label = (proc / "self/attr/current").read_text().strip("\0\n")
        # The file is that of the module that shows labels here; an SELinux label has at least three colons.
        return label if (label.count(":") >= 2) is (module == "selinux") else ""
    return ""


def _root(read_only: bool) -> Iterator[str]:
    if bool(os.statvfs("/").f_flag & os.ST_RDONLY) is not read_only:
        yield "the root is writable" if read_only else "the root is read-only"


def _mounts(wanted: Sequence[Mapping[str, Any]], proc: Path) -> Iterator[str]:
    try:
        found = dict(map(_mounted, (proc / "self/mountinfo").read_text().splitlines()))
    except OSError:
        return
    for mount in wanted:
        kind, options = found.get(mount["target"], ("", ()))
        if not kind or (mount["type"] == "tmpfs" and kind != "tmpfs"):
            yield f"{mount['target']} is {kind or 'not a mount'}, not {mount['type']}"
        else:
            yield from (f"{mount['target']} is {problem}" for problem in _options(mount["options"], options))


def _mounted(line: str) -> tuple[str, tuple[str, tuple[str, ...]]]:
    """Return target, type and options of a line of mountinfo (proc(5)); a later mount hides an earlier one."""
    before, _, after = line.partition(" - ")
    target, own = before.split()[4:6]
    kind, _, whole = after.split(" ", 2)
    path = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), target)
    return path, (kind, (*own.split(","), *whole.split(",")))


def _options(wanted: Sequence[str], shown: Sequence[str]) -> Iterator[str]:
    for flag, opposite in FLAGS.items():
        if flag in wanted and flag not in shown:
            yield f"not {flag}"
        if opposite in wanted and flag in shown:
            yield f"{flag}, not {opposite}"
    sizes = dict(option.split("=", 1) for option in shown if "=" in option)
    for option in wanted:
        name, _, value = option.partition("=")
        if name == "size" and not value.endswith("%") and _bytes(sizes.get(name, "0")) != _bytes(value):
            yield f"of size {sizes.get(name, 'unknown')}, not {value}"


def _bytes(size: str) -> int:
    return int(size[:-1]) * UNITS[size[-1]] if size[-1] in UNITS else int(size)


def _is_device(path: str) -> bool:
    return Path(path).is_char_device() or Path(path).is_block_device()


def _limits(wanted: Mapping[str, Sequence[int]]) -> Iterator[str]:
    for name, limits in wanted.items():
        number = RLIMIT_LOCKS if name == "locks" else getattr(resource, f"RLIMIT_{name.upper()}")
        if (found := list(resource.getrlimit(number))) != list(limits):
            yield f"the limit {name} is {_ids(found)}, not {_ids(limits)}"


#: The files of a control group with its limits, in version 1 and 2.
GROUP_LIMITS = {"memory": ("memory.max", "memory.limit_in_bytes"), "pids": ("pids.max",)}


def _group_limits(wanted: Mapping[str, int]) -> Iterator[str]:
    """Compare the limits of this process's nearest visible control group; an outer group may limit it further."""
    for name, most in wanted.items():
        found = _group_limit(GROUP_LIMITS[name])
        if found and (found == "max" or int(found) > most):
            yield f"the control group's limit of {name} is {found}, not {most}"


def _group_limit(files: Sequence[str]) -> str:
    with suppress(OSError):
        groups = [next(membership.upwards(), None) for membership in cgroups.memberships()]
        for file in (group / name for group in groups if group for name in files):
            with suppress(OSError):
                return file.read_text().strip()
    return ""
