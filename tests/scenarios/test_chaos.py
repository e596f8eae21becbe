"""Chaos finds races in a bounded number of seeds, and the rest of the scenarios does not: that is what it is for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cells import run_cell

from worldswitch.harness.verdict import Verdict

#: The most seeds to try.  Each is a run of forty schedules or fewer; about one in twenty finds the rarest race.
SEEDS = 200

#: Mutants with a race of one place between two lines, and the drawn schedules that are to find it.
RACES = {
    "LooksForTheGuestTooSoon": "CH01",
    "ReleasesWhoIsOnTheWay": "CH01",
    "RefusesWhileItDecides": "CH04",
}


@pytest.mark.parametrize("mutant", RACES)
def test_a_race_is_found_in_time(mutant: str, record_property: Callable[[str, object], None]) -> None:
    for seed in range(1, SEEDS + 1):
        arguments = ("--mutant", mutant, "--id", RACES[mutant], "--repeat", "normal", "--seed", str(seed))
        trial = run_cell(*arguments).trial
        if trial.assertion:
            record_property("seeds", seed)
            assert "of guest" in trial.reason or "of guest" in trial.detail
            return
    raise AssertionError(f"{mutant} is not found by {SEEDS} seeds")


@pytest.mark.parametrize("mutant", RACES)
def test_no_race_is_seen_where_no_chaos_reigns(mutant: str) -> None:
    families = (word for name in ("IN0*", "PO0*", "TT1*") for word in ("--id", name))
    run = run_cell("--no-chaos", "--mutant", mutant, "--seed", "1", "-n", "2", *families).run
    assert [trial.scenario for trial in run.trials if trial.assertion] == []


def test_chaos_is_left_out_when_it_is_not_wanted() -> None:
    named = ("--id", "CH01", "--id", "SG01", "--repeat", "quick")
    with_it, without = run_cell(*named).run, run_cell(*named, "--no-chaos").run
    assert [name for name in with_it.header.planned if name.startswith("chaos::")]
    assert set(without.header.planned) == {name for name in with_it.header.planned if not name.startswith("chaos::")}


@pytest.mark.parametrize("seed", [2944486676, 3184929293])
def test_a_killed_stub_may_say_released_while_its_release_is_under_way(seed: int) -> None:
    trial = run_cell("--id", "CH04", "--repeat", "normal", "--seed", str(seed)).trial
    assert trial.verdict is Verdict.PASS, trial.reason
