"""What is known of a cell, for rules to be conditional on: typed values by name, from its header and its profile.

    kernel            its minor version, 6.12                           release        as uname says, 6.12.9+deb13-amd64
    architecture      x86_64                                            environment    docker:hardened, host
    platform          reference                                         repeat         quick, normal, soak
    engine.kind       host, docker, runc, crun                          engine.version 20.10.24
    engine.users      how many user ids a rootless runtime maps into a container
    machine           of a virtual one kvm or tcg: an emulated processor is another processor
    probe.NAME        yes, no, denied: what the cell's own probe found  fact.NAME      what an experiment observed
    profile.FIELD     as the profile says it, profile.limits.pids

What is not known, such as the profile of a cell that has none, is not there.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.records import Fingerprint, Header
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.linux.release import Numbers, minor, numbers

Value: TypeAlias = str | bool | int | Numbers | frozenset[str]
FieldValues: TypeAlias = Mapping[str, Value]


class FieldKind(enum.Enum):
    """How a value is compared."""

    TEXT = "a text or a pattern, `!` before it for all others; or a list, any of which"
    VERSION = "versions as `6.12`, `<6.12`, `>=5.10 <6.1`"
    NUMBER = "a number, or a text as `<64`, `>=64 <512`"
    SWITCH = "true or false"
    SET = "a member or a pattern of one, `!` before it for without; or a list, any of which"


#: The values every cell may have, but for probes, facts and the fields of profiles.
FIELDS = {
    "kernel": FieldKind.VERSION,
    "release": FieldKind.TEXT,
    "architecture": FieldKind.TEXT,
    "environment": FieldKind.TEXT,
    "platform": FieldKind.TEXT,
    "repeat": FieldKind.TEXT,
    "engine.kind": FieldKind.TEXT,
    "engine.version": FieldKind.VERSION,
    "engine.users": FieldKind.NUMBER,
    "machine": FieldKind.TEXT,
}

#: What only names a version, and says nothing about what a kernel or an engine does.
NAMES_OF_VERSIONS = ("kernel", "release", "engine.version")

#: What was seen in the cell itself.
SEEN = ("probe.", "fact.")


def of(cell: CellName, header: Header, profile: Mapping[str, Any]) -> dict[str, Value]:
    """What is known of a cell that sent this header, under a profile of these fields."""
    return {
        **dict(_of_the_machine(header.fingerprint)),
        "environment": cell.environment,
        "platform": cell.platform,
        "repeat": header.repeat,
        **dict(_of_the_engine(header.environment)),
        **{f"profile.{name}": value for name, value in _values(profile)},
    }


def _of_the_machine(machine: Fingerprint) -> Iterator[tuple[str, Value]]:
    yield "architecture", machine.machine
    words = machine.kernel.split()
    release = words[1] if len(words) > 1 else ""
    if kernel := minor(release):
        yield "release", release
        yield "kernel", kernel
    yield from ((f"probe.{name}", finding.state) for name, finding in machine.probes.items())
    yield from ((f"fact.{name}", observed) for name, observed in machine.facts.items())


def _of_the_engine(environment: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    kind, _, rest = str(environment.get("engine", "")).partition(" ")
    if kind:
        yield "engine.kind", kind.lower()
    if version := numbers(rest):
        yield "engine.version", version
    if users := environment.get("users"):
        yield "engine.users", int(users)
    if accelerator := environment.get("accelerator"):
        yield "machine", str(accelerator)


def flat(table: Mapping[str, Any], key: Callable[[str], str] = str, above: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a table and of those in it, by dotted names."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, key, f"{above}{key(name)}.")
        else:
            yield f"{above}{key(name)}", value


def _values(fields: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for name, value in flat(fields):
        if isinstance(value, (list, tuple)):
            yield name, frozenset(map(str, value))
        elif isinstance(value, (str, bool, int)):
            yield name, value


# ------------------------------------------------------------------------------------------------ what there is to know


def kind_of(field: str) -> FieldKind | None:
    """How a field is compared, None if there is none of that name."""
    if field in FIELDS:
        return FIELDS[field]
    group, _, name = field.partition(".")
    if group == "fact" and name:
        return FieldKind.TEXT
    if group == "probe":
        return FieldKind.TEXT if name in _probes() else None
    if group == "profile":
        return next((kind for known, kind in _profile().items() if _means(known, name)), None)
    return None


def _means(known: str, name: str) -> bool:
    return name == known or (known.endswith("*") and name.startswith(known[:-1]) and name != known[:-1])


def choices(field: str) -> list[str]:
    """The names that could be meant by a field that is none."""
    group = field.partition(".")[0]
    if group == "probe":
        return [f"probe.{name}" for name in _probes()]
    if group == "profile":
        return [f"profile.{name}" for name in _profile()]
    return [*FIELDS, "probe.NAME", "fact.NAME", "profile.FIELD"]


def _probes() -> list[str]:
    return list(table.PROBES)


@functools.cache
def _profile() -> dict[str, FieldKind]:
    return dict(_kinds(msgspec.inspect.type_info(Profile)))


def _kinds(kind: msgspec.inspect.Type, name: str = "") -> Iterator[tuple[str, FieldKind]]:
    """The fields below a type, with how each is compared; ``x.*`` stands for whatever a table may have."""
    match kind:
        case msgspec.inspect.Metadata(type=inner):
            yield from _kinds(inner, name)
        case msgspec.inspect.StructType(fields=fields):
            for field in fields:
                if name or field.name not in ("about", "expect"):
                    yield from _kinds(field.type, f"{name}.{field.name}".lstrip("."))
        case msgspec.inspect.DictType(value_type=inner):
            yield from _kinds(inner, f"{name}.*")
        case msgspec.inspect.UnionType(types=types):
            found = [one for inner in types for one in _kinds(inner, name)]
            yield from sorted(found, key=lambda one: one[1] is not FieldKind.SET)[:1]
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            yield name, FieldKind.SET
        case msgspec.inspect.BoolType():
            yield name, FieldKind.SWITCH
        case msgspec.inspect.IntType():
            yield name, FieldKind.NUMBER
        case msgspec.inspect.NoneType():
            return
        case _:
            yield name, FieldKind.TEXT
