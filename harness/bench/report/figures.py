"""Draws the report's figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from worldswitch.harness.bench import ratios
from worldswitch.harness.bench.ratios import Estimate
from worldswitch.harness.bench.report import content
from worldswitch.harness.bench.report.content import Curve, Latencies
from worldswitch.harness.bench.results_file import Results
from worldswitch.harness.bench.units import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEXT, DIM, LINE, OURS, LIMIT, OTHER, WRONG = "#17202a", "#5f6977", "#d7dbe0", "#1f5fa8", "#b7bec6", "#a33a00", "#b00020"

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": DIM,
    "axes.axisbelow": True,
    "text.color": TEXT,
    "xtick.color": DIM,
    "ytick.color": TEXT,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.wspace": 0.06,
    "savefig.dpi": 150,
    "svg.hashsalt": "worldswitch",  # makes the SVG reproducible
}

MICRO = 1e6
TIMES, MINUS = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}"
WIDTH = 9.0  #: inches

#: The switches of the figure, with labels; the others are variants of the first.
VARIANTS = {
    "switch::resident_pinned": "resident",
    "switch::default_pinned": "extended state read back (default)",
    "switch::changed_xstate": "extended state changed each time",
    "switch::dispatched": "six arguments, a table, a handler",
    "switch::recorded": "flight recorder on",
    "switch::resident_follow": "not pinned: the stub follows",
    "switch::resident_free": "not pinned: the stub anywhere",
    "switch::fault": "a page fault",
    "switch::single_step": "a single step",
}

LIMITS = {
    "limits::sysemu": "C: the bare round trip",
    "limits::same_calls": "C: the calls of a resident switch",
    "limits::seed": "C: the calls of the design of 2019",
}


def _figure(height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height))
    return figure, [figure.add_subplot(1, columns, column + 1) for column in range(columns)]


def _errors(estimates: Sequence[Estimate], scale: float) -> list[list[float]]:
    """The lengths of error bars; 0 for an infinite interval."""
    known = [one if one.high != float("inf") else Estimate(one.middle, one.middle, one.middle) for one in estimates]
    # A median can be slightly outside its own bootstrapped interval.
    low = [max(scale * (one.middle - one.low), 0.0) for one in known]
    return [low, [max(scale * (one.high - one.middle), 0.0) for one in known]]


def _bars(axes: Axes, labels: Sequence[str], estimates: Sequence[Estimate], colours: Sequence[str]) -> None:
    """Draw horizontal bars from the top down, in microseconds, with intervals and values."""
    rows = range(len(labels))
    values = [MICRO * one.middle for one in estimates]
    errors = _errors(estimates, MICRO)
    axes.barh(rows, values, color=colours, height=0.68)
    axes.errorbar(values, rows, xerr=errors, fmt="none", ecolor=TEXT, elinewidth=0.8, capsize=2)
    far = max(value + error for value, error in zip(values, errors[1], strict=True))
    for row, value, error in zip(rows, values, errors[1], strict=True):
        axes.text(value + error + far * 0.012, row, shown(value / MICRO, "second"), va="center", fontsize=8)
    axes.set_yticks(rows, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, far * 1.13)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def where_the_time_goes(results: Results) -> Figure | None:
    """Draw the steps from a native system call to a default switch; None if fewer than two were measured."""
    steps = content.steps(results)
    if len(steps) < 2:
        return None
    figure, (axes,) = _figure(0.42 * len(steps) + 1.1)
    reached = 0.0
    for row, step in enumerate(steps):
        end = MICRO * step.total.middle
        colour = OURS if step.label in ("Python", "placement") else LIMIT
        axes.barh(row, end - reached, left=reached, color=colour, height=0.68)
        if row + 1 < len(steps):
            axes.plot((end, end), (row - 0.34, row + 1.34), color=DIM, linewidth=0.7)
        sign = "" if row == 0 else "+"
        added = MICRO * step.added.middle
        text = f"{sign}{added:.2f} µs" if added >= 0 or row == 0 else f"{MINUS}{-added:.2f} µs"
        axes.text(max(end, reached), row, f"  {text}", va="center", fontsize=8)
        reached = end
    axes.set_yticks(range(len(steps)), [f"{step.label}\n" for step in steps])
    for row, step in enumerate(steps):
        axes.text(-0.01, row + 0.2, step.about, transform=axes.get_yaxis_transform(), ha="right", va="center",
                  fontsize=7, color=DIM)  # fmt: skip
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, max(MICRO * step.total.middle for step in steps) * 1.14)
    axes.set_xlabel("µs for one system call of the guest; grey: the kernel's part, blue: the platform's")
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    return figure


def variants(results: Results) -> Figure | None:
    """Draw kinds of switches next to the C loops; None if no switch was measured."""
    known = {**LIMITS, **VARIANTS}
    found = [name for name in known if name in results.series]
    if not any(name in VARIANTS for name in found):
        return None
    estimates = [ratios.of_median(results.series[name].samples) for name in found]
    colours = [OURS if name in VARIANTS else LIMIT for name in found]
    figure, (axes,) = _figure(0.32 * len(found) + 0.9)
    _bars(axes, [known[name] for name in found], estimates, colours)
    axes.set_xlabel("µs for one round trip: median of rounds, 95 % interval")
    return figure


def peers(results: Results) -> Figure | None:
    """Draw the cost of a system call under each peer, unpinned and pinned; None without peers."""
    found = [one for one in content.peer_results(results) if one.program == "getpid"]
    modes = [mode for mode in content.RUN_MODES.values() if any(one.mode == mode for one in found)]
    if not modes:
        return None
    most = max(sum(one.mode == mode for one in found) for mode in modes)
    figure, all_axes = _figure(0.34 * most + 1.2, len(modes))
    for axes, mode in zip(all_axes, modes, strict=True):
        mine = sorted((one for one in found if one.mode == mode), key=lambda one: one.each.middle)
        colours = [OURS if one.name.startswith("reference") else OTHER if one.ratio else LIMIT for one in mine]
        labels = [f"{one.name}  {TIMES}{one.ratio.middle:.2g}" if one.ratio else one.name for one in mine]
        _bars(axes, labels, [one.each for one in mine], colours)
        axes.set_title(mode)
        axes.set_xlabel(f"µs for one getpid; {TIMES} the reference")
    return figure


def profiles(results: Results) -> Figure | None:
    """Draw a switch under each container profile; None without containers."""
    found = content.profile_costs(results)
    if len(found) < 2:
        return None
    figure, (axes,) = _figure(0.32 * len(found) + 0.9)
    labels = [f"{one.name}  {TIMES}{one.ratio.middle:.2f}" for one in found]
    colours = [LIMIT if one.name == "host" else OURS for one in found]
    _bars(axes, labels, [one.each for one in found], colours)
    axes.set_xlabel(f"µs for one resident, pinned switch; {TIMES} the host, within rounds")
    return figure


#: Curves: title, label of the x axis.
CURVES = {
    "tracees": ("Switch with idle tracees", "stub threads per tracer"),
    "spaces": ("Address spaces in turn", "address spaces"),
    "threads": ("Threads that switch at once", "tracing threads"),
    "memory": ("Memory per address space", "address spaces"),
}


def scaling(results: Results) -> Figure | None:
    """Draw the curves of the subject `scale`; None without any."""
    found = [one for one in content.curves(results) if one.name in CURVES]
    found.sort(key=lambda one: list(CURVES).index(one.name))
    if not found:
        return None
    figure, all_axes = _figure(2.9, len(found))
    for axes, curve in zip(all_axes, found, strict=True):
        _curve(axes, curve)
    return figure


def _curve(axes: Axes, curve: Curve) -> None:
    scale, unit = (1 / 1024, "KiB per address space") if curve.unit == "byte" else (MICRO, "µs per switch")
    title, counted = CURVES[curve.name]
    sizes, estimates = list(curve.estimates), list(curve.estimates.values())
    values = [scale * one.middle for one in estimates]
    errors = _errors(estimates, scale)
    axes.errorbar(sizes, values, yerr=errors, color=OURS, marker="o", markersize=4,
                  linewidth=1.4, ecolor=DIM, elinewidth=0.8, capsize=2)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, max(value + error for value, error in zip(values, errors[1], strict=True)) * 1.15)
    axes.set_title(title, fontsize=8.5)
    axes.set_xlabel(counted, fontsize=8)
    axes.set_ylabel(unit, fontsize=8)
    axes.grid(axis="y")


def interrupts(results: Results) -> Figure | None:
    """Draw the latency of interrupts: the share that took longer; None if not measured."""
    found = content.latencies(results)
    if not found:
        return None
    figure, (axes,) = _figure(3.1)
    for one, colour in zip(found, (OURS, OTHER), strict=False):
        _exceedance(axes, one, colour)
        _name_percentiles(axes, one, colour, [other for other in found if other is not one])
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = {0.5: "50 %", 0.1: "10 %", 0.01: "1 %", 0.001: "0.1 %"}
    least = min(1 / len(one.values) for one in found)
    shown_ticks = {share: text for share, text in ticks.items() if share >= least / 2}
    axes.set_yticks(list(shown_ticks), list(shown_ticks.values()))
    axes.minorticks_off()
    axes.set_ylim(least / 2, 1.05)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} µs" if value < 1000 else f"{value / 1000:g} ms")
    axes.set_xlabel("from Context.interrupt() in one thread to the return of switch() in another")
    axes.set_ylabel("interrupts that took longer")
    axes.grid()
    axes.legend(loc="upper right")
    return figure


def _exceedance(axes: Axes, one: Latencies, colour: str) -> None:
    ordered = [MICRO * value for value in sorted(one.values)]
    shares = [1 - (rank + 1) / len(ordered) for rank in range(len(ordered) - 1)]  # the last would be 0: no logarithm
    axes.step(ordered[:-1], shares, where="post", color=colour, linewidth=1.5, label=one.name)


def _name_percentiles(axes: Axes, one: Latencies, colour: str, others: Sequence[Latencies]) -> None:
    """Mark percentiles on the curve, with labels on the side away from other curves."""
    for percent, value in one.percentiles.items():
        point = MICRO * value, 1 - percent / 100
        is_first = any(value < other.percentiles.get(percent, 0.0) for other in others)
        offset, side = ((-7, 2), "right") if is_first else ((7, 2), "left")
        axes.plot(*point, "o", color=colour, markersize=4)
        axes.annotate(f"p{percent:g}  {shown(value, 'second')}", point, xytext=offset, ha=side,
                      textcoords="offset points", fontsize=7.5, color=colour)  # fmt: skip


#: The figures, in the report's order.
FIGURES: dict[str, Callable[[Results], Figure | None]] = {
    "steps": where_the_time_goes,
    "variants": variants,
    "peers": peers,
    "profiles": profiles,
    "scaling": scaling,
    "interrupts": interrupts,
}


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Write each figure that has data as SVG and PNG into the folder; returns the SVG texts by name."""
    drawn: dict[str, str] = {}
    with mpl.rc_context(STYLE):
        for name, make in FIGURES.items():
            figure = make(results)
            if figure is not None:
                folder.mkdir(exist_ok=True)
                figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
                figure.savefig(folder / f"{name}.png")
                drawn[name] = (folder / f"{name}.svg").read_text()
    return drawn
