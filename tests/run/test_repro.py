"""A trial of an earlier run is found by its id, repeated with the same request, and reproduced."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from scripted import NAMES, SCENARIOS, Quiet, frames, place, planner, trial, whole

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.cli import main
from worldswitch.harness.environments import plan
from worldswitch.harness.environments.kernels import image as kernel
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.report.export import junit
from worldswitch.harness.results import reader, trial_id
from worldswitch.harness.run import repro
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run
from worldswitch.harness.verdict import Verdict

FAILS = trial(NAMES[0], Verdict.FAIL, reason="it did not", assertion=True)
ONE_FAILS = frames(whole(FAILS, trial(NAMES[1]), trial(NAMES[2])))
ALL_PASS = frames(whole(*map(trial, NAMES)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run of a mutant, with a failure in a container and none on the host."""
    kept = tmp_path / "20260102T030405-0a1b"
    kept.mkdir()
    monkeypatch.setattr(plan, "plan", planner(place("host", ALL_PASS), place("docker:hardened", ONE_FAILS)))
    request = Request(platforms=("mutant:Any",), seed=7, deadline=3.5, profiles=("hardened", "other"), keyword="x")
    Run(request, SCENARIOS, kept, Quiet()).go()
    return kept


NAME = f"docker:hardened/mutant:Any::{NAMES[0]}"


def test_a_trial_is_found_by_its_full_id(folder: Path) -> None:
    kept = trial_id.find(f"{NAME}@{folder}")
    assert kept.judged.trial == FAILS
    assert (kept.run.folder, str(kept.cell.name)) == (folder, "docker:hardened/mutant:Any")
    assert str(kept.id) == f"{NAME}@{folder}"


def test_a_trial_is_found_without_its_folder_and_by_catalogue_id(folder: Path) -> None:
    place = folder.parent
    assert trial_id.find(f"{NAME}@{folder.name}", place).judged.trial == FAILS
    assert trial_id.find(NAME, place).judged.trial == FAILS
    assert trial_id.find("docker:hardened/mutant:Any::TT01", place).judged.trial.scenario == NAMES[2]


#: An id, and the error.
UNKNOWN = (
    ("host", "is not the id of a trial; the form is ENVIRONMENT::module::function@RUN"),
    ("::signals::x", "is not the id of a trial"),
    ("host::", "is not the id of a trial"),
    (f"host/mutant:Any::{NAMES[0]}@nowhere", "nowhere: no such folder, and no run of that name in"),
    (f"host::{NAMES[0]}", "no cell host in .*; there are host/mutant:Any, docker:hardened/mutant:Any"),
    ("host/mutant:Any::signals::none", "no scenario signals::none in host/mutant:Any; no verdict there was unexpected"),
    ("docker:hardened/mutant:Any::signals::none", f"unexpected there: {NAMES[0]}"),
    ("host/mutant:Any::SG01", f"2 scenarios have the id SG01: {NAMES[0]}, {NAMES[1]}; name one of them"),
)


@pytest.mark.parametrize(("text", "message"), UNKNOWN, ids=[text for text, _ in UNKNOWN])
def test_an_unknown_trial_is_an_error(folder: Path, text: str, message: str) -> None:
    with pytest.raises(CouldNotRun, match=message):
        trial_id.find(text, folder.parent)


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CouldNotRun, match=r"run\.json: not there"):
        trial_id.find(f"host::{NAMES[0]}@{tmp_path}")


def test_the_request_is_that_of_the_run(folder: Path) -> None:
    request = repro.request(trial_id.find(f"{NAME}@{folder}"))
    assert (request.platforms, request.ids, request.keyword) == (("mutant:Any",), (NAMES[0],), "")
    assert (request.engine, request.profiles) == ("docker", ("hardened",))
    assert (request.seed, request.repeat, request.deadline) == (7, "quick", 3.5)


def test_a_kernel_is_requested_by_its_name_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "bzImage"
    image.write_bytes(b"a kernel")
    monkeypatch.setattr(kernel, "from_file", lambda path: SimpleNamespace(environment="linux-mine"))
    guests = (place("linux-6.12", ALL_PASS), place("linux-mine:hardened", ALL_PASS))
    monkeypatch.setattr(plan, "plan", planner(*guests))
    Run(Request(kernels=("6.12", str(image))), SCENARIOS, tmp_path, Quiet()).go()
    bare, contained = (repro.request(trial_id.find(f"{one.name}::{NAMES[0]}@{tmp_path}")) for one in guests)
    assert (bare.kernels, bare.engine, bare.profiles) == (("6.12",), "host", ())
    assert (contained.kernels, contained.profiles) == ((str(image),), ("hardened",))


def test_both_commands_of_a_failure_are_equivalent(folder: Path) -> None:
    kept = trial_id.find(f"{NAME}@{folder}")
    again = repro.request(kept).again(kept.cell.name, kept.judged.trial.scenario)
    assert again == (
        f"worldswitch run --engine docker --profile hardened --platform mutant:Any --id {NAMES[0]} "
        "--repeat quick --seed 7 --deadline 3.5"
    )
    assert repro.command(kept.cell.name, NAMES[0], folder) == f"worldswitch repro {NAME}@{folder}"


def test_an_id_with_shell_characters_is_quoted(folder: Path) -> None:
    line = repro.command(CellName("host"), "signals::x[a b]", Path("results/a run"))
    assert line == "worldswitch repro 'host::signals::x[a b]@results/a run'"


def test_differences_from_the_run_are_reported(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = trial_id.find(f"{NAME}@{folder}")
    assert not list(repro.other_machine(kept, folder))
    first, *rest = whole(trial(NAMES[0]))
    machine = msgspec.structs.replace(first.fingerprint, kernel="Linux 9.9", cpus=9, versions={"worldswitch": "none"})
    first = msgspec.structs.replace(first, fingerprint=machine)
    (later := tmp_path / "later").mkdir()
    monkeypatch.setattr(plan, "plan", planner(place("host", frames([first, *rest]))))
    Run(Request(), SCENARIOS, later, Quiet()).go()
    assert list(repro.other_machine(kept, later)) == [
        "the kernel was Linux, now Linux 9.9",
        "the number of processors was 2, now 9",
    ]
    (line,) = repro.differences(trial_id.find(f"host::{NAMES[0]}@{later}"))
    assert line.startswith("worldswitch was none, now ")


def test_the_result_says_whether_it_was_reproduced(folder: Path) -> None:
    kept = trial_id.find(f"{NAME}@{folder}")
    fails, passes = kept.judged, trial_id.find(f"docker:hardened/mutant:Any::{NAMES[1]}@{folder}").judged
    assert repro.result(kept, fails) == f"reproduced: fail, as in {folder}"
    assert repro.result(kept, passes) == f"not reproduced: pass here, fail in {folder}"
    assert repro.result(kept, None) == f"not run here: it was fail in {folder}"


def test_the_command_runs_that_trial_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def scenarios(request: Request) -> object:
        asked.append(request)
        return SCENARIOS[:1]

    monkeypatch.setattr(Request, "scenarios", scenarios)
    monkeypatch.setattr(plan, "plan", planner(place("docker:hardened", frames(whole(FAILS)))))
    assert main.main(["repro", NAME, "--results", str(folder.parent)]) == 1
    assert [request.ids for request in asked] == [(NAMES[0],)]
    assert capsys.readouterr().out.splitlines()[-1] == f"reproduced: fail, as in {folder}"


def test_a_failure_of_a_mutant_is_reproduced_by_its_printed_command(tmp_path: Path) -> None:
    """Run a mutant, pick one of its failures, and run the command that was printed with it."""
    pytest.importorskip("worldswitch.reference._core")
    place = ["--results", str(tmp_path)]
    options = ["--engine", "host", "--platform", "mutant:TakesSignalsForExits", "--id", "LC01", "--repeat", "quick"]
    printed = command("run", *options, *place)
    lines = re.findall(r"again +worldswitch (repro .+)", printed)
    assert lines, printed
    again = command(*random.choice(lines).split(), *place)
    assert again.splitlines()[-1].startswith("reproduced: fail"), again
    (folder,) = tmp_path.glob("repro-*")
    assert len(reader.read(folder).manifest.scenarios) == 1
    assert reader.find("last", tmp_path) != folder


def command(*words: str) -> str:
    program = "import sys; from worldswitch.harness.cli import main as cli; sys.exit(cli.main())"
    return subprocess.run(
        [sys.executable, "-P", "-c", program, *words], capture_output=True, text=True, timeout=100, check=False, cwd="/"
    ).stdout


def test_the_junit_file_has_the_command(folder: Path) -> None:
    kept = reader.read(folder)
    junit.write(kept.outcomes, folder / "again.xml")
    assert f"worldswitch repro {NAME}@{folder}" in (folder / "again.xml").read_text()


#: Fields of a request in foreign results, and what repeating it would do.
FOREIGN: dict[str, tuple[dict[str, object], str]] = {
    "a platform": ({"platforms": ("evil:Platform",)}, "run the code of the platform evil:Platform"),
    "a profile": ({"profiles": ("./evil.toml",)}, r"start a container as the file \./evil\.toml says"),
    "a kernel": ({"kernels": ("/tmp/evil",)}, "boot the kernel /tmp/evil"),
    "a download": ({"kernels": ("6.12",)}, r"download the kernel 6\.12"),
    "an engine": ({"install_engine": True}, "install a container engine"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_run_of_another_folder_must_be_trusted_to_do_more_than_run_scenarios(what: str, folder: Path) -> None:
    fields, effect = FOREIGN[what]
    kept = trial_id.find(f"{NAME}@{folder}")
    with pytest.raises(CouldNotRun, match=f"is not a run of the folder .*{effect}.*--trust"):
        repro.check_trusted(kept, Request(**fields), folder / "results")  # type: ignore[arg-type]
    repro.check_trusted(kept, Request(**fields), folder.parent)  # type: ignore[arg-type]


def test_a_mutant_of_another_folder_s_run_needs_no_trust(folder: Path) -> None:
    kept = trial_id.find(f"{NAME}@{folder}")
    repro.check_trusted(kept, Request(platforms=("mutant:Any",), profiles=("hardened",)), folder / "results")


def test_the_code_of_another_folder_s_run_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "theirs"
    kept.mkdir()
    monkeypatch.setattr(plan, "plan", planner(place("host", ONE_FAILS)))
    Run(Request(platforms=("evil:Platform",), install_engine=True), SCENARIOS, kept, Quiet()).go()
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    trial_ = f"host/evil:Platform::{NAMES[0]}@{kept}"
    assert main.main(["repro", trial_, "--results", str(tmp_path / "mine")]) == 2
    assert "run the code of the platform evil:Platform; install a container engine" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "mine").exists()
