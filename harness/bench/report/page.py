"""Writes the report as a self-contained page, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from worldswitch.harness.bench import units
from worldswitch.harness.bench.ratios import Estimate
from worldswitch.harness.bench.report import content, figures
from worldswitch.harness.bench.results_file import Results
from worldswitch.harness.bench.units import shown
from worldswitch.harness.report.markdown_table import cell, plain

#: The numbers at the top of the page, with their captions.
KEY = (
    ("switch::default_follow", "a switch with default options"),
    ("switch::resident_pinned", "the fastest switch: resident, pinned"),
    ("limits::sysemu", "the bare round trip in C"),
    ("limits::getpid", "an untraced system call"),
    ("spaces::fresh", "a fresh address space"),
    ("spaces::recycled", "a recycled address space"),
)


#: Said in place of columns that would have nothing to show.
FEW_ROUNDS = "This run had too few rounds for intervals, so it decides no target; a run without --quick does."


def write(results: Results, folder: Path) -> Path:
    """Write the page, the Markdown and the figures into the folder; returns the page's path."""
    context = _context(results, figures.draw(results, folder / "figures"))
    for name in ("bench.html", "bench.md"):
        (folder / name).write_text(_environment(name).get_template(f"{name}.j2").render(context))
    return folder / "bench.html"


def _environment(name: str) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("worldswitch.harness.bench.report", ""),
        autoescape=name.endswith(".html"),
        trim_blocks=name.endswith(".md"),
        undefined=jinja2.StrictUndefined,
        finalize=None if name.endswith(".html") else _markdown,
    )
    filters: dict[str, Any] = {"seconds": _seconds, "interval": _interval, "ratio": _ratio}
    made.filters |= filters
    return made


def _markdown(value: Any) -> Any:
    """Escape a text: what a template itself has is not passed here."""
    return cell(plain(value)) if isinstance(value, str) else value


def _seconds(value: float) -> str:
    return shown(value, "second")


def _ratio(value: float) -> str:
    """Three significant digits, with trailing zeros."""
    return f"{value:#.3g}".rstrip(".")


def _interval(estimate: Estimate) -> str:
    return f"{_ratio(estimate.low)} .. {_ratio(estimate.high)}" if estimate.high != float("inf") else "too few rounds"


def _context(results: Results, drawn: Mapping[str, str]) -> dict[str, Any]:
    machine = results.fingerprint
    peers = {name: why for name, why in results.absent.items() if name.partition("::")[0] in content.RUN_MODES}
    peer_results = content.peer_results(results)
    ratio_results = content.ratio_results(results)
    has_peer_intervals = content.has_intervals(one.ratio for one in peer_results)
    return {
        "css": resources.files("worldswitch.harness.report.matrix").joinpath("base.css").read_text(),
        "platform": results.facts.get("platform_name", ""),
        "machine": machine,
        "kernel": " ".join(machine.kernel.split()[:2]),
        "rounds": max(len(one.samples) for one in results.series.values()),
        "date": str(results.facts.get("date", ""))[:16],
        "warnings": results.warnings,
        "taken": results.taken,
        "key": [
            {"value": shown(results.series[name].median, "second"), "about": about}
            for name, about in KEY
            if name in results.series
        ],
        "figures": dict.fromkeys(figures.FIGURES, "") | {name: _inline(text) for name, text in drawn.items()},
        "steps": content.steps(results),
        "ratio_results": ratio_results,
        "has_intervals": content.has_intervals(one.ratio for one in ratio_results),
        "has_peer_intervals": has_peer_intervals,
        "peer_columns": 3 if has_peer_intervals else 2,
        "few_rounds": FEW_ROUNDS,
        "slow_idle": content.slow_idle(results),
        "peer_results": peer_results,
        "program_tables": content.program_tables(results),
        "modes": list(content.RUN_MODES.values()),
        "versions": {one.name: one.version for one in peer_results if one.version},
        "absent_peers": {_peer_text(name): why for name, why in peers.items()},
        "operations": content.operations(results),
        "all": [units.summary(one) for one in units.in_order(results)],
        "absent": {name: why for name, why in results.absent.items() if name not in peers},
        "noise": content.subject_noise(results),
    }


def _peer_text(peer: str) -> str:
    """Turn the key of an absent peer into text: its name, and the program if only one is absent."""
    mode, _, rest = peer.partition("::")
    program, _, name = rest.rpartition("::")
    pinned = ", on one CPU" if mode == "peers_pinned" else ""
    return f"{name} with {program}{pinned}" if program else name


def _inline(svg: str) -> Any:
    """Return the SVG's root element, to embed in a page."""
    from markupsafe import Markup

    return Markup(svg[svg.index("<svg") :])
