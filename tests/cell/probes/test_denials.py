"""A filter that denies one request or system call of the platform is found, with its answer, and the call is named."""

from __future__ import annotations

import mmap
import re
import resource
import time

import confined
import msgspec
import pytest
from paths import ROOT

from worldswitch.harness.cell.probes import (
    Absent,
    calls,
    confinement,
    platform_calls,
    requests,
    stub_calls,
    table,
    trying,
)
from worldswitch.harness.cell.probes.calls import Call
from worldswitch.harness.cell.probes.needs import required, unmet
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.linux import syscalls
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.verdict import Verdict

PTRACE = syscalls.PTRACE["x86_64"]
ERRNOS = {"EPERM": 1, "EIO": 5, "EACCES": 13, "EINVAL": 22, "ENOSYS": 38, "0": 0}

#: Calls of the reference that any Python program makes, too: without them no cell starts.
EVERY_PROGRAM = {"read", "getpid", "getppid", "gettid", "wait4", "exit_group", "rt_sigaction", "rt_sigprocmask", "rseq"}

#: Calls of a stub whose maker has real-time priority, a negative nice value, the personality READ_IMPLIES_EXEC or a
#: limit that allows core dumps; others work without them.
OF_SOME_MAKERS = {"sched_setscheduler", "setpriority", "personality", "prlimit64"}


def found_under(*restrictions: str) -> dict[str, ProbeResult]:
    """The implied probes in a process under restrictions, and the verdict of a scenario without needs."""

    def look() -> bytes:
        confined.confine(*restrictions)
        table.forget()
        lacking = unmet(())
        found = {name: table.probe(name) for name in required(())}
        return msgspec.json.encode({**found, "verdict": ProbeResult(lacking.verdict if lacking else "pass", "")})

    ending = supervise(look, 60)
    assert ending.payload is not None, ending.output
    return msgspec.json.decode(ending.payload, type=dict[str, ProbeResult])


def only_denied(found: dict[str, ProbeResult]) -> ProbeResult:
    """The probe that is denied: every other says yes, and a scenario is blocked."""
    assert found.pop("verdict").state == Verdict.BLOCKED
    (denied,) = [one for one in found.values() if one.state != "yes"]
    assert denied.state == "denied"
    assert denied.remedy
    return denied


@pytest.mark.parametrize("answer", ["EPERM", "ENOSYS", "killed by signal 31"])
@pytest.mark.parametrize("name", [name for name in requests.REQUESTS if name != "PTRACE_SEIZE"])
def test_each_denied_request_is_named(name: str, answer: str) -> None:
    rule = f"errno:{PTRACE}:{ERRNOS[answer]}" if answer in ERRNOS else f"kill:{PTRACE}"
    denied = only_denied(found_under(f"{rule}:{requests.REQUESTS[name].number}"))
    assert denied.detail.startswith(f"{name}: {answer}")
    assert f"seccomp: {name} for a nonexistent pid returns {answer}" in denied.detail


@pytest.mark.parametrize("answer", ERRNOS)
@pytest.mark.parametrize("name", ["PTRACE_SEIZE", "PTRACE_SYSEMU", "PTRACE_GETREGSET"])
def test_each_answer_of_a_filter_is_a_denial(name: str, answer: str) -> None:
    found = found_under(f"errno:{PTRACE}:{ERRNOS[answer]}:{requests.REQUESTS[name].number}")
    assert found["verdict"].state == Verdict.BLOCKED
    first = found["ptrace" if name == "PTRACE_SEIZE" else "ptrace_requests"]
    assert first.state == "denied"
    assert first.detail.startswith(f"{name}: {answer}")
    assert f"seccomp: {name} for a nonexistent pid returns {answer}" in first.detail


#: A rule about a call that ordinary programs need as well has an argument that only platforms use.
CALLS = {
    "memfd_create": ("319",),
    "setpgid": ("109",),
    "pause": ("34",),
    "tgkill": ("234",),
    "sched_setaffinity": ("203",),
    "sched_getaffinity": ("204",),
    "restart_syscall": ("219",),
    "seccomp": ("317",),
    "mmap": ("9", f"{stub_calls.LOW}"),
    "munmap": ("11", f"{stub_calls.LOW}"),
    "clone": ("56", f"{stub_calls.THREAD_FLAGS}"),
}


@pytest.mark.parametrize("answer", ["EPERM", "EACCES", "killed by signal 31"])
@pytest.mark.parametrize("name", CALLS)
def test_each_denied_system_call_is_named(name: str, answer: str) -> None:
    number, *argument = CALLS[name]
    rule = f"errno:{number}:{ERRNOS[answer]}" if answer in ERRNOS else f"kill:{number}"
    denied = only_denied(found_under(":".join((rule, *argument))))
    assert denied.detail.startswith(f"{name}: {answer}")
    assert "seccomp: " in denied.detail


@pytest.mark.parametrize(
    ("name", "answer"),
    # A clone that is said to succeed, and to be in the child, ends the process before it can tell.
    [(name, answer) for name in CALLS for answer in ("ENOSYS", "EINVAL", "0") if (name, answer) != ("clone", "0")],
)
def test_an_answer_like_a_kernel_s_is_a_denial_if_filters_are_in_force(name: str, answer: str) -> None:
    number, *argument = CALLS[name]
    found = found_under(":".join((f"errno:{number}:{ERRNOS[answer]}", *argument)))
    assert only_denied(found).detail.startswith(f"{name}: ")


def test_a_limit_is_no_denial() -> None:
    def look() -> bytes:
        confined.confine("errno:500:1")
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        failed = Call("mmap", lambda: mmap.mmap(-1, 1 << 40), 9, (0, 0))
        with pytest.raises(Absent, match="ENOMEM"):
            calls.make_all([failed])
        return b"absent"

    assert supervise(look, 30).payload == b"absent"


def test_a_prohibition_of_new_code_is_named_by_its_own_evidence() -> None:
    denied = only_denied(found_under("mdwe"))
    assert denied.detail == (
        "mprotect(PROT_EXEC) of anonymous memory: EACCES (Permission denied): "
        "PR_SET_MDWE is in force (systemd MemoryDenyWriteExecute)"
    )
    assert "allow mmap and mprotect(PROT_EXEC) of anonymous memory" in denied.remedy


def test_an_unconfined_process_may_do_all() -> None:
    assert {one.state for one in found_under().values()} == {"yes", "pass"}


def test_filters_that_allow_all_are_not_blamed() -> None:
    assert {one.state for one in found_under("errno:500:1").values()} == {"yes", "pass"}


def test_a_false_success_is_found_and_does_not_hang() -> None:
    found = found_under(f"errno:{PTRACE}:0")["ptrace"]
    assert (found.state, found.detail.partition(" (")[0]) == ("denied", "PTRACE_SEIZE: 0")


@pytest.mark.parametrize("name", ["PTRACE_SEIZE", "PTRACE_INTERRUPT", "PTRACE_SYSEMU"])
def test_no_probe_waits_for_what_a_false_success_did_not_do(name: str) -> None:
    def look() -> bytes:
        confined.confine(f"errno:{PTRACE}:0:{requests.REQUESTS[name].number}")
        table.forget()
        begin = time.monotonic()
        states = {one: table.probe(one).state for one in ("xsave", "sysemu", "sysemu_singlestep", "syscall_info")}
        return msgspec.json.encode((states, time.monotonic() - begin))

    payload = supervise(look, 60).payload
    assert payload is not None
    states, seconds = msgspec.json.decode(payload)
    assert states["sysemu"] == "denied"
    assert seconds < trying.SECONDS, "none ran into its deadline"


def test_a_request_that_a_filter_answers_like_an_old_kernel_is_denied_to_its_own_probe() -> None:
    def look() -> bytes:
        confined.confine(f"errno:{PTRACE}:38:{syscalls.PTRACE_SYSEMU}")
        table.forget()
        return msgspec.json.encode([table.probe(name).state for name in ("sysemu", "syscall_info", "rseq")])

    assert supervise(look, 30).payload == b'["denied","denied","yes"]'


def test_the_confinement_has_the_answer_of_each_request_and_the_failure_on_a_child() -> None:
    def look() -> bytes:
        confined.confine(f"errno:{PTRACE}:1:{syscalls.PTRACE_SYSEMU}")
        return msgspec.json.encode(confinement.look())

    payload = supervise(look, 30).payload
    assert payload is not None
    known = msgspec.json.decode(payload, type=Confinement)
    assert {name: answer for name, answer in known.answers.items() if answer != "ESRCH"} == {"PTRACE_SYSEMU": "EPERM"}
    assert known.errors == {"PTRACE_SYSEMU": "EPERM"}
    assert known.seccomp == 2


# -------------------------------------------------------------------------------- the tables and the platform's sources


def sources() -> str:
    """The code of the reference, without its mutants, documentation and comments."""
    paths = [*(ROOT / "reference").glob("*.py"), *(ROOT / "reference/core").glob("*.[ch]")]
    text = re.sub(r'""".*?"""', "", "\n".join(path.read_text() for path in paths), flags=re.DOTALL)
    return re.sub(r"(//|# |#: ).*", "", text)


def test_each_request_of_the_reference_is_probed() -> None:
    names = set(re.findall(r"\bPTRACE_(?!O_|EVENT|SYSCALL_INFO)[A-Z_]+\b", sources()))
    names = {name.replace("POKEUSER", "POKEUSR") for name in names} - {"PTRACE_TRACEME"}
    assert names == set(requests.REQUESTS)


def test_each_system_call_of_the_reference_is_probed() -> None:
    made = {name.lower() for name in re.findall(r"\bSYS_(\w+)\b", sources())}
    named = {re.split(r"\W", call.name)[0] for call in (*platform_calls.CALLS, *stub_calls.CALLS)}
    assert made - named - EVERY_PROGRAM == OF_SOME_MAKERS
