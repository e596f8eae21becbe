"""Kernel bugs in the log raise complaints; messages about intended faults do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import DATA

from worldswitch.harness.environments.vm import kernel_log
from worldswitch.harness.environments.vm.kernel_log import KernelLogError

BAD = sorted((DATA / "kernel_logs" / "bad").glob("*.log"))
GOOD = sorted((DATA / "kernel_logs" / "good").glob("*.log"))


def lines(path: Path) -> list[str]:
    """Return the log's lines; the first line of a file, after a hash, is the expected meaning."""
    return path.read_text().splitlines()[1:]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_log_with_a_kernel_bug_raises_a_complaint(path: Path) -> None:
    wanted = path.read_text().splitlines()[0].removeprefix("# ")
    assert wanted in {one.meaning for one in kernel_log.shipped().complaints(lines(path))}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_log_of_a_sound_kernel_raises_none(path: Path) -> None:
    assert list(kernel_log.shipped().complaints(lines(path))) == []


def test_there_is_a_log_for_each_pattern() -> None:
    found = {one.meaning for path in BAD for one in kernel_log.shipped().complaints(lines(path))}
    assert found == {rule.meaning for rule in kernel_log.shipped().deny}


def test_a_new_taint_flag_raises_a_complaint() -> None:
    (complaint,) = kernel_log.shipped().complaints([], (0, 1 << 9 | 1))
    assert "warned" in complaint.meaning


def test_an_old_taint_flag_raises_none() -> None:
    assert list(kernel_log.shipped().complaints([], (1 << 9, 1 << 9))) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "deny"),
        ("[[deny]]\npattern = '('\nmeaning = 'x'\n", "pattern '\\('"),
        ("[[deny]]\npattern = 'x'\n", "meaning"),
        ("[[deny]]\npattern = 'x'\nmeaning = 'y'\n[[allow]]\npattern = 'z'\n", "reason"),
        ("deny = ", "kernel_log.toml"),
    ],
)
def test_an_invalid_list_of_patterns_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "kernel_log.toml"
    path.write_text(content)
    with pytest.raises(KernelLogError, match=said):
        kernel_log.load(path)
