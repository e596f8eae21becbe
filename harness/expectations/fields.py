"""The fields that a rule's conditions may name: typed values of a cell, from its header and its profile.

    kernel            minor version, 6.12                           release        as in uname -r, 6.12.9+deb13-amd64
    architecture      x86_64                                        environment    docker:hardened, host
    platform          reference                                     repeat         quick, normal, soak
    engine.kind       host, docker, runc, crun                      engine.version 20.10.24
    engine.users      the number of user ids that a rootless runtime maps into a container
    machine           the accelerator of a virtual machine: kvm, or tcg, whose processor is emulated
    probe.NAME        yes, no, denied: the cell's own probe         fact.NAME      the observation of an experiment
    profile.FIELD     a field of the profile, such as profile.limits.pids

Unknown fields are absent, such as `profile.*` on the host.
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

    TEXT = "a string or a shell pattern, `!` to negate it, or a list of them"
    VERSION = "a version such as `6.12`, `<6.12` or `>=5.10 <6.1`"
    NUMBER = "an integer, or a string such as `<64` or `>=64 <512`"
    SWITCH = "true or false"
    SET = "a member or a pattern of one, `!` for a set without it, or a list of them"


#: Every field but those of probes, facts and profiles.
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

#: Fields that name a version, which does not say what a kernel or an engine does.
NAMES_OF_VERSIONS = ("kernel", "release", "engine.version")

#: Prefixes of what was observed in the cell itself.
SEEN = ("probe.", "fact.")


def of(cell: CellName, header: Header, profile: Mapping[str, Any]) -> dict[str, Value]:
    """Return the known fields of a cell with this header and the fields of its profile."""
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
    """Yield the leaves of nested tables with their dotted names."""
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


# ------------------------------------------------------------------------------------------------- names of the fields


def kind_of(field: str) -> FieldKind | None:
    """Return how a field is compared; None if there is no such field."""
    if field in FIELDS:
        return FIELDS[field]
    group, _, name = field.partition(".")
    if group == "fact" and name:
        return FieldKind.TEXT
    if group == "probe":
        return FieldKind.TEXT if name in table.PROBES else None
    if group == "profile":
        return next((kind for known, kind in _profile().items() if _matches(known, name)), None)
    return None


def _matches(known: str, name: str) -> bool:
    return name == known or (known.endswith("*") and name.startswith(known[:-1]) and name != known[:-1])


def choices(field: str) -> list[str]:
    """Return the names to suggest for an unknown field."""
    group = field.partition(".")[0]
    if group == "probe":
        return [f"probe.{name}" for name in table.PROBES]
    if group == "profile":
        return [f"profile.{name}" for name in _profile()]
    return [*FIELDS, "probe.NAME", "fact.NAME", "profile.FIELD"]


@functools.cache
def _profile() -> dict[str, FieldKind]:
    return dict(_kinds(msgspec.inspect.type_info(Profile)))


def _kinds(kind: msgspec.inspect.Type, name: str = "") -> Iterator[tuple[str, FieldKind]]:
    """Yield the fields below a type with their kinds; ``x.*`` stands for the keys of a free table."""
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
