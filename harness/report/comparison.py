"""A comparison of two runs, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from worldswitch.harness.report.matrix.summary import named
from worldswitch.harness.results.comparison import Change, Comparison, Kind

MOST = 40  #: the maximum number of lines per kind; JSON has all of them

STYLES = {Kind.FAILING: "bold red", Kind.MISSING: "bold magenta", Kind.FLAKY: "bold yellow", Kind.FIXED: "green"}

#: Printed as a count only: the lines would hide the others.
COUNTED = (Kind.APPEARED, Kind.STILL)


def show(found: Comparison, out: Console) -> None:
    """Print the comparison; the last line is the counts, for programs."""
    out.print(f"{' and '.join(found.after)} compared with {found.before}")
    if not found.compared:
        _show_nothing(found, out)
    for kernel, reason in found.vanished.items():
        out.print(Text(f"\nvanished kernel: {kernel}", "bold magenta"))
        out.print(f"  {reason}")
    if found.new_kernels:
        out.print(f"\nnew kernels: {', '.join(found.new_kernels)}")
    for kind in Kind:
        _show_kind(kind, found.of(kind), out)
    _show_shifts(found, out)
    for left_out, names in found.left_out.items() if found.compared else ():
        what = "trials" if left_out == "scenarios" else left_out  # each by its scenario's name, with parameters
        if names:
            out.print(f"\nnot planned, so not compared: {len(names)} {what}: {named(names)}")
    counts = [f"{len(found.of(kind))} {kind.value}" for kind in Kind if found.of(kind)]
    gone = [f"{len(found.vanished)} vanished kernels"] if found.vanished else []
    out.print("\n" + ", ".join([*gone, *counts, f"{found.same} unchanged"]))


def _show_nothing(found: Comparison, out: Console) -> None:
    """Say that the runs have nothing in common, and what each has."""
    out.print(Text("\nnothing was compared: no trial has a verdict in both runs", "bold magenta"))
    for run, places in zip((found.before, found.after[0]), found.places, strict=True):
        out.print(f"  {run}: {named(places) or 'no verdict'}")
    out.print("  what to do: compare runs of the same kernels, profiles and platforms; --across for other host kernels")


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
        out.print(f"  and {len(lines) - MOST} more; --json lists all")


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
        out.print(Text(f"\nchanged fingerprint: {len(found.shifts)}", "bold"))
    for shift in found.shifts[:MOST]:
        out.print(f"  {shift.what}: {shift.was} -> {shift.now}, in {named(shift.cells)}")
    if len(found.shifts) > MOST:
        out.print(f"  and {len(found.shifts) - MOST} more; --json lists all")


def as_json(found: Comparison) -> Mapping[str, Any]:
    """Return the whole comparison as plain values."""
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
        "compared": found.compared,
    }


def _plain(change: Change) -> dict[str, Any]:
    fields = asdict(change)
    del fields["kind"]
    return fields
