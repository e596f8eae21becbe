"""The errno that an action answers: a number, and for Podman a name."""

from __future__ import annotations

from typing import Any, TypeAlias

from worldswitch.harness.environments.filters import seccomp_values as values
from worldswitch.harness.environments.filters.findings import Place, nearest

Json: TypeAlias = dict[str, Any]

MASK = 0xFFFF  #: SECCOMP_RET_DATA: libseccomp keeps these bits of an errno


def answered(owner: Json, fields: tuple[str, str, str], place: Place) -> int | None:
    """Return the number that the action answers; a symbolic errno counts before the number, as for Podman.

    `fields` are those of the action, the number and the name.
    """
    action_field, number_field, name_field = fields
    action, name = owner.get(action_field), owner.get(name_field)
    number: int | None = owner.get(number_field)
    if name:
        number = _symbolic(name, number, action, place.into(name_field), number_field)
    if number is None:
        return None
    where = place.into(number_field if not name else name_field)
    if action not in values.ANSWERING:
        if action in values.ACTIONS:
            where.warning(f"{action} answers no errno: runc ignores it, and crun refuses the filter")
        return None
    if number > MASK:
        where.warning(f"runtimes keep the low 16 bits of {number}: {number & MASK}")
    number &= MASK
    if action == "SCMP_ACT_ERRNO" and number > values.MOST_ERRNO:
        where.error(f"{number} is no errno: libseccomp accepts 0 to {values.MOST_ERRNO}")
    return number


def _symbolic(name: str, number: int | None, action: str | None, place: Place, number_field: str) -> int | None:
    found = values.errno_number(name)
    if found is None:
        place.error(f"{name!r} is no errno{nearest(name, values.errno_names())}")
        return None
    docker = values.EPERM if number is None else number
    if action in values.ANSWERING and docker != found:
        tells = f"`{number_field}`, {values.errno_name(docker)}" if number is not None else values.errno_name(docker)
        place.warning(f"only Podman reads `errno` fields: it answers {values.errno_name(found)}, Docker {tells}")
    return found
