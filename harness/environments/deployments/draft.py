"""A profile under construction: its fields, its filter, and what of the deployment it cannot have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from worldswitch.harness.environments.deployments.document import DeploymentError, Value
from worldswitch.harness.environments.filters.filter_file import Filter
from worldswitch.harness.environments.oci.capabilities import USUAL
from worldswitch.harness.environments.profiles.mounts import Mount
from worldswitch.harness.environments.profiles.profile import CONTAINER_SYSCTLS
from worldswitch.harness.linux import regular_file
from worldswitch.harness.linux.capabilities import EVERY

LEAST_PIDS = 16
IMAGE_S = "the suite's own image takes its place"


@dataclass
class Draft:
    """A profile under construction."""

    origin: str  #: which container of which source
    name: str  #: the container's
    folder: Path = Path()  #: of the source, for relative paths
    fields: dict[str, Any] = field(default_factory=lambda: {"capabilities": "default", "seccomp": "default"})
    filter: Filter | None = None
    lost: list[str] = field(default_factory=list)  #: what the profile cannot have, and why
    mounts: list[dict[str, Any]] = field(default_factory=list)

    def lose(self, place: str, why: str) -> None:
        """Note something that the profile does not have."""
        self.lost.append(f"{place}: {why}")

    def lose_rest(self, value: Value, known: Iterable[str], reasons: dict[str, str], irrelevant: Iterable[str]) -> None:
        """Note each field of a table that nothing has read; those of the image and its start in one line."""
        rest = [name for name, one in value.members() if one and one.content is not False and name not in known]
        for name in rest:
            if name not in irrelevant:
                self.lose(f"{value.field}.{name}".lstrip("."), reasons.get(name, "a profile has no such field"))
        if other := [name for name in rest if name in irrelevant]:
            self.lose(", ".join(other), "not about what the container may do; the cell runs the suite's own image")

    # ------------------------------------------------------------------------------------------------ single fields

    def set(self, **fields: Any) -> None:
        """Set fields of the profile; a table is merged into the one before."""
        for name, value in fields.items():
            before = self.fields.get(name)
            self.fields[name] = {**before, **value} if isinstance(before, dict) else value

    def capabilities(self, add: Value, drop: Value) -> None:
        """Set the capabilities: those of engines without `drop`, and with `add`."""
        added, dropped = self._names(add), self._names(drop)
        if not added and not dropped:
            return
        whole, gone = ([f"CAP_{one}" for one in names] for names in (added, dropped))
        if "ALL" in dropped:
            wanted = list(EVERY) if "ALL" in added else whole
        else:
            wanted = [name for name in (EVERY if "ALL" in added else USUAL) if name not in gone]
            wanted += [] if "ALL" in added else whole
        self.exactly(wanted)

    def exactly(self, names: Iterable[str]) -> None:
        """Set the capabilities, given by their full names."""
        wanted = [name for name in EVERY if name in set(names)]
        whole = len(wanted) == len(EVERY)
        self.set(capabilities="all" if whole else [name.removeprefix("CAP_") for name in wanted])

    def _names(self, listed: Value) -> list[str]:
        found = []
        for value, text in zip(listed.rows(), listed.texts(), strict=True):
            name = text.upper().removeprefix("CAP_")
            if name == "ALL" or f"CAP_{name}" in EVERY:
                found.append(name)
            else:
                self.lose(value.field, f"there is no capability {text}; runtimes ignore or refuse it")
        return found

    def privileged(self) -> None:
        """Make the container privileged, whatever else its capabilities and filter are."""
        self.set(privileged=True, capabilities="all", seccomp="unconfined")
        self.filter = None

    def user(self, value: Value, text: str) -> None:
        """Set the user, ``1000`` or ``1000:1000``; names are those of an image."""
        user, _, group = text.partition(":")
        if not user:
            return
        if _is_id(user) and (not group or _is_id(group)):
            self.set(user=f"{int(user)}:{int(group or 0)}")
        elif text not in ("root", "root:root", "0:root", "root:0"):
            self.lose(value.field, f"{text!r} is a name in its image; write the numbers into `user`, which is 0:0 now")

    def groups(self, value: Value, numbers: Iterable[str]) -> None:
        """Set supplementary groups."""
        found = list(self.fields.get("groups", ()))
        for number in numbers:
            if _is_id(number):
                found.append(int(number))
            else:
                self.lose(
                    value.field, f"{number!r} is the name of a group in its image; write the number into `groups`"
                )
        if found:
            self.set(groups=list(dict.fromkeys(found)))

    def memory(self, value: Value, size: int) -> None:
        """Set the limit of memory, in bytes; 0 for none."""
        if size > 0:
            steps = {"g": 1 << 30, "m": 1 << 20, "k": 1 << 10}
            unit, step = next((pair for pair in steps.items() if size % pair[1] == 0), ("k", 1 << 10))
            self.set(limits={"memory": f"{max(1, size // step)}{unit}"})

    def pids(self, value: Value, number: int) -> None:
        """Set the limit of processes; below 1 for none."""
        if 0 < number < LEAST_PIDS:
            self.lose(value.field, f"the suite needs at least {LEAST_PIDS} processes, so `limits.pids` is {LEAST_PIDS}")
        if number > 0:
            self.set(limits={"pids": max(number, LEAST_PIDS)})

    def sysctl(self, value: Value, name: str, setting: str) -> None:
        """Set a sysctl of the container's namespaces."""
        if name.startswith(CONTAINER_SYSCTLS):
            self.set(sysctls={name: setting})
        else:
            self.lose(value.field, f"{name} is the machine's, not a container's; a profile has it in [kernel.sysctls]")

    def ulimit(self, value: Value, name: str, soft: int, hard: int) -> None:
        """Set a limit of each process."""
        pair = [str(number) if number >= 0 else "unlimited" for number in (soft, hard)]
        short = name.lower().removeprefix("rlimit_")
        if short == "as":
            self.lose(value.field, "engines have no limit RLIMIT_AS, so a profile has none")
        else:
            self.set(ulimits={short: soft if soft == hard else ":".join(pair)})

    def device(self, source: str, target: str, access: str) -> None:
        """Add a device."""
        short = source if source == target else f"{source}:{target}"
        self.set(devices=[*self.fields.get("devices", ()), short if access == "rwm" else f"{source}:{target}:{access}"])

    def mount(self, value: Value, **fields: Any) -> None:
        """Add a mount, unless no container could have it and run the suite."""
        fields = {name: content for name, content in fields.items() if content}
        fields["target"] = fields.get("target", "").rstrip("/") or "/"
        try:
            msgspec.convert(fields, Mount)
        except msgspec.ValidationError as problem:
            self.lose(value.field, str(problem).partition(" - at")[0])
            return
        self.mounts = [one for one in self.mounts if one["target"] != fields["target"]] + [fields]

    def selinux(self, parts: dict[str, str]) -> None:
        """Set parts of the SELinux label."""
        wanted = [f"{name}:{part}" for name, part in parts.items() if part]
        if wanted:
            self.set(selinux=[*self.fields.get("selinux", ()), *wanted])

    # ----------------------------------------------------------------------------------------------------- filter

    def filter_from(self, value: Value, path: Path) -> None:
        """Take the filter of a file; one that is not there is lost."""
        try:
            content = json.loads(regular_file.read(self.folder / path).decode("utf-8-sig"))
        except OSError as problem:
            self.lose(value.field, f"the filter {path} cannot be read here ({problem.strerror}); `seccomp` is default")
        except (ValueError, RecursionError) as problem:
            raise value.wrong(f"the filter {path} is not JSON: {problem}") from problem
        else:
            self.take_filter(value, content)

    def take_filter(self, value: Value, content: object) -> None:
        """Take a filter."""
        if not isinstance(content, dict) or "defaultAction" not in content:
            raise value.wrong("a seccomp filter has a `defaultAction`, and this has none")
        self.filter = content

    def settled(self) -> dict[str, Any]:
        """Return the profile's fields, without those that have a profile's default."""
        if self.fields.get("namespaces", {}).get("pid", "private") != "private" and self.fields.get("init"):
            self.lose("init", "an init needs a private PID namespace")
            self.set(init=False)
        if self.fields.get("privileged"):
            self._settle_privileged()
        return {**self.fields, **({"mounts": self.mounts} if self.mounts else {})}

    def _settle_privileged(self) -> None:
        if self.filter is not None:
            self.lose("seccomp", "a privileged container of a profile has no filter")
        self.privileged()
        if self.fields.pop("apparmor", "unconfined") != "unconfined":
            self.lose("apparmor", "a privileged container has no AppArmor profile")
        if self.fields.get("namespaces", {}).get("user") == "mapped":
            self.lose("namespaces.user", "a privileged container has the machine's user ids")
            self.set(namespaces={"user": "host"})


def pick(file: str, what: str, found: Sequence[tuple[str, Value]], wanted: str) -> tuple[str, Value]:
    """Return the entry called `wanted`, or the only one.  Raises `DeploymentError` with the names."""
    names = [name for name, _ in found]
    matching = [pair for pair in found if wanted in (pair[0], pair[0].rpartition("/")[2])] if wanted else list(found)
    if len(matching) == 1:
        return matching[0]
    option = "--service" if what == "service" else "--container"
    if not found:
        raise DeploymentError(file, "", f"has no {what}")
    problem = f"there is no {what} {wanted!r}" if wanted and not matching else f"has {len(matching)} {what}s"
    raise DeploymentError(file, "", f"{problem}; choose one with {option}: {', '.join(names)}")


def _is_id(text: str) -> bool:
    """True if it is the number of a user or a group."""
    return text.isdecimal() and len(text) <= 10
