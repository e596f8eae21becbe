"""The probes that scenarios need and that fail here, grouped by what would provide them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.cell.probes import remedies, table
from worldswitch.harness.cell.probes.needs import IMPLIED, required
from worldswitch.harness.report.doctor.findings import Lack, Remedy


def groups() -> tuple[Remedy, ...]:
    """Return what is missing by remedy, those without one last."""
    by_remedy: dict[str, list[Lack]] = {}
    for do, lack in _lacking():
        by_remedy.setdefault(do, []).append(lack)
    grouped = (Remedy(do, tuple(lacks)) for do, lacks in by_remedy.items())
    return tuple(sorted(grouped, key=lambda remedy: not remedy.do))


def _lacking() -> Iterator[tuple[str, Lack]]:
    scenarios = catalogue.scenarios()
    needs = [required(scenario.needs) for scenario in scenarios]
    for need in dict.fromkeys(itertools.chain(*needs)):
        if (found := table.probe(need)).state != "yes":
            ids = dict.fromkeys(scenario.ids[0] for scenario in scenarios if need in scenario.needs)
            lack = Lack(need, found.state, found.detail, () if need in IMPLIED else tuple(ids))
            yield remedies.of(need, found), lack
