"""The report as a page that needs nothing else, and as Markdown."""

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

#: The numbers on top, where there are such.
KEY = (
    ("switch::default_follow", "a switch, every option as it is by default"),
    ("switch::resident_pinned", "the fastest: resident, pinned"),
    ("limits::sysemu", "the bare round trip in C"),
    ("limits::getpid", "a system call that nobody traces"),
    ("spaces::fresh", "a fresh address space"),
    ("spaces::recycled", "a recycled one"),
)


def write(results: Results, folder: Path) -> Path:
    """Write the page, the text and the pictures into the folder; the page's path."""
    words = _words(results, figures.draw(results, folder / "figures"))
    for name in ("bench.html", "bench.md"):
        (folder / name).write_text(_environment(name).get_template(f"{name}.j2").render(words))
    return folder / "bench.html"


def _environment(name: str) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("worldswitch.harness.bench.report", ""),
        autoescape=name.endswith(".html"),
        trim_blocks=name.endswith(".md"),
        undefined=jinja2.StrictUndefined,
    )
    filters: dict[str, Any] = {"seconds": _seconds, "interval": _interval, "ratio": _ratio}
    made.filters |= filters
    return made


def _seconds(value: float) -> str:
    return shown(value, "second")


def _ratio(value: float) -> str:
    """Three digits, those too that are 0."""
    return f"{value:#.3g}".rstrip(".")


def _interval(estimate: Estimate) -> str:
    return f"{_ratio(estimate.low)} .. {_ratio(estimate.high)}" if estimate.high != float("inf") else "too few rounds"


def _words(results: Results, pictures: Mapping[str, str]) -> dict[str, Any]:
    machine = results.fingerprint
    peers = {name: why for name, why in results.absent.items() if name.partition("::")[0] in content.RUN_MODES}
    rivals = content.peer_results(results)
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
        "figures": dict.fromkeys(figures.FIGURES, "") | {name: _inline(text) for name, text in pictures.items()},
        "steps": content.steps(results),
        "kept": content.ratio_results(results),
        "rivals": rivals,
        "contests": content.program_tables(results),
        "modes": list(content.RUN_MODES.values()),
        "versions": {one.name: one.version for one in rivals if one.version},
        "absent_peers": {_in_words(name): why for name, why in peers.items()},
        "operations": content.operations(results),
        "all": [_line(one) for one in units.in_order(results)],
        "absent": {name: why for name, why in results.absent.items() if name not in peers},
        "trust": content.subject_noise(results),
    }


def _in_words(peer: str) -> str:
    """The name of a peer that was not raced, or not with some program, for people."""
    mode, _, rest = peer.partition("::")
    program, _, name = rest.rpartition("::")
    pinned = ", on one CPU" if mode == "peers_pinned" else ""
    return f"{name} with {program}{pinned}" if program else name


def _inline(svg: str) -> Any:
    """An SVG file's element, to stand in a page."""
    from markupsafe import Markup

    return Markup(svg[svg.index("<svg") :])


def _line(one: Any) -> dict[str, Any]:
    low, high = units.quartiles(one.samples)
    return {
        "name": one.name,
        "median": shown(one.median, one.unit),
        "low": shown(low, one.unit),
        "high": shown(high, one.unit),
        "rounds": len(one.samples),
        "about": one.about.get("description", ""),
    }
