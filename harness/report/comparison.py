"""A comparison of two runs, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from worldswitch.harness.report.matrix.summary import named
from worldswitch.harness.results.comparison import Change, Comparison, Kind

MOST = 40  #: lines of a kind; JSON has them all

STYLES = {Kind.FAILING: "bold red", Kind.MISSING: "bold magenta", Kind.FLAKY: "bold yellow", Kind.FIXED: "green"}

#: Said with its number alone: the lines would bury the rest.
COUNTED = (Kind.APPEARED, Kind.STILL)


def show(found: Comparison, out: Console) -> None:
    """Print it; the last line is plain, for programs."""
    out.print(f"{' and '.join(found.after)} against {found.before}")
    for kernel, reason in found.vanished.items():
        out.print(Text(f"\nvanished kernel: {kernel}", "bold magenta"))
        out.print(f"  {reason}")
    if found.new_kernels:
        out.print(f"\nnew kernels: {', '.join(found.new_kernels)}")
    for kind in Kind:
        _show_kind(kind, found.of(kind), out)
    _show_shifts(found, out)
    for what, names in found.left_out.items():
        if names:
            out.print(f"\nnot planned, and not compared: {len(names)} {what}: {named(names)}")
    counts = [f"{len(found.of(kind))} {kind.value}" for kind in Kind if found.of(kind)]
    gone = [f"{len(found.vanished)} vanished kernels"] if found.vanished else []
    out.print("\n" + ", ".join([*gone, *counts, f"{found.same} as they were"]))


def _show_kind(kind: Kind, changes: Sequence[Change], out: Console) -> None:
    if not changes:
        return
    out.print(Text(f"\n{kind.value}: {len(changes)}", STYLES.get(kind, "bold")))
    if kind in COUNTED:
        return
    lines = list(_by_cell(changes) if kind is Kind.MISSING else _by_scenario(changes))
    for line in lines[:MOST]:
        out.print(f"  {line}")
    if len(lines) > MOST:
        out.print(f"  and {len(lines) - MOST} more: --json has them")


def _by_scenario(changes: Sequence[Change]) -> Iterator[str]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for one in changes:
        key = (" ".join(one.ids), one.scenario, one.was or "new", one.now, one.expected or one.reason)
        groups.setdefault(key, []).append(one.cell)
    for (ids, scenario, was, now, reason), cells in groups.items():
        verdicts = now if was == now else f"{was} -> {now}"
        yield (
            f"{ids} {scenario}: {verdicts}".removesuffix(": new -> ").strip()
            + f" in {named(cells)}"
            + (f"\n    {reason}" if reason else "")
        )


def _by_cell(changes: Sequence[Change]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for one in changes:
        groups.setdefault((one.cell, one.reason), []).append(" ".join(one.ids) or one.scenario)
    for (cell, reason), ids in groups.items():
        yield f"{len(ids)} in {cell}: {named(ids)}\n    {reason}"


def _show_shifts(found: Comparison, out: Console) -> None:
    if found.shifts:
        out.print(Text(f"\nother fingerprint: {len(found.shifts)}", "bold"))
    for shift in found.shifts[:MOST]:
        out.print(f"  {shift.what}: {shift.was} -> {shift.now}, in {named(shift.cells)}")
    if len(found.shifts) > MOST:
        out.print(f"  and {len(found.shifts) - MOST} more: --json has them")


def as_json(found: Comparison) -> Mapping[str, Any]:
    """The same, whole."""
    kinds = {kind.value.replace(" ", "_"): [_plain(one) for one in found.of(kind)] for kind in Kind}
    return {
        "before": found.before,
        "after": list(found.after),
        "status": int(found.status),
        "vanished_kernels": found.vanished,
        "new_kernels": found.new_kernels,
        **kinds,
        "other_fingerprint": [asdict(shift) for shift in found.shifts],
        "left_out": found.left_out,
        "same": found.same,
    }


def _plain(change: Change) -> dict[str, Any]:
    fields = asdict(change)
    del fields["kind"]
    return fields
