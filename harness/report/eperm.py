"""Names the cause of an EPERM from ptrace."""

from __future__ import annotations

from collections.abc import Iterator

from worldswitch.harness.ptrace_denial import Confinement, cause, checks


def lines(known: Confinement, request: str = "PTRACE_SEIZE", *, own_child: bool = True) -> Iterator[str]:
    """Yield the cause, then the finding about each possible cause, then the remedy."""
    one = cause(known, request, own_child=own_child)
    if one:
        yield f"{request}: EPERM: {one.mechanism.value}{'' if one.denies else ', by elimination'}: {one.evidence}"
    else:
        yield f"{request}: no visible cause"
    yield from (f"  {finding}" for finding in checks(known, request, own_child=own_child))
    if one and one.remedy:
        yield f"what to do: {one.remedy}"
