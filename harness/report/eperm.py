"""Tell people which of those who could refuse ptrace it was."""

from __future__ import annotations

from collections.abc import Iterator

from worldswitch.harness.ptrace_denial import Confinement, cause, checks


def told(known: Confinement, request: str = "PTRACE_SEIZE", *, own_child: bool = True) -> Iterator[str]:
    """The answer first, then what was found about each, then what to do."""
    one = cause(known, request, own_child=own_child)
    if one:
        yield f"{request}: EPERM: {'it was' if one.denies else 'by elimination'} {one.mechanism.value}: {one.evidence}"
    else:
        yield f"{request}: nobody who could be seen refuses it"
    yield from (f"  {finding}" for finding in checks(known, request, own_child=own_child))
    if one and one.remedy:
        yield f"what to do: {one.remedy}"
