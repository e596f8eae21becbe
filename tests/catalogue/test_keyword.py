"""`-k` selects the same trials before a run as pytest does in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worldswitch.harness.catalogue import keyword, scenarios
from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.errors import CouldNotRun

COLLECT = ("-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "--pyargs", scenarios.SCENARIOS)


def collected(text: str, folder: Path) -> set[str]:
    """The trials that pytest collects."""
    command = (sys.executable, "-P", *COLLECT, "-k", text)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, check=False)
    lines = (line.partition("::") for line in done.stdout.splitlines() if "::" in line)
    return {f"{Path(path).stem}::{name}" for path, _, name in lines}


@pytest.mark.parametrize(
    "text", ["", "vsyscall", "interrupt and not resident", "SIGNALS or [hlt]", "kernel", "observe"]
)
def test_pytest_collects_the_same(text: str, tmp_path: Path) -> None:
    found = keyword.select(scenarios.scenarios(), text)
    assert {trial for one in found for trial in one.trials} == collected(text, tmp_path)


def test_a_scenario_with_parameters_keeps_the_trials_that_match() -> None:
    (found,) = keyword.select(scenarios.scenarios(), "a_refused_image and resident")
    assert found.trials == ("images::a_refused_image_is_nobody_elses[resident]",)


@pytest.mark.parametrize("text", ["foo and (", "(", "and", "a b", "not", "a or or b", "a)", "mark(x=1)", "'"])
def test_invalid_syntax_is_an_error_that_quotes_it(text: str) -> None:
    with pytest.raises(CouldNotRun, match=r"^-k"):
        keyword.select(scenarios.scenarios(), text)


def test_an_expression_that_matches_nothing_is_an_error_with_the_nearest_word() -> None:
    with pytest.raises(NotFound, match=r"-k 'vsycall' matches none of [0-9]+ scenarios.*did you mean vsyscall"):
        keyword.select(scenarios.scenarios(), "vsycall")
