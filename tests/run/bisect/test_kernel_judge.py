"""Bisection over kernels: the candidates, the answer of each, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace
from scripted import NAMES, SCENARIOS, Scripted, ScriptedCell, footer, frames, header, trial

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.scenarios import Fact
from worldswitch.harness.cli import main
from worldswitch.harness.environments import plan as environment
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.images.apt_mirror import Offer
from worldswitch.harness.environments.kernels import versions
from worldswitch.harness.environments.prepared import Plan
from worldswitch.harness.environments.protocol import Environment, Missing
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict

#: The packages of the mirror by pattern; newest first, as the mirror sorts them.
HAS = {
    "linux-image-6.12.*-cloud-amd64": ["6.12.107+deb13", "6.12.94+deb13", "6.12.94+deb13~rc1", "6.12.9+deb12"],
    "linux-image-6.16.*-cloud-amd64": ["6.16.12+deb13", "6.16.3+deb13"],
    "linux-image-6.17.*-cloud-amd64": ["6.17.8+deb13"],
}


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    def offers(pattern: str, suites: Sequence[str], say: object) -> list[Offer]:
        name = pattern.replace("{}", "")
        return [
            Offer(name.replace(name.split("-")[2], version), version, "suite", "5a", "pool")
            for version in HAS.get(pattern, [])
        ]

    monkeypatch.setattr(deb_packages, "offers", offers)


def ignore(line: str) -> None:
    """Discard a line of progress."""


# -------------------------------------------------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        (("6.12", "6.17"), ["6.12.107+deb13", "6.16.3+deb13", "6.16.12+deb13", "6.17.8+deb13"]),
        (("6.12.94+deb13", "6.16.3+deb13"), ["6.12.94+deb13", "6.12.107+deb13", "6.16.3+deb13"]),
        (("6.12.9+deb12", "6.12.94+deb13"), ["6.12.9+deb12", "6.12.94+deb13~rc1", "6.12.94+deb13"]),
        (("6.17", "6.16"), ["6.17.8+deb13", "6.16.12+deb13"]),
    ],
)
def test_the_candidates_are_all_packages_between_the_ends(
    mirror: None, ends: tuple[str, str], wanted: list[str]
) -> None:
    assert versions.between(*ends, ignore) == wanted


def test_unknown_ends_and_files_are_errors(mirror: None) -> None:
    with pytest.raises(CouldNotRun, match=r"the Debian mirror has no Linux 7\.3"):
        versions.between("6.12", "7.3", ignore)
    with pytest.raises(CouldNotRun, match=r"\./bzImage is a file"):
        versions.between("6.12", "./bzImage", ignore)
    with pytest.raises(CouldNotRun, match=r"no kernel is called 6\.2"):
        versions.between("6.2", "6.12", ignore)


# --------------------------------------------------------------------------------------------------------- judging


@pytest.fixture
def bisect(mirror: None, monkeypatch: pytest.MonkeyPatch):
    """Run `worldswitch bisect` where each kernel has these verdicts in turn, or this problem or observation."""
    shown: dict[str, Sequence[Verdict] | str] = {}

    def plan(*_: object, kernels: Sequence[str] = (), **__: object) -> Plan:
        (kernel,) = kernels
        return Plan([_place(kernel, shown[kernel])])

    def run(*arguments: str, **kernels: Sequence[Verdict] | str) -> int:
        shown.update({name.replace("_", ".").replace("plus", "+"): what for name, what in kernels.items()})
        return main.main(["bisect", "SG01", "--good", "6.12", "--bad", "6.17", *arguments])

    monkeypatch.setattr(scenarios, "scenarios", lambda: list(SCENARIOS[1:]))
    monkeypatch.setattr(scenarios, "facts", list)
    monkeypatch.setattr(Request, "places", lambda self, say: plan(kernels=self.kernels))
    return run


def _place(kernel: str, shows: Sequence[Verdict] | str) -> Environment | Missing:
    if isinstance(shows, str) and shows.startswith("!"):
        return Missing(f"linux-{kernel}", shows[1:], "wait")
    turns = iter([Verdict.PASS] * 9 if isinstance(shows, str) else shows)

    def script(arguments: Sequence[str]) -> ScriptedCell:
        assert arguments[arguments.index("--facts") + 1] == (NAMES[1] if isinstance(shows, str) else "")
        one = trial(NAMES[1], next(turns), reason="assert 1 == 2")
        said = header([NAMES[1]])
        facts: Mapping[str, str] = {NAMES[1]: shows} if isinstance(shows, str) else {}
        known = replace(said, fingerprint=replace(said.fingerprint, facts=dict(facts)))
        return ScriptedCell(frames([known, one, footer([one])]))

    return Scripted(f"linux-{kernel}", script)


PASS, FAIL, ERROR, UNSUPPORTED = [Verdict.PASS], [Verdict.FAIL], [Verdict.ERROR], [Verdict.UNSUPPORTED]


def test_the_boundary_is_printed_with_the_commands_that_show_it(bisect, capsys: pytest.CaptureFixture[str]) -> None:
    kernels = {
        "6_12_107plusdeb13": PASS,
        "6_16_3plusdeb13": PASS,
        "6_16_12plusdeb13": FAIL,
        "6_17_8plusdeb13": FAIL,
    }
    assert bisect("--seed", "7", **kernels) == 0
    printed = capsys.readouterr().out
    assert f"{NAMES[1]}: 4 kernels, from 6.12.107+deb13 to 6.17.8+deb13" in printed
    assert "6.16.12+deb13: bad: 1 of 1 failed: assert 1 == 2" in printed
    assert "last good: 6.16.3+deb13\nfirst bad: 6.16.12+deb13" in printed
    assert f"--id {NAMES[1]}" in printed
    assert "6.16.12+deb13 " in printed.partition("to repeat both:")[2]


def test_untestable_kernels_are_listed(bisect, capsys: pytest.CaptureFixture[str]) -> None:
    kernels = {
        "6_12_107plusdeb13": PASS,
        "6_16_3plusdeb13": "!the guest panicked",
        "6_16_12plusdeb13": UNSUPPORTED,
        "6_17_8plusdeb13": FAIL,
    }
    assert bisect(**kernels) == 0
    printed = capsys.readouterr().out
    assert "6.16.3+deb13: untestable: the guest panicked" in printed
    assert "6.16.12+deb13: untestable: unsupported: assert 1 == 2" in printed
    assert "any of these may be the first bad kernel: 6.16.3+deb13, 6.16.12+deb13" in printed


def test_one_failure_among_several_is_bad(bisect, capsys: pytest.CaptureFixture[str]) -> None:
    kernels = {
        "6_12_107plusdeb13": PASS * 3,
        "6_16_3plusdeb13": [Verdict.PASS, Verdict.PASS, Verdict.TIMEOUT],
        "6_16_12plusdeb13": [Verdict.PASS, Verdict.FAIL, Verdict.PASS],
        "6_17_8plusdeb13": FAIL * 3,
    }
    assert bisect("--repeat", "3", **kernels) == 0
    printed = capsys.readouterr().out
    assert "6.12.107+deb13: good: 3 of 3 passed" in printed
    assert "6.16.3+deb13: bad: 1 of 3 failed" in printed
    assert "last good: 6.12.107+deb13\nfirst bad: 6.16.3+deb13" in printed


def test_two_good_ends_are_an_error(bisect, capsys: pytest.CaptureFixture[str]) -> None:
    assert bisect(**{"6_12_107plusdeb13": PASS, "6_17_8plusdeb13": PASS}) == 2
    assert "6.17.8+deb13 should be bad, but is good" in capsys.readouterr().err


def test_an_untestable_end_is_an_error(bisect, capsys: pytest.CaptureFixture[str]) -> None:
    assert bisect(**{"6_12_107plusdeb13": ERROR}) == 2
    captured = capsys.readouterr()
    assert "6.12.107+deb13: untestable: error: assert 1 == 2" in captured.out
    assert "should be good, but is untestable" in captured.err


def test_a_fact_is_bad_where_its_observation_changes(
    bisect, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scenarios, "facts", lambda: [Fact(SCENARIOS[1], lambda: "")])
    kernels = {
        "6_12_107plusdeb13": "ENOSYS",
        "6_16_3plusdeb13": "not observed: no time was left",
        "6_16_12plusdeb13": "it works",
        "6_17_8plusdeb13": "it works",
    }
    assert bisect(**kernels) == 0
    printed = capsys.readouterr().out
    assert "6.12.107+deb13: good: ENOSYS" in printed
    assert "6.16.3+deb13: untestable: not observed: no time was left" in printed
    assert "last good: 6.12.107+deb13\nfirst bad: 6.16.12+deb13" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["XX99", "--good", "6.12", "--bad", "6.17"], "no scenario has the id XX99"),
        (["signals::*", "--good", "6.12", "--bad", "6.17"], "matches 2 scenarios; name exactly one"),
        (["TT01", "--good", "6.2", "--bad", "6.17"], "no kernel is called 6.2"),
        (["TT01", "--good", "6.12", "--bad", "./bzImage"], "./bzImage is a file"),
        (["TT01", "--good", "6.12", "--bad", "6.12"], "6.12 is both ends; name two kernels"),
        (["TT01", "--good", "6.12", "--bad", "6.17", "--profile", "nope"], "no such profile"),
    ],
)
def test_invalid_arguments_are_errors(
    mirror: None,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(scenarios, "scenarios", lambda: list(SCENARIOS))
    assert main.main(["bisect", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_environments_are_planned_with_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    def plan(*_: object, kernels: Sequence[str] = (), **__: object) -> Plan:
        asked.append(kernels)
        return Plan()

    monkeypatch.setattr(environment, "plan", plan)
    Request(kernels=("6.12",)).places(ignore)
    assert asked == [("6.12",)]
