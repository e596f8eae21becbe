"""The request that repeats the unexpected trials of a run has those trials, and its environments as far as it can."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import big_run
import msgspec
import pytest

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cell_name import CellName, parse
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.judgement import PASSES, Judgement
from worldswitch.harness.expectations.outcome import Judged
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.run.last_failed import repetition
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict


def judged(name: str, verdict: Verdict) -> Judged:
    return Judged(Trial(scenario=name, verdict=verdict), Judgement(verdict is Verdict.PASS, PASSES))


def saved(request: Request | None = None, **cells: Verdict) -> KeptRun:
    """A run of these cells; `docker_a` is docker:a.  Each has a trial with the verdict, and one that passed."""
    kept = big_run.kept_run(
        *(
            big_run.kept_cell(
                name.replace("_", ":"), [judged("pool::a[x]", verdict), judged("pool::a[y]", Verdict.PASS)]
            )
            for name, verdict in cells.items()
        )
    )
    values = msgspec.json.decode(msgspec.json.encode(asdict(request or Request(seed=11))))
    return replace(kept, manifest=msgspec.structs.replace(kept.manifest, request=values))


@pytest.mark.parametrize(
    ("cells", "places"),
    [
        ({"host": Verdict.FAIL, "docker_a": Verdict.PASS}, {"engine": "host", "profiles": ()}),
        ({"host": Verdict.PASS, "docker_a": Verdict.CRASH}, {"engine": "auto", "profiles": ("a",)}),
        ({"host": Verdict.FAIL, "docker_a": Verdict.ERROR}, {"engine": "auto", "profiles": ()}),
    ],
)
def test_only_the_environments_with_an_unexpected_trial_are_asked_for(
    cells: dict[str, Verdict], places: dict[str, Any]
) -> None:
    found = repetition(saved(**cells)).request
    assert found is not None
    assert {name: getattr(found, name) for name in places} == places
    assert list(found.only) == [name.replace("_", ":") for name, one in cells.items() if one is not Verdict.PASS]


def test_kernels_and_profiles_that_were_named_stay_as_they_were() -> None:
    asked = Request(seed=11, kernels=("./vmlinuz",), profiles=("./mine.toml",), maxfail=1, keyword="a", chaos=False)
    found = repetition(saved(asked, host=Verdict.FAIL)).request
    assert found is not None
    assert (found.kernels, found.profiles, found.seed) == (asked.kernels, asked.profiles, 11)
    assert (found.maxfail, found.keyword, found.chaos) == (0, "", True)


def test_one_of_several_parametrised_trials_is_repeated_alone() -> None:
    found = repetition(saved(host=Verdict.FAIL)).request
    assert found is not None
    assert (found.ids, found.only) == (("pool::a",), {"host": ("pool::a[x]",)})
    arguments = found.arguments(CellName("host"), {})
    assert arguments[-2:] == ["--id", "pool::a[[]x]"]


def test_misses_are_counted_and_not_repeated() -> None:
    found = repetition(saved(host=Verdict.MISS))
    assert (found.trials, found.missed, found.request) == (0, 1, None)


def test_the_request_of_another_version_is_refused() -> None:
    kept = saved(host=Verdict.FAIL)
    broken = replace(kept, manifest=msgspec.structs.replace(kept.manifest, request={"seed": "x"}))
    with pytest.raises(CouldNotRun, match="the request of the run is invalid"):
        repetition(broken)


@pytest.mark.parametrize("name", [CellName("host"), CellName("linux-6.12:a", "package.module:Class")])
def test_the_name_of_a_cell_can_be_parsed(name: CellName) -> None:
    assert parse(str(name)) == name
