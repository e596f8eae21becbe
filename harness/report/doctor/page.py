"""Print the findings: the three answers first, then what is missing, then the machine.

Text is wrapped at the terminal's width; commands are not, so that they can be copied.  Colour, on a terminal only,
repeats what words say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worldswitch.harness.report.doctor.findings import NO, UNTRIED, YES, Cost, Findings, Lack, Place, Spread

STYLES = {YES: "bold green", NO: "bold red", UNTRIED: "bold yellow"}
HEADING = "bold"
COLUMN = 24  #: the width of names

WHERE = {"host": "this machine", "containers": "containers", "oci": "containers, no engine", "kernels": "own kernels"}


def show(found: Findings, out: Console) -> None:
    """Print the findings; off a terminal, without the blanks that fill columns."""
    if out.is_terminal:
        _show(found, out)
        return
    with out.capture() as captured:
        _show(found, out)
    out.print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _show(found: Findings, out: Console) -> None:
    _answer(found, out)
    _places(found.places, out)
    _cost(found, out)
    _lacking(found, out)
    _machine(found, out)


def _answer(found: Findings, out: Console) -> None:
    state = YES if found.answer.can_run else NO
    out.print(Text("Can a ptrace sandbox run here?", HEADING))
    _print(out, Text.assemble((f"{state.capitalize()}: ", STYLES[state]), f"{found.answer.reason}."))
    if one := found.emulation:
        called = f" by {one.name}" if one.name else ""
        _print(out, f"The kernel is emulated{called}: {'; '.join(one.evidence)}.")
        if one.lacking:
            _print(out, f"It does not know {', '.join(f'{name} ({answer})' for name, answer in one.lacking.items())}.")
        for lost in one.lost:
            _print(out, lost, 4)
    _do(found.answer.remedy, out)


def _places(places: Iterable[Place], out: Console) -> None:
    out.print(Text("\nWhere?", HEADING))
    for place in places:
        _print(out, Text.assemble(f"{WHERE[place.name]:<{COLUMN}}", (place.state, STYLES[place.state])))
        if place.name != "host":  # the answer says it
            _print(out, place.said, 4)
            _profiles(place, out)
            _do(place.remedy, out)
        _do(place.command, out)


def _profiles(place: Place, out: Console) -> None:
    if place.profiles:
        every = len(place.profiles) + len(place.other_profiles)
        text = f"{len(place.profiles)} of {every} profiles"
        others = f": all but {', '.join(place.other_profiles)} (`worldswitch profiles` says why)"
        _print(out, text + (others if place.other_profiles else ""), 4)


def _cost(found: Findings, out: Console) -> None:
    out.print(Text("\nWhat will it cost?", HEADING))
    if not found.cost:
        _print(out, f"Unknown: {found.cost_reason}.")
        return
    cost = found.cost
    _print(out, f"A switch takes {in_us(cost.switch)}, {_times(cost.ratio)} a bare ptrace round trip on the same CPU.")
    table = _table()
    for name, spread in _rows(cost):
        table.add_row(name, in_us(spread))
    out.print(Padding(table, (0, 0, 0, 2), expand=False))
    _print(out, f"Medians of {cost.rounds} rounds in turn; in brackets, half of the rounds.")


def _rows(cost: Cost) -> Iterator[tuple[str, Spread]]:
    yield "a system call of a guest, answered by the reference", cost.switch
    yield "PTRACE_SYSEMU and wait4 in C, nothing else", cost.floor
    yield "a system call without a sandbox", cost.native


def in_us(spread: Spread) -> str:
    """Return times in microseconds."""
    median, low, high = (f"{value * 1e6:#.3g}".rstrip(".") for value in (spread.median, spread.low, spread.high))
    return f"{median} µs [{low} .. {high}]"


def _times(ratio: Spread) -> str:
    return f"{ratio.median:.2f} [{ratio.low:.2f} .. {ratio.high:.2f}] times"


def _lacking(found: Findings, out: Console) -> None:
    out.print(Text("\nWhat scenarios lack here", HEADING))
    if not found.lacking:
        _print(out, "nothing" if found.answer.can_run else "what the first lines name; nothing else was probed")
    for group in found.lacking:
        sentence, _, command = group.do.partition(": ")
        _print(out, f"{sentence or 'no command provides these'}:")
        _do(command, out)
        table = _table()
        for lack in group.provides:
            table.add_row(lack.probe, _lack(lack))
        out.print(Padding(table, (0, 0, 0, 4), expand=False))


def _lack(lack: Lack) -> str:
    who = ", ".join(lack.scenarios) or "every scenario but those about its denial"
    return f"{'denied: ' if lack.state == 'denied' else ''}{lack.said} ({who})"


def _machine(found: Findings, out: Console) -> None:
    out.print(Text("\nThis machine", HEADING))
    machine, table = found.machine, _table()
    table.add_row("kernel", f"{machine.kernel}, {machine.machine}")
    table.add_row("processor", f"{machine.cpus} CPUs: {machine.cpu}")
    table.add_row("python", machine.python)
    for name, text in msgspec.structs.asdict(found.surroundings).items():
        table.add_row(name.replace("_", " "), text)
    out.print(Padding(table, (0, 0, 0, 2), expand=False))


def _table() -> Table:
    table = Table.grid(padding=(0, 2), expand=False)
    table.add_column(min_width=COLUMN - 2)
    table.add_column(overflow="fold")
    return table


def _print(out: Console, text: str | Text, indent: int = 2) -> None:
    out.print(Padding(text, (0, 0, 0, indent), expand=False), soft_wrap=False)


def _do(command: str, out: Console) -> None:
    """Print a remedy or a command on one line, which only the terminal breaks."""
    if command:
        out.print(f"    -> {command}", soft_wrap=True)
