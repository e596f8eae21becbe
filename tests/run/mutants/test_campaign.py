"""A campaign: which mutant runs which scenarios, the files, and the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from mutilated import LUCKY, ONE, OTHER, THIRD, Mutilated, bitten, host, meet
from scripted import NAMES, SCENARIOS, Scripted, ScriptedCell, frames, hang, planner, trial, whole

from worldswitch.harness.catalogue import mutants as catalogue_mutants
from worldswitch.harness.catalogue import reason_lists, scenarios
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cli import main, mutants
from worldswitch.harness.environments import plan as environment
from worldswitch.harness.environments.protocol import Missing
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run.mutants import campaign, cells
from worldswitch.harness.run.mutants import matrix as kill_matrix
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict

FORGETFUL, HARMLESS, VANISHED = Mutilated("Forgetful"), Mutilated("Harmless"), Mutilated("Vanished", ("TT01",))
WELL = (FORGETFUL, VANISHED, Mutilated("Broken", (OTHER,)))


class World:
    """Scenarios and mutants to run, and the matrix."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.patch, self.folder, self.host = patch, folder, host()
        patch.setattr(environment, "plan", planner(self.host))
        patch.setattr(scenarios, "scenarios", lambda: list(SCENARIOS))
        self.set_mutants(*WELL)
        self.set_unproven()

    def set_mutants(self, *there: Mutilated) -> None:
        for module in (catalogue_mutants, campaign):
            self.patch.setattr(module, "mutants", lambda *_: {one.name: one for one in there})

    def set_unproven(self, **excuses: str) -> None:
        self.patch.setattr(reason_lists, "load", lambda *_: excuses)

    def run(self, *names: str, seed: int = 7, full: bool = False) -> Status:
        return mutants.show(Request(seed=seed), names, full=full, results=self.folder)

    @property
    def matrix(self) -> kill_matrix.Matrix:
        return msgspec.json.decode((self.folder / "kill_matrix.json").read_bytes(), type=kill_matrix.Matrix)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(monkeypatch, tmp_path)


def test_every_mutant_caught_and_every_scenario_proven_is_0(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run() is Status.AS_EXPECTED
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"
    assert len(world.host.cells) == 4  # the reference once, and each mutant
    (place,) = world.matrix.places
    assert {one.name: one.mutants for one in place.scenarios} == {
        ONE: ("Forgetful",),
        OTHER: ("Broken",),
        THIRD: ("Vanished",),
    }


def test_a_mutant_that_survives_is_1(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.set_mutants(*WELL, HARMLESS)
    assert world.run() is Status.UNEXPECTED
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "3 passed, 1 failed, 0 skipped"
    assert "survived  Harmless in host" in printed
    assert "again: worldswitch run --engine host --platform mutant:Harmless --id " in printed


def test_a_scenario_that_kills_nothing_is_1(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.set_mutants(*WELL[:2])
    assert world.run() is Status.UNEXPECTED
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "2 passed, 1 failed, 0 skipped"
    assert f"unproven  {OTHER} in host" in printed


def test_a_scenario_in_the_list_need_not_kill(world: World) -> None:
    world.set_mutants(*WELL[:2])
    world.set_unproven(**{OTHER: "nothing can break it"})
    assert world.run() is Status.AS_EXPECTED


@pytest.mark.parametrize("name", [ONE, "signals::gone"])
def test_an_entry_that_no_longer_applies_is_1(world: World, name: str) -> None:
    world.set_unproven(**{name: "nothing can break it"})
    assert world.run() is Status.UNEXPECTED


def test_some_mutants_alone_decide_no_states(world: World) -> None:
    assert world.run("Forgetful") is Status.AS_EXPECTED
    assert len(world.host.cells) == 2
    assert world.matrix.places[0].scenarios == ()


def test_a_scenario_that_depends_on_chance_gets_further_seeds(world: World) -> None:
    world.set_mutants(Mutilated("Fickle", (ONE, OTHER)))
    assert world.run("Fickle", seed=LUCKY - 2) is Status.AS_EXPECTED
    (mutant,) = world.matrix.places[0].mutants
    assert (mutant.fate, mutant.draws) == ("caught", 3)
    said = [b"".join(line for line in cell.frames()) for cell in world.host.cells]
    assert [name.encode() in said[-1] for name in NAMES] == [True, True, False]  # only the scenarios that it names
    assert len(said) == 1 + 3


def test_the_seeds_of_a_mutant_are_bounded(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.set_mutants(Mutilated("Fickle", (ONE,)))
    assert world.run("Fickle", seed=LUCKY + 1) is Status.UNEXPECTED
    (mutant,) = world.matrix.places[0].mutants
    assert (mutant.fate, mutant.draws) == ("survived", campaign.DRAWS)
    last = capsys.readouterr().out.splitlines()[-8:]
    assert any(line.startswith(f"survived  Fickle in host: {ONE}: ") for line in last)


def test_an_unproven_scenario_gets_further_seeds(world: World) -> None:
    world.set_mutants(Mutilated("Slow"), VANISHED)  # one scenario catches it at once, the other with one seed
    assert world.run(seed=LUCKY - 2) is Status.AS_EXPECTED
    (place,) = world.matrix.places
    assert [(one.name, one.fate, one.draws) for one in place.mutants] == [
        ("Slow", "caught", 3),
        ("Vanished", "caught", 1),
    ]
    assert {one.name: one.mutants for one in place.scenarios}[OTHER] == ("Slow",)
    assert len(world.host.cells) == 3 + 2
    met = b"".join(world.host.cells[-1].frames())
    assert [name.encode() in met for name in NAMES] == [False, True, False]


def test_the_seeds_of_an_unproven_scenario_are_bounded(world: World) -> None:
    world.set_mutants(Mutilated("Slow"), VANISHED)
    assert world.run(seed=LUCKY + 1) is Status.UNEXPECTED
    (place,) = world.matrix.places
    assert (place.mutants[0].fate, place.mutants[0].draws) == ("caught", campaign.DRAWS)
    assert {one.name: one.standing for one in place.scenarios}[OTHER] == "unproven"


def test_a_repetition_that_breaks_changes_no_fate(world: World) -> None:
    def script(arguments: Sequence[str]) -> ScriptedCell:
        return meet(arguments) if len(world.host.cells) < 3 else ScriptedCell([])

    world.host.script = script
    world.set_mutants(Mutilated("Slow"), VANISHED)
    assert world.run(seed=LUCKY - 2) is Status.UNEXPECTED
    (place,) = world.matrix.places
    assert place.mutants[0].fate == "caught"
    assert {one.name: one.standing for one in place.scenarios}[OTHER] == "unproven"


def test_some_mutants_do_not_overwrite_the_matrix_of_all(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    mutants.show(Request(), ["Forgetful"], full=False, results=None)
    assert list(tmp_path.iterdir()) == []
    mutants.show(Request(), [], full=False, results=None)
    assert sorted(file.name for file in tmp_path.glob("results/*")) == ["kill_matrix.html", "kill_matrix.json"]


def test_the_command_line(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["mutants", "--seed", "5", "--full", "--results", str(world.folder)]) == 0
    assert "--seed 5" in capsys.readouterr().out
    matrix = world.matrix
    assert (matrix.seed, matrix.full, matrix.repeat) == (5, True, "quick")


def test_without_a_seed_one_is_drawn_and_printed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    mutants.show(Request(), [], full=False, results=world.folder)
    assert f"seed {world.matrix.seed}" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------- the draw


def _campaign(seed: int = 7, *, full: bool = False) -> campaign.Campaign:
    many = [Scenario(f"many::number_{n}", ("SG02",), "", (), (), {}, 1.0) for n in range(99)]
    bare = Scenario("kernel_facts::one", ("K01",), "", (), (), {}, 1.0, subject="kernel")
    return campaign.Campaign(Request(seed=seed), {"Forgetful": FORGETFUL}, [*SCENARIOS, *many, bare], _Quiet(), full)


class _Quiet:
    def say(self, line: str) -> None: ...

    def reference_starts(self, environment: str) -> None: ...

    def reference_plans(self, trials: int) -> None: ...

    def reference_trial(self) -> None: ...

    def mutants_start(self, environment: str, mutants: int) -> None: ...

    def mutant_starts(self, mutant: str) -> None: ...

    def mutant_ends(self, one: object) -> None: ...


def _drawn(mutant: Mutilated, seed: int = 7, *, full: bool = False) -> list[str]:
    return [one.name for one in _campaign(seed, full=full).drawn(mutant)]


def test_a_mutant_runs_what_it_names_and_a_tenth_of_the_others() -> None:
    drawn = _drawn(FORGETFUL)
    assert drawn[:2] == [ONE, OTHER]
    assert len(drawn) == len(set(drawn)) == 2 + 10


def test_the_draw_depends_on_seed_and_mutant() -> None:
    assert _drawn(FORGETFUL) == _drawn(FORGETFUL)
    assert _drawn(FORGETFUL) != _drawn(FORGETFUL, seed=8)
    assert _drawn(FORGETFUL)[2:] != _drawn(HARMLESS)[2:]


def test_in_full_it_runs_every_scenario_about_a_platform() -> None:
    assert sorted(_drawn(FORGETFUL, full=True)) == sorted(one.name for one in _campaign().scenarios[:-1])


def test_chaos_is_not_drawn() -> None:
    before = _campaign()
    chaos = Scenario("chaos::one", ("CH01",), "", (), (), {}, 1.0)
    many = campaign.Campaign(before.request, before.mutants, [*before.scenarios, *[chaos] * 50], _Quiet())
    assert "chaos::one" not in [one.name for one in many.drawn(FORGETFUL)]


def test_a_mutant_that_hangs_in_every_trial_is_stopped(world: World) -> None:
    hung = trial(THIRD, Verdict.TIMEOUT, seconds=campaign.OTHERS_SECONDS + 1)

    def script(arguments: Sequence[str]) -> ScriptedCell:
        if "--mutant" not in arguments:
            return meet(arguments)
        return ScriptedCell([*frames(whole(bitten(), trial(OTHER), hung, mutant="Forgetful"))[:-1], hang])

    world.host.script = script
    assert world.run("Forgetful") is Status.AS_EXPECTED
    (place,) = world.matrix.places
    assert [it.scenario for it in place.mutants[0].undeclared] == [THIRD]
    assert world.host.cells[-1].killed


# -------------------------------------------------------------------------------------------- errors


def test_an_unknown_mutant_is_an_error(world: World) -> None:
    with pytest.raises(CouldNotRun, match="no mutant is called 'Nobody'"):
        world.run("Nobody")


def test_a_mutant_that_names_no_scenario_is_an_error(world: World) -> None:
    world.set_mutants(Mutilated("Lost", ("XX99",)))
    with pytest.raises(CouldNotRun, match="XX99"):
        world.run()


def test_no_mutants_at_all_is_an_error(world: World) -> None:
    world.set_mutants()
    with pytest.raises(CouldNotRun, match="no mutants"):
        world.run()


def test_an_unwritable_folder_is_an_error_before_the_campaign(world: World) -> None:
    (world.folder / "file").touch()
    world.folder /= "file"
    with pytest.raises(CouldNotRun, match="results cannot go to"):
        world.run()
    assert not world.host.cells


def test_a_missing_environment_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Missing("docker:a", "no engine runs here", "install one")
    monkeypatch.setattr(environment, "plan", planner(missing))
    assert world.run() is Status.COULD_NOT_RUN
    assert "no engine runs here" in world.matrix.places[0].problem


def test_an_interrupted_campaign_kills_its_cells(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign.fates, "examine", interrupt)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert all(cell.killed for cell in world.host.cells)
    assert list(world.folder.iterdir()) == []


def test_a_cell_that_starts_after_the_campaign_is_killed() -> None:
    late: Scripted = host()
    ended = cells.StoppableEnvironment(late)
    start, late.start = late.start, lambda arguments: (ended.__exit__(), start(arguments))[1]  # type: ignore[method-assign]
    with pytest.raises(InterruptedError):
        ended.start([])
    assert late.cells[0].killed
