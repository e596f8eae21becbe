"""The pytest plugin runs scenarios on request and has no effect in other projects."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cells import run
from paths import ROOT

from worldswitch.harness.cell import seeds
from worldswitch.harness.cell.collection import concerns
from worldswitch.harness.results.cell_file import read_reached

PYTEST = [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "no:cacheprovider"]

#: A project with an option and a fixture of the same names.
CONFTEST = """
import pytest
def pytest_addoption(parser):
    parser.addoption("--platform", default="linux")
    parser.addoption("--deadline", default="tomorrow")
@pytest.fixture
def trial(pytestconfig):
    return pytestconfig.getoption("platform")
"""
TEST = """
def test_trial(trial):
    assert trial == "darwin"
"""


def test_it_has_no_effect_in_other_projects(tmp_path: Path) -> None:
    folder = tmp_path / "worldswitch"
    folder.mkdir()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TEST)
    text = "import sys, pytest; s = pytest.main(sys.argv[1:]); print(sorted(sys.modules)); sys.exit(s)"
    command = [sys.executable, "-c", text, *PYTEST[3:], str(folder), "--platform", "darwin"]
    finished, _ = run(command)
    output = finished.stdout.decode()
    assert "1 passed" in output
    assert finished.returncode == 0
    loaded = {name for name in ("msgspec", "ctypes", "worldswitch.harness.cell.suite") if f"'{name}'" in output}
    assert loaded <= {"ctypes"}


def test_it_adds_no_options_in_other_projects() -> None:
    finished, _ = run([*PYTEST, "--help"])
    assert b"--time-scale" not in finished.stdout
    finished, _ = run([*PYTEST, "--pyargs", "worldswitch.scenarios", "--help"])
    assert b"--time-scale" in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        (["--pyargs", "worldswitch.scenarios"], True),
        (["--pyargs", "worldswitch.scenarios.platform.threads"], True),
        (["-pworldswitch"], True),
        (["-p", "worldswitch.harness.cell.plugin"], True),
        (["--worldswitch-results=x"], True),
        (["--scenarios", "claims"], True),
        ([f"{ROOT}/scenarios/platform/execution.py::x"], True),
        (["/home/me/worldswitch/tests"], False),
        (["worldswitch/tests", "-q"], False),
        (["tests", "--platform", "linux"], False),
        ([], False),
    ],
)
def test_a_command_line_concerns_scenarios(arguments: list[str], ours: bool) -> None:
    assert concerns(arguments, "worldswitch.scenarios") is ours


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_draws_one_seed(tmp_path: Path, workers: str) -> None:
    path = tmp_path / "run.jsonl"
    asked = ["--pyargs", "claims", "--scenarios", "claims", "--platform", "fakes:Passes", "-k", "it_draws"]
    finished, _ = run([*PYTEST, *asked, "-n", workers, "--worldswitch-results", str(path)])
    drawn = read_reached(path)
    seed = drawn.header.seed
    assert f"normal repetitions, seed {seed}" in finished.stdout.decode()
    assert f"--seed {seed}" in finished.stdout.decode()
    assert drawn.trials[0].transcript[-1].endswith(str(seeds.of_trial(seed, drawn.trials[0].scenario)))


def test_it_writes_results(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    asked = ["--pyargs", "claims", "--scenarios", "claims", "--platform", "fakes:Passes", "--id", "BA*"]
    finished, left = run([*PYTEST, *asked, "--worldswitch-results", str(path)])
    assert b"2 passed" in finished.stdout
    assert (finished.returncode, left) == (0, ())
    assert read_reached(path).footer.counts == {"pass": 2}


def test_verdicts_are_shown_by_name() -> None:
    asked = ["--pyargs", "claims", "--scenarios", "claims", "--platform", "fakes:Passes", "-k", "inside or sleeps"]
    finished, _ = run([*PYTEST, *asked, "-v"])
    output = finished.stdout.decode()
    assert "it_looks_inside UNSUPPORTED" in output
    assert "it_sleeps TIMEOUT" in output
    assert "1 failed" in output
    assert "1 unsupported" in output
    assert finished.returncode == 1


def test_a_projects_warning_filters_decide_no_verdict() -> None:
    asked = ["--pyargs", "claims", "--scenarios", "claims", "--platform", "fakes:Passes", "--id", "CO11"]
    finished, _ = run([*PYTEST, *asked, "-W", "error"])
    assert b"1 passed" in finished.stdout


#: Invalid arguments and the messages.
REFUSED = (
    (("--scenarios", "nowhere"), "no package nowhere can be imported"),
    (("--worldswitch-results", "/nowhere/run.jsonl"), "--worldswitch-results: cannot write"),
    (("--repeat", "often"), "invalid choice: 'often'"),
    (("--seed", "luck"), "expected an integer from 0 to 4294967295, got 'luck'"),
)


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_usage_errors(arguments: tuple[str, ...], message: str) -> None:
    finished, _ = run([*PYTEST, "--pyargs", "claims", "--scenarios", "claims", *arguments])
    assert finished.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in finished.stderr.decode()


@pytest.mark.parametrize(
    "target", ["--pyargs worldswitch.scenarios", "--pyargs worldswitch.scenarios.platform.execution", "PATH"]
)
def test_scenarios_are_imported_by_name(target: str) -> None:
    path = f"{ROOT}/scenarios/platform/execution.py"
    text = "import sys, pytest; pytest.main(sys.argv[1:]); print(sorted(sys.modules))"
    where = target.replace("PATH", path).split()
    finished, _ = run([sys.executable, "-c", text, *PYTEST[3:], "--collect-only", "-q", *where])
    output = finished.stdout.decode()
    assert "execution.py::" in output
    nodes = [line for line in output.splitlines() if "::" in line]
    assert len(nodes) == len(set(nodes))
    assert "'worldswitch.scenarios.platform.execution'" in output
    assert not any(name in output for name in ("'scenarios'", "'execution'", "'harness'", "'scenarios.platform'"))
