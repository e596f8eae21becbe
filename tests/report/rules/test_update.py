"""`worldswitch expect`: the errors in rules, and the edits that a run proposes, which preserve the rest of a file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from scripted import NAMES, SCENARIOS, Quiet, footer, frames, header, place, planner, trial

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.cell.records import Trial
from worldswitch.harness.cli import main
from worldswitch.harness.environments import plan
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.protocol import Environment
from worldswitch.harness.expectations import rules
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.report.rules import check, toml_edits
from worldswitch.harness.report.rules.toml_edits import CannotEdit
from worldswitch.harness.results.writer import new_folder
from worldswitch.harness.run import runner
from worldswitch.harness.run.request import Request
from worldswitch.harness.verdict import Verdict

ONE, OTHER, DENIED = NAMES  # the first two are SG01, the last is TT01 and needs `ptrace_denied`

PROFILE = """\
# Read aloud.
name = "mine"
about = "Takes nothing away."
capabilities = []
seccomp = "default"

[[expect]] # the first
scenarios = [
    "signals::one_is_ignored", # because
    "signals::another_is_ignored",
]
verdicts = ["fail"]
reason = "so"

# And this is why:
[[expect]]
needs = ["ptrace_denied"]
when = { probe.sysemu = "no" }
verdicts = ["blocked", "fail"]
reason = "so it is"
"""


@dataclass
class Files:
    """A folder of the package's rules, and a profile."""

    folder: Path
    profile: Path

    def text(self, name: str = "") -> str:
        path = self.folder / name if name else self.profile
        return path.read_text() if path.exists() else ""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    made = Files(tmp_path / "expectations", tmp_path / "mine.toml")
    made.folder.mkdir()
    made.profile.write_text(PROFILE)
    monkeypatch.setattr(rules, "folder", lambda: made.folder)
    monkeypatch.setattr(profiles, "available", lambda: {"mine": made.profile})
    monkeypatch.setattr(scenarios, "scenarios", lambda: list(SCENARIOS))
    monkeypatch.setattr(scenarios, "facts", list)
    monkeypatch.chdir(tmp_path)
    return made


def cell(name: str, *trials: Trial, **probes: str) -> Environment:
    """An environment with these verdicts, under the profile in its name."""
    records = [header([one.scenario for one in trials], None, **probes), *trials, footer(trials)]
    made = place(name, frames(records))
    if ":" in name:
        made.profile = profiles.load(profiles.available()[name.partition(":")[2]])  # type: ignore[attr-defined]
    return made


@pytest.fixture
def update(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run in these environments, and run `expect update`."""

    def command(*places: Environment, options: tuple[str, ...] = (), **request: object) -> int:
        monkeypatch.setattr(plan, "plan", planner(*places))
        folder = new_folder(tmp_path / "results")
        runner.Run(Request(**request), SCENARIOS, folder, Quiet()).go()
        return main.main(["expect", "update", folder.name, *options])

    return command


def verdicts(one: Verdict, other: Verdict, denied: Verdict) -> tuple[Trial, ...]:
    return tuple(
        trial(name, verdict, reason="" if verdict is Verdict.PASS else f"{name.partition('::')[0]} went wrong")
        for name, verdict in zip(NAMES, (one, other, denied), strict=True)
    )


FAIL, PASS, BLOCKED, CRASH = Verdict.FAIL, Verdict.PASS, Verdict.BLOCKED, Verdict.CRASH


def test_nothing_is_proposed_if_all_verdicts_are_expected(update, capsys: pytest.CaptureFixture[str]) -> None:
    assert update(cell("docker:mine", *verdicts(FAIL, FAIL, BLOCKED), sysemu="no")) == 0
    assert "the rules expect every verdict in results/" in capsys.readouterr().out


def test_a_passing_scenario_is_removed_from_its_rule(update, files: Files) -> None:
    assert update(cell("docker:mine", *verdicts(PASS, FAIL, BLOCKED), sysemu="no"), options=("--write",)) == 0
    assert files.text() == PROFILE.replace('    "signals::one_is_ignored", # because\n', "")


def test_a_rule_whose_trials_all_pass_is_removed_with_its_comment(update, files: Files) -> None:
    assert update(cell("docker:mine", *verdicts(FAIL, FAIL, PASS), sysemu="no"), options=("--write",)) == 0
    assert files.text() == PROFILE[: PROFILE.index("\n# And this")]


def test_a_rule_is_not_removed_by_a_partial_run(update, files: Files) -> None:
    """Scenarios that were not run may need the rule."""
    place = cell("docker:mine", trial(DENIED), sysemu="no")
    assert update(place, options=("--write",), ids=("TT01",)) == 0
    assert 'needs = ["ptrace_denied"]' in files.text()
    assert (
        f'[[expect]]\nscenarios = ["{DENIED}"]\nwhen = {{ probe.sysemu = "no" }}\nverdicts = ["pass"]' in files.text()
    )


def test_another_verdict_gets_its_own_rule_before(update, files: Files, tmp_path: Path) -> None:
    assert update(cell("docker:mine", *verdicts(CRASH, FAIL, BLOCKED), sysemu="no"), options=("--write",)) == 0
    (run,) = (tmp_path / "results").iterdir()
    new = f"""\
[[expect]]
scenarios = ["{ONE}"]
verdicts = ["crash"]
reason = "observed, not yet explained: signals went wrong"
evidence = ["run {run.name}"]

[[expect]] # the first
"""
    old = PROFILE.replace('    "signals::one_is_ignored", # because\n', "")
    assert files.text() == old.replace("[[expect]] # the first\n", new)


def test_a_verdict_under_one_profile_only_gets_a_rule_in_the_profile(update, files: Files) -> None:
    good, bad = verdicts(PASS, PASS, PASS), verdicts(FAIL, FAIL, CRASH)
    assert update(cell("host", *good), cell("docker:mine", *bad), options=("--write",)) == 0
    assert files.text().startswith(PROFILE)
    assert f'\n[[expect]]\nscenarios = ["{DENIED}"]\nverdicts = ["crash"]\n' in files.text()
    assert not list(files.folder.iterdir())


def test_a_distinguishing_probe_becomes_the_condition(update, files: Files) -> None:
    files.profile.write_text(PROFILE.partition("[[expect]]")[0])
    good, bad = verdicts(PASS, PASS, PASS), verdicts(FAIL, FAIL, PASS)
    places = (cell("host", *good, sysemu="yes", smp="yes"), cell("linux-6.1", *bad, sysemu="no", smp="yes"))
    assert update(*places, cell("linux-6.1:mine", *bad, sysemu="no", smp="yes"), options=("--write",)) == 0
    (rule,) = rules.load(files.folder / "observed.toml").rules
    assert (rule.scenarios, rule.when) == ((OTHER, ONE), {"probe": {"sysemu": "no"}})


def test_the_environments_are_the_condition_of_last_resort(update, files: Files) -> None:
    good, bad = verdicts(PASS, PASS, PASS), verdicts(FAIL, PASS, PASS)
    assert update(cell("host", *good), cell("linux-6.1", *bad), options=("--write",)) == 0
    (rule,) = rules.load(files.folder / "observed.toml").rules
    assert (rule.scenarios, rule.when) == ((ONE,), {"environment": ["linux-6.1"]})


def test_another_message_gets_its_own_rule(update, files: Files) -> None:
    assert update(cell("host", *verdicts(FAIL, FAIL, FAIL)), options=("--write",)) == 0
    both, other = rules.load(files.folder / "observed.toml").rules
    assert ((both.scenarios, both.reason), (other.scenarios, other.reason)) == (
        ((OTHER, ONE), "observed, not yet explained: signals went wrong"),
        ((DENIED,), "observed, not yet explained: threads went wrong"),
    )


def test_a_verdict_of_one_platform_only_goes_to_its_file(update, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    assert update(cell("host", *verdicts(FAIL, PASS, PASS)), options=("--write",), platforms=("odd",)) == 0
    found = rules.load(files.folder / "odd.toml")
    assert (found.platform, found.rules[0].scenarios, found.rules[0].when) == ("odd", (ONE,), {})


def test_a_rule_that_covers_nothing_is_removed(update, files: Files) -> None:
    files.profile.write_text(f'{PROFILE}\n[[expect]]\nscenarios = ["XX*"]\nverdicts = ["fail"]\nreason = "so"\n')
    assert update(cell("docker:mine", *verdicts(FAIL, FAIL, BLOCKED), sysemu="no"), options=("--write",)) == 0
    assert files.text() == PROFILE


def test_tighten_removes_verdicts_that_did_not_occur(update, files: Files) -> None:
    place = cell("docker:mine", *verdicts(FAIL, FAIL, BLOCKED), sysemu="no")
    assert update(place, options=("--tighten", "--write")) == 0
    assert files.text() == PROFILE.replace('["blocked", "fail"]', '["blocked"]')


def test_an_expired_rule_is_left_to_be_edited_by_hand(update, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.profile.write_text(f"{PROFILE}expires = 2020-01-01\n")
    assert update(cell("docker:mine", *verdicts(FAIL, FAIL, BLOCKED), sysemu="no"), options=("--write",)) == 1
    assert "mine.toml rule 2: it expired after 2020-01-01" in capsys.readouterr().err
    assert files.text() == f"{PROFILE}expires = 2020-01-01\n"


def test_a_file_that_cannot_be_edited_is_reported(update, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    rule = 'expect = [{ scenarios = ["SG01"], verdicts = ["fail"], reason = "so" }]'
    text = f"{PROFILE.partition('[[expect]]')[0]}{rule}\n"
    files.profile.write_text(text)
    assert update(cell("docker:mine", *verdicts(CRASH, FAIL, PASS), sysemu="no"), options=("--write",)) == 1
    message = capsys.readouterr().err
    assert "mine.toml rule 1: edit this by hand: some of its rules are not consecutive [[expect]]" in message
    assert f"{ONE} in docker:mine: crash; no edit was found" in message
    assert files.text() == text


def test_an_excused_trial_needs_no_rule(update, files: Files) -> None:
    files.profile.write_text(PROFILE.partition("[[expect]]")[0])
    lacking = trial(DENIED, Verdict.UNSUPPORTED)
    assert update(cell("docker:mine", trial(ONE), trial(OTHER), lacking, ptrace_denied="no")) == 0


def test_a_proposal_is_a_diff_that_patch_applies(
    update, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert update(cell("docker:mine", *verdicts(CRASH, PASS, BLOCKED), sysemu="no")) == 1
    diff = capsys.readouterr().out
    assert files.text() == PROFILE
    assert diff.startswith("--- mine.toml\n+++ mine.toml\n")
    subprocess.run(["patch", "-p0", "-s"], input=diff, text=True, check=True, cwd=tmp_path)
    assert 'verdicts = ["crash"]' in files.text()
    assert "another" not in files.text()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("nothing", "nothing: no such folder, and no run of that name in results"),
        ("last", "results: no runs there"),
        ("expectations", "expectations/run.json: not there"),
    ],
)
def test_a_missing_run_is_refused(files: Files, run: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["expect", "update", run]) == 2
    assert capsys.readouterr().err.startswith(f"worldswitch expect: {message}")


def test_rules_that_cannot_be_read_stop_an_update(
    update, files: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = cell("docker:mine", *verdicts(CRASH, FAIL, BLOCKED))
    files.profile.write_text(PROFILE.replace('"fail"', '"fails"'))
    assert update(place, options=("--write",)) == 2
    assert "mine.toml: rule 1: verdicts[0]: invalid enum value 'fails'" in capsys.readouterr().err


def test_the_user_s_rules_come_first_and_are_updated(update, files: Files, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    text = f'about = "x"\n\n[[expect]]\nscenarios = ["{ONE}"]\nverdicts = ["crash"]\nreason = "so"\nevidence = ["y"]\n'
    own.write_text(text)
    arguments = {"rules": (str(own),), "options": ("--write",)}
    assert update(cell("docker:mine", *verdicts(CRASH, FAIL, BLOCKED), sysemu="no"), **arguments) == 0
    assert own.read_text() == text
    assert update(cell("host", *verdicts(CRASH, FAIL, PASS)), **arguments) == 0
    assert own.read_text().startswith(text)
    assert f'\n[[expect]]\nscenarios = ["{OTHER}"]\nwhen = {{ environment = ["host"] }}\n' in own.read_text()
    assert not list(files.folder.iterdir())


def test_an_invalid_file_of_the_user_stops_a_run(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run", "--rules", str(files.profile)]) == 2
    assert "mine.toml: name: unknown field" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------------- check


def test_the_package_s_rules_have_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["expect", "check"]) == 0
    printed = capsys.readouterr().out
    assert all(line.endswith("no errors") for line in printed.splitlines())
    assert "seed.toml: " in printed
    assert "hardened.toml: " in printed


HEAD = 'about = "x"\n'
TAIL = 'verdicts = ["fail"]\nreason = "so"\nevidence = ["ptrace(2)"]\n'
WRONG = {
    '[[expect]]\nscenarios = ["SG01", "SG99"]\n': "rule 1: scenarios: SG99 matches none",
    '[[expect]]\nscenarios = ["signals::gone[x]"]\n': "rule 1: scenarios: signals::gone[x] matches none",
    '[[expect]]\nneeds = ["sysemo"]\n': "rule 1: needs: unknown probe sysemo (did you mean sysemu?); see",
    '[[expect]]\nneeds = ["smp"]\n': "rule 1: needs: no scenario needs smp",
    '[[expect]]\nscenarios = ["SG01"]\nwhen = { fact.KD99 = "x" }\n': "rule 1: when.fact.KD99: no experiment is called",
    '[[expect]]\nscenarios = ["SG01"]\nexpires = 2020-02-29\n': "rule 1: expires: it expired after 2020-02-29",
    f'[[expect]]\nscenarios = ["*"]\n{TAIL}[[expect]]\nscenarios = ["SG01"]\n': "rule 2: it decides nothing",
    '[[expect]]\nscenarios = ["SG01"]\nwhen = { kernel = "new" }\n': "/mine.toml: rule 1: when.kernel: 'new'",
    '[[expect]]\nscenarios = ["signals::one_is_ignored[any]"]\n': "1 rules, no errors",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_errors_name_the_rule_and_the_field(
    files: Files, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = files.folder / "mine.toml"
    path.write_text(HEAD + text + TAIL)
    assert main.main(["expect", "check", str(path)]) == (0 if "no errors" in message else 1)
    assert message in capsys.readouterr().out
    assert path.read_text() == HEAD + text + TAIL


def test_a_profile_is_checked_as_a_profile(files: Files) -> None:
    assert [rule.source for rule in check.expectations_of(files.profile)] == ["mine.toml rule 1", "mine.toml rule 2"]
    assert all(isinstance(rule, Expectation) for rule in check.expectations_of(files.profile))


# --------------------------------------------------------------------------------------------------------------- texts


def test_names_are_removed_from_a_line() -> None:
    text = '[[expect]]\nscenarios = ["a", "b", "c"]\nverdicts = ["fail"]\n'
    assert toml_edits.without_scenarios(text, 0, ["a", "c"]) == text.replace('"a", "b", "c"', '"b"')
    assert toml_edits.without_scenarios(text, 0, ["a", "b", "c"]).strip() == ""


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("[[expect]]\nscenarios = ['a', 'b']\n", "[[expect]]\nscenarios = ['b']\n"),
        (
            'x = """\n[[expect]]\n"""\n[[expect]]\nscenarios = ["a", "b"]\n',
            'x = """\n[[expect]]\n"""\n[[expect]]\nscenarios = ["b"]\n',
        ),
        (
            '[[expect]]\nneeds = ["x"] # so\nscenarios = ["a"]\n[expect.when]\nkernel = "6.1"\n',
            '[[expect]]\nneeds = ["x"] # so\n[expect.when]\nkernel = "6.1"\n',
        ),
    ],
)
def test_names_are_removed_in_each_layout(text: str, edited: str) -> None:
    assert toml_edits.without_scenarios(text, 0, ["a"]) == edited


@pytest.mark.parametrize(
    "text",
    [
        'expect = [{ scenarios = ["a", "b"] }]\n',
        '[[expect]]\nscenarios = ["a", "b"]\n[other]\nx = 1\n[[expect]]\nscenarios = ["c"]\n',
    ],
)
def test_an_unusual_text_is_not_edited(text: str) -> None:
    with pytest.raises(CannotEdit):
        toml_edits.without_scenarios(text, 0, ["a"])


def test_a_rule_followed_by_another_table_is_not_removed() -> None:
    with pytest.raises(CannotEdit, match="another meaning"):
        toml_edits.without_rule('[[expect]]\nscenarios = ["a"]\n\n[limits]\npids = 64\n', 0)


def test_a_long_list_has_a_line_for_each_item() -> None:
    names = [f"a_family::with_a_scenario_of_a_long_name_{number}" for number in range(3)]
    lines = "".join(f'    "{name}",\n' for name in names)
    assert toml_edits.written({"scenarios": names}) == f"[[expect]]\nscenarios = [\n{lines}]\n"


def test_a_rule_is_inserted_at_its_index() -> None:
    text = '# top\n\n[[expect]]\nscenarios = ["a"]\n\n# of b\n[[expect]]\nscenarios = ["b"]\n'
    new = {"scenarios": ["x"], "when": {"fact": {"a::b": "y"}, "probe": {"smp": "no"}}}
    written = '[[expect]]\nscenarios = ["x"]\nwhen = { fact."a::b" = "y", probe.smp = "no" }\n'
    assert toml_edits.with_rule(text, 1, new) == text.replace("# of b", f"{written}\n# of b")
    assert toml_edits.with_rule(text, 2, new) == f"{text}\n{written}"
