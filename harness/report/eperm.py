"""Tell people which of those who could refuse ptrace it was."""

from __future__ import annotations

from collections.abc import Iterator

from worldswitch.harness.ptrace_denial import Confinement, culprit, findings


def told(known: Confinement, request: str = "PTRACE_SEIZE", *, own_child: bool = True) -> Iterator[str]:
    """The answer first, then what was found about each, then what to do."""
    one = culprit(known, request, own_child=own_child)
    if one:
        yield f"{request}: EPERM: {'it was' if one.guilty else 'by elimination'} {one.who.value}: {one.evidence}"
    else:
        yield f"{request}: nobody who could be seen refuses it"
    yield from (f"  {finding}" for finding in findings(known, request, own_child=own_child))
    if one and one.remedy:
        yield f"what to do: {one.remedy}"
