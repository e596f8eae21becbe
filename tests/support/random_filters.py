"""Hypothesis strategies of filters in the OCI format."""

from __future__ import annotations

from typing import Any

import witness
from hypothesis import strategies as st

NAMES = sorted({name for name, _, _ in witness.CALLS if " " not in name} | {"mlock2", "landlock_restrict_self"})
VALUES = (0, 1, 3, 4, 9, 16, 31, 0x4206, 0x5412, 0x10000, 0x10100, 0x7FFF_FFFF, 1 << 32, (1 << 32) + 3, (1 << 64) - 1)
OPERATORS = [f"SCMP_CMP_{name}" for name in "NE LT LE EQ GE GT MASKED_EQ".split()]
#: Actions that a runtime takes without a listener.
ACTIONS = [f"SCMP_ACT_{name}" for name in "ALLOW ERRNO KILL KILL_PROCESS KILL_THREAD TRAP TRACE LOG".split()]
ERRNOS = (0, 1, 5, 13, 22, 38, 95, 4095)
EXTRA = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]


@st.composite
def actions(draw: st.DrawFn, field: str, names: list[str]) -> dict[str, Any]:
    """Return an action with an errno where it may have one."""
    action = draw(st.sampled_from(names))
    errno_field = {"action": "errnoRet", "defaultAction": "defaultErrnoRet"}[field]
    taken = action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") and draw(st.booleans())
    return {field: action} | ({errno_field: draw(st.sampled_from(ERRNOS))} if taken else {})


@st.composite
def rules(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    """Return a rule."""
    rule = {"names": draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))}
    argument = st.fixed_dictionaries(
        {"index": st.integers(0, 2), "op": st.sampled_from(OPERATORS), "value": st.sampled_from(VALUES)},
        optional={"valueTwo": st.sampled_from(VALUES)},
    )
    args = draw(st.lists(argument, max_size=3) if draw(st.booleans()) else st.just([]))
    return rule | draw(actions("action", ACTIONS)) | ({"args": args} if args else {})


@st.composite
def filters(draw: st.DrawFn, names: list[str] = NAMES, allowed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a filter of rules for `names`; one that denies by default allows `allowed`."""
    content = draw(actions("defaultAction", ACTIONS))
    architectures = ["SCMP_ARCH_X86_64", *draw(st.lists(st.sampled_from(EXTRA), unique=True))]
    extra = {"architectures": architectures} if draw(st.booleans()) else {}
    drawn = draw(st.lists(rules(names), max_size=6))
    if allowed:
        drawn.append({"names": list(allowed), "action": "SCMP_ACT_ALLOW"})
    return content | extra | {"syscalls": drawn}
