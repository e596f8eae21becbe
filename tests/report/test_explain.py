"""An explanation has the claim, the expectation and the evidence, and names the cause of each EPERM."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from scripted import NAMES, SCENARIOS, Quiet, footer, frames, header, place, planner, trial

from worldswitch.harness.cell.diagnosis.model import Diagnosis, Event, ProcessSnapshot, ThreadSnapshot
from worldswitch.harness.cell.probes.needs import IMPLIED
from worldswitch.harness.cell.records import Complaint, KernelLog, Trial
from worldswitch.harness.cli.main import main
from worldswitch.harness.environments import plan
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.report import explain
from worldswitch.harness.results import trial_id
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run
from worldswitch.harness.verdict import Verdict

DIAGNOSIS = Diagnosis(
    events=(
        Event(seconds=0.5, tracer=7, tid=8, request="PTRACE_SYSEMU", result="0", registers={"rax": "0x7"}),
        Event(seconds=0.6, tracer=7, tid=8, request="wait4", result="stopped by SIGSEGV", status=0xB7F),
    ),
    forgotten=12,
    processes=(
        ProcessSnapshot(
            pid=8,
            parent=7,
            name="stub",
            threads=(
                ThreadSnapshot(
                    tid=8,
                    name="stub",
                    state="t (tracing stop)",
                    tracer=7,
                    wchan="ptrace_stop",
                    stack=("ptrace_stop+0x1/0x2",),
                    status={"SigPnd": "0000000000000400", "SigBlk": "0000000000000000"},
                ),
            ),
            maps=("1000-2000 r-xp",),
        ),
    ),
    moment="at the deadline",
)
FREE = Confinement(capabilities="0", answers={"PTRACE_SEIZE": "ESRCH"}, modules="capability")

Kept = Callable[..., trial_id.KeptTrial]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Runs one cell with one trial, and returns the saved trial."""

    def run(
        one: Trial, known: Confinement | None = FREE, rules: tuple[Expectation, ...] = (), **probes: str
    ) -> trial_id.KeptTrial:
        first = header([one.scenario], **probes)
        first = msgspec.structs.replace(
            first,
            environment=first.environment | {"guest": "Linux 5.10"},
            fingerprint=msgspec.structs.replace(first.fingerprint, confinement=known),
        )
        where = place("docker:a", frames([first, one, footer([one])]), *rules)
        monkeypatch.setattr(plan, "plan", planner(where))
        Run(Request(seed=7), SCENARIOS, tmp_path, Quiet()).go()
        return trial_id.find(f"docker:a::{one.scenario}@{tmp_path}")

    return run


def explained(kept: trial_id.KeptTrial) -> dict[str, str]:
    return {section.title: "\n".join(section.lines) for section in explain.sections(kept)}


def test_a_failure_is_explained_from_the_claim_to_the_assertion(kept: Kept) -> None:
    one = trial(
        NAMES[0],
        Verdict.FAIL,
        reason="AssertionError: assert 1 == 2",
        assertion=True,
        detail=">  assert 1 == 2",
        clauses=("seed.W4", "gvisor d844c7bbb"),
        transcript=("0.1 switch()",),
        output="printed",
        diagnosis=DIAGNOSIS,
    )
    sections = explained(found := kept(one))
    assert sections["trial"].startswith(f"docker:a::{NAMES[0]}: fail, not as expected")
    assert "guest: Linux 5.10" in sections["trial"].splitlines(), "a fact from the cell's header"
    assert sections["claim"] == f"SG01: The claim of {NAMES[0]}."
    assert sections["clauses"].splitlines()[0].startswith("seed.W4: a stub's death is expected in one place only")
    assert sections["clauses"].splitlines()[1] == "gvisor d844c7bbb"
    assert sections["expected"] == "pass: no rule covers this trial"
    assert sections["what happened"] == "fail: AssertionError: assert 1 == 2"
    assert sections["assertion"] == ">  assert 1 == 2"
    assert sections["transcript"] == "0.1 switch()"
    assert sections["output"] == "printed"
    assert sections["last ptrace events"].splitlines() == [
        "... 12 events before",
        "  0.500000  7 PTRACE_SYSEMU 8 -> 0  rax=0x7",
        "  0.600000  7 wait4 8 -> stopped by SIGSEGV",
    ]
    assert sections["processes"].splitlines() == [
        "at the deadline:",
        "process 8 stub, child of 7",
        "  thread 8 stub: t (tracing stop), traced by 7, waits in ptrace_stop",
        "    ptrace_stop+0x1/0x2",
        "    SigPnd 0000000000000400",
        "  1000-2000 r-xp",
    ]
    assert sections["again"] == f"worldswitch repro docker:a::{NAMES[0]}@{found.run.folder}"
    assert "cause of the denial" not in sections


def test_the_expectation_has_its_rule_and_evidence(kept: Kept) -> None:
    rule = Expectation(
        (NAMES[0],),
        frozenset({Verdict.FAIL}),
        "it cannot",
        source="a.toml rule 1",
        evidence=("ptrace(2) PTRACE_SEIZE",),
    )
    sections = explained(kept(trial(NAMES[0], Verdict.FAIL), rules=(rule,)))
    assert sections["trial"].startswith(f"docker:a::{NAMES[0]}: fail, as expected")
    assert sections["expected"].splitlines() == [
        "fail: it cannot",
        "rule: a.toml rule 1",
        "evidence: ptrace(2) PTRACE_SEIZE",
    ]


def test_needed_probes_and_failed_probes_of_their_families_are_listed(kept: Kept) -> None:
    sections = explained(
        kept(trial(NAMES[0]), **dict.fromkeys(IMPLIED, "yes"), sysemu="no", syscall_info="yes", amx="no")
    )
    assert sections["relevant probes"].splitlines() == [
        "ptrace: yes: ptrace is yes (needed)",
        "platform_calls: yes: platform_calls is yes (needed)",
        "ptrace_requests: yes: ptrace_requests is yes (needed)",
        "stub_calls: yes: stub_calls is yes (needed)",
        "sysemu: no: sysemu is no",
    ]


def test_an_implied_need_that_blocked_a_trial_is_listed(kept: Kept) -> None:
    blocked = trial(NAMES[0], Verdict.BLOCKED, reason="needs stub_calls: system call 9: Operation not permitted")
    known = replace(FREE, seccomp=2)
    sections = explained(kept(blocked, known, ptrace="yes", stub_calls="denied"))
    assert "stub_calls: denied: stub_calls is denied (needed)" in sections["relevant probes"].splitlines()
    assert sections["cause of the denial"].startswith("stub_calls: stub_calls is denied: perhaps seccomp")


def test_a_scenario_about_denied_ptrace_needs_no_ptrace(kept: Kept) -> None:
    assert explain.needs(kept(trial(NAMES[2]))) == ("platform_calls", "ptrace_denied")


BLOCKED = trial(NAMES[0], Verdict.BLOCKED, reason="needs ptrace: ptrace request 0x4206: Operation not permitted")


def test_a_filter_that_denies_ptrace_is_named(kept: Kept) -> None:
    known = replace(FREE, answers={"PTRACE_SEIZE": "EPERM"}, seccomp=2)
    cause = explained(kept(BLOCKED, known, ptrace="denied"))["cause of the denial"]
    assert cause.startswith("PTRACE_SEIZE: EPERM: seccomp: ")
    assert "what to do: use a profile that allows ptrace" in cause


def test_yama_is_named(kept: Kept) -> None:
    known = replace(FREE, yama=2, errors={"PTRACE_SEIZE": "EPERM"})
    assert explained(kept(BLOCKED, known, ptrace="denied"))["cause of the denial"].startswith(
        "PTRACE_SEIZE: EPERM: yama: ptrace_scope is 2"
    )


def test_the_refused_request_is_read_from_the_events(kept: Kept) -> None:
    refused = Diagnosis(events=(Event(seconds=0.5, tracer=7, tid=8, request="PTRACE_ATTACH", result="EPERM"),))
    known = replace(FREE, answers={"PTRACE_SEIZE": "ESRCH", "PTRACE_ATTACH": "EPERM"}, seccomp=2)
    cause = explained(kept(trial(NAMES[0], Verdict.FAIL, diagnosis=refused), known))["cause of the denial"]
    assert cause.startswith("PTRACE_ATTACH: EPERM: seccomp")


def test_an_eperm_that_only_the_reason_names_is_explained_too(kept: Kept) -> None:
    one = trial(NAMES[0], Verdict.FAIL, reason="ptrace: PTRACE_SEIZE of our own child: EPERM")
    known = replace(FREE, tracer=99, tracer_name="strace", child_tracer=99)
    assert "EPERM: already traced: process 99 (strace)" in explained(kept(one, known))["cause of the denial"]


def test_an_eperm_outside_ptrace_is_not_attributed_to_ptrace_s_denial(kept: Kept) -> None:
    one = trial(NAMES[0], Verdict.FAIL, reason="HostError: munmap: Operation not permitted")
    cause = explained(kept(one, replace(FREE, seccomp=2)))["cause of the denial"]
    assert cause.startswith("an operation: EPERM: perhaps seccomp: a filter is in force")


def test_a_later_request_is_explained_by_what_was_tried_for_it(kept: Kept) -> None:
    """A filter answers PTRACE_SYSEMU alone: neither an invented answer nor a security module is told."""
    refused = Diagnosis(events=(Event(seconds=0.5, tracer=7, tid=8, request="PTRACE_SYSEMU", result="EPERM"),))
    one = trial(NAMES[0], Verdict.FAIL, diagnosis=refused)
    answers = {"PTRACE_SEIZE": "ESRCH", "PTRACE_SYSEMU": "EPERM"}
    known = replace(FREE, answers=answers, errors={"PTRACE_SYSEMU": "EPERM"}, seccomp=2, modules="apparmor")
    lines = explained(kept(one, known))["cause of the denial"].splitlines()
    said = "PTRACE_SYSEMU for a nonexistent pid returns EPERM, but the kernel returns ESRCH: a filter answers"
    assert lines[0] == f"PTRACE_SYSEMU: EPERM: seccomp: {said}"
    assert not any("perhaps" in line for line in lines)


def test_a_request_that_was_not_tried_is_told_so(kept: Kept) -> None:
    refused = Diagnosis(events=(Event(seconds=0.5, tracer=7, tid=8, request="PTRACE_SYSEMU", result="EPERM"),))
    cause = explained(kept(trial(NAMES[0], Verdict.FAIL, diagnosis=refused), replace(FREE, seccomp=2)))
    assert "PTRACE_SYSEMU for a nonexistent pid was not tried" in cause["cause of the denial"].splitlines()[0]


@pytest.mark.parametrize(("answer", "told"), [("EIO", True), ("ESRCH", False)])
def test_an_ordinary_errno_is_a_denial_only_if_a_filter_answers(kept: Kept, answer: str, told: bool) -> None:
    failed = Diagnosis(events=(Event(seconds=0.5, tracer=7, tid=8, request="PTRACE_SYSEMU", result="EIO"),))
    known = replace(FREE, answers={"PTRACE_SYSEMU": answer}, seccomp=2)
    sections = explained(kept(trial(NAMES[0], Verdict.FAIL, diagnosis=failed), known))
    assert ("cause of the denial" in sections) == told


def test_eacces_is_told_as_eacces(kept: Kept) -> None:
    one = trial(NAMES[0], Verdict.FAIL, reason="ptrace: PTRACE_SEIZE of our own child: Permission denied")
    known = replace(FREE, modules="apparmor", label="docker-default (enforce)")
    cause = explained(kept(one, known))["cause of the denial"]
    assert cause.startswith("PTRACE_SEIZE: EACCES: perhaps AppArmor")
    assert "apparmor=unconfined" in cause


def test_a_thread_in_a_landlock_domain_is_told_at_the_attaching(kept: Kept) -> None:
    one = trial(NAMES[0], Verdict.FAIL, reason="HostError: attaching to thread 7 of stub 6: Operation not permitted")
    known = replace(FREE, modules="landlock", landlock=1)
    assert "perhaps Landlock: this thread is in 1 nested domain" in explained(kept(one, known))["cause of the denial"]


def test_an_unrecorded_confinement_is_reported(kept: Kept) -> None:
    cause = explained(kept(BLOCKED, None, ptrace="denied"))["cause of the denial"]
    assert cause == "unknown: the run did not record this process's confinement"


#: By the expected text: a confinement in which unshare(CLONE_NEWNS) fails.
DENIERS = {
    "it needs CAP_SYS_ADMIN, which this process lacks": FREE,
    "perhaps seccomp": replace(FREE, capabilities=f"{1 << 21:x}", seccomp=2),
    "perhaps a security module or mount options": replace(FREE, capabilities=f"{1 << 21:x}"),
}


@pytest.mark.parametrize(("word", "known"), DENIERS.items(), ids=DENIERS)
def test_an_eperm_outside_ptrace_is_attributed(
    kept: Kept, word: str, known: Confinement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain, "needs", lambda _: ("ptrace", "mountns"))
    one = trial(NAMES[0], Verdict.BLOCKED, reason="needs mountns: unshare: Operation not permitted")
    assert word in explained(kept(one, known, ptrace="yes", mountns="denied"))["cause of the denial"]


def test_the_kernel_s_log_is_shown(kept: Kept) -> None:
    found = kept(trial(NAMES[0], Verdict.FAIL))
    log = KernelLog(lines=("6 [ 1.0] well",), complaints=(Complaint(meaning="it broke", line="4 [ 2.0] WARNING"),))
    reached = msgspec.structs.replace(found.cell.reached, kernel_log=log)
    found = dataclasses.replace(found, cell=dataclasses.replace(found.cell, reached=reached))
    assert explained(found)["kernel log"].splitlines() == ["it broke: 4 [ 2.0] WARNING", "6 [ 1.0] well"]


def test_the_command_prints_the_explanation(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    found = kept(trial(NAMES[0], Verdict.FAIL, reason="no"))
    assert main(["explain", str(found.id)]) == 0
    printed = capsys.readouterr().out
    assert "what happened\n  fail: no\n" in printed
    assert "\x1b" not in printed


def test_an_unknown_cell_is_refused(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    found = kept(trial(NAMES[0]))
    assert main(["explain", f"docker:b::{NAMES[0]}@{found.run.folder}"]) == 2
    assert "no cell docker:b" in capsys.readouterr().err
