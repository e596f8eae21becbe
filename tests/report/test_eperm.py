"""The cause of an EPERM from ptrace is found, with each cause really set up; the reference finds the same."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from worldswitch.harness import ptrace_denial
from worldswitch.harness.cell.probes import confinement, requests
from worldswitch.harness.cell.supervisor import supervise
from worldswitch.harness.linux import ptrace, syscalls
from worldswitch.harness.ptrace_denial import Confinement, Mechanism
from worldswitch.harness.report import eperm

refusals = pytest.importorskip("worldswitch.reference.refusals")  # before a user is who may not read it

PTRACE_TRACEME, PTRACE_O_TRACEFORK, PTRACE_CONT = 0, 2, 7
NOBODY = 65534


def found_in(set_up: Callable[[], object]) -> tuple[Confinement, str, str]:
    """In a process after `set_up`: its confinement, the errno of ptrace, and the reference's message."""

    def body() -> bytes:
        set_up()
        known = replace(ptrace_denial.current(), answers=requests.answers())
        return msgspec.json.encode((known, *_refusal()))

    ending = supervise(body, 30)
    assert ending.payload is not None, ending.output
    return msgspec.json.decode(ending.payload, type=tuple[Confinement, str, str])


def _refusal() -> tuple[str, str]:
    try:
        with ptrace.stopped_child():
            return "", ""
    except OSError as error:
        return errno.errorcode[error.errno or 0], str(refusals.refused("PTRACE_SEIZE", error.errno or 0))


def deny_ptrace() -> None:
    ptrace.forbid(101, errno.EPERM)


def deny_seize_only() -> None:
    load_number, load_request = (0x20, 0, 0, 0), (0x20, 0, 0, 16)
    is_ptrace, is_seize = (0x15, 0, 3, 101), (0x15, 0, 1, syscalls.PTRACE_SEIZE)
    ptrace.install_filter(load_number, is_ptrace, load_request, is_seize, (0x06, 0, 0, 0x00050000 | errno.EPERM))


def be_another_user() -> None:
    """Drop all capabilities; this process and its children are no longer dumpable."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


#: The set-up, the cause, and the text in the reference's message.
REAL = (
    (deny_ptrace, Mechanism.SECCOMP, "seccomp: "),
    (deny_seize_only, Mechanism.SECCOMP, "seccomp: "),
    (be_another_user, Mechanism.CAPABILITY, "CAP_SYS_PTRACE"),
)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize(("set_up", "who", "word"), REAL, ids=[one[0].__name__ for one in REAL])
def test_the_cause_is_found(set_up: Callable[[], object], who: Mechanism, word: str) -> None:
    known, error, reference = found_in(set_up)
    assert error == "EPERM"
    one = ptrace_denial.cause(known)
    assert one is not None
    assert (one.mechanism, one.denies) == (who, True)
    assert one.remedy
    assert word in reference


def test_no_cause_is_found_in_an_unconfined_process() -> None:
    known, error, _ = found_in(lambda: None)
    assert error == ""
    assert [one.mechanism for one in ptrace_denial.checks(known) if one.denies] == []


def test_a_tracer_that_follows_forks_is_found() -> None:
    """A tracer with PTRACE_O_TRACEFORK traces each child from its birth, so no other process can."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        syscalls.ptrace(PTRACE_TRACEME, 0)
        os.kill(os.getpid(), 19)
        os.write(writer, msgspec.json.encode((ptrace_denial.current(), *_refusal_of_a_grandchild())))
        os._exit(0)
    _let_it_run(pid)
    os.close(writer)
    known, error, reference = msgspec.json.decode(os.read(reader, 1 << 16), type=tuple[Confinement, str, str])
    os.close(reader)
    one = ptrace_denial.cause(replace(known, answers={"PTRACE_SEIZE": "ESRCH"}, child_tracer=known.tracer))
    assert error == "EPERM"
    assert one is not None
    assert (one.mechanism, one.denies) == (Mechanism.ALREADY_TRACED, True)
    assert f"process {os.getpid()} (" in one.evidence
    assert f"process {os.getpid()} (" in reference


def _refusal_of_a_grandchild() -> tuple[str, str]:
    child = os.fork()
    if child == 0:
        while True:
            os.getppid()
    try:
        syscalls.ptrace(syscalls.PTRACE_SEIZE, child)
        return "", ""
    except OSError as error:
        return errno.errorcode[error.errno or 0], str(refusals.refused("PTRACE_SEIZE", error.errno or 0))
    finally:
        os.kill(child, 9)


def _let_it_run(pid: int) -> None:
    os.waitpid(pid, syscalls.WALL)
    syscalls.ptrace(0x4200, pid, 0, PTRACE_O_TRACEFORK)
    syscalls.ptrace(PTRACE_CONT, pid)
    left = {pid}
    while left:
        stopped, status = os.waitpid(-1, syscalls.WALL)
        if os.WIFSTOPPED(status):
            left.add(stopped)
            event = status >> 16 != 0 or os.WSTOPSIG(status) == 19
            with contextlib.suppress(ProcessLookupError):
                syscalls.ptrace(PTRACE_CONT, stopped, 0, 0 if event else os.WSTOPSIG(status))
        else:
            left.discard(stopped)


FREE = Confinement(user=1000, capabilities="0", dumpable=1, answers={"PTRACE_SEIZE": "ESRCH"})
ROOT = replace(FREE, capabilities=f"{1 << 19:x}")


def but(known: Confinement = FREE, **changes: object) -> Confinement:
    return replace(known, **changes)


SEIZE, ANSWERED = "PTRACE_SEIZE", "EPERM EACCES EINVAL ENOSYS EIO 0".split()
KILLED = "killed by signal 31"


def answering(answer: str, seccomp: int | None, **more: object) -> Confinement:
    return but(answers={SEIZE: answer}, seccomp=seccomp, **more)


#: What is known, the errno of PTRACE_SEIZE of an own child, and the cause: surely, or perhaps.
CASES: dict[str, tuple[Confinement, str, Mechanism | None, bool | None]] = {
    **{f"a filter answers {it}": (answering(it, 2), it, Mechanism.SECCOMP, True) for it in (*ANSWERED, KILLED)},
    **{
        f"without filters {it} is no filter's": (answering(it, 0), it, Mechanism.KERNEL, True)
        for it in ("EINVAL", "ENOSYS", "EIO", "0")
    },
    **{
        f"without filters {it} is strange": (answering(it, 0), it, Mechanism.KERNEL, None)
        for it in ("EPERM", "EACCES", KILLED)
    },
    "the answer alone proves a filter": (answering("EPERM", None), "EPERM", Mechanism.SECCOMP, True),
    "a kill alone proves a filter": (answering(KILLED, None), KILLED, Mechanism.SECCOMP, True),
    **{
        f"{it} alone proves nothing": (answering(it, None), it, Mechanism.UNDECIDED, None)
        for it in ("EINVAL", "ENOSYS", "EIO", "0")
    },
    "no answer proves no filter": (answering("no answer", 2, modules="capability"), "EPERM", Mechanism.SECCOMP, None),
    "no answer, and no filter": (answering("no answer", 0, modules="capability"), "EPERM", None, None),
    "another signal is not how a filter kills": (answering("killed by signal 9", 2), "", Mechanism.SECCOMP, None),
    "a tracer may answer": (answering("ENOSYS", 0, tracer=9), "ENOSYS", Mechanism.KERNEL, None),
    **{
        f"{it} for a child alone is an old kernel's": (FREE, it, Mechanism.KERNEL, True)
        for it in ("EINVAL", "ENOSYS", "EIO")
    },
    "filters that were not asked": (but(answers={}, seccomp=2, modules="capability"), "EPERM", Mechanism.SECCOMP, None),
    "a filter before a tracer": (answering("EPERM", 2, tracer=9, child_tracer=9), "EPERM", Mechanism.SECCOMP, True),
    "a tracer of the children": (but(tracer=9, child_tracer=9, yama=3), "EPERM", Mechanism.ALREADY_TRACED, True),
    "a tracer of this process": (but(tracer=9, child_tracer=0, modules="bpf"), "EPERM", Mechanism.BPF, None),
    "a tracer of perhaps more": (but(tracer=9, modules="yama"), "EPERM", Mechanism.ALREADY_TRACED, None),
    "a tracer is not EACCES": (but(tracer=9, child_tracer=9, modules="yama"), "EACCES", None, None),
    "yama 3": (but(ROOT, yama=3), "EPERM", Mechanism.YAMA, True),
    "yama 2": (but(yama=2), "EPERM", Mechanism.YAMA, True),
    "yama 2 is not EACCES": (but(yama=2, modules="capability,yama"), "EACCES", None, None),
    "yama 2, with the capability": (but(ROOT, yama=2, modules="capability"), "EPERM", None, None),
    "yama 1, a child": (but(yama=1, modules="capability,yama"), "EPERM", None, None),
    "yama, not visible": (but(yama_visible=False, modules="yama"), "EPERM", Mechanism.YAMA, None),
    "yama, not visible and not active": (but(yama_visible=False, modules="capability"), "EPERM", None, None),
    "not dumpable": (but(dumpable=0), "EPERM", Mechanism.CAPABILITY, True),
    "not dumpable, with the capability": (but(ROOT, dumpable=0, modules="capability"), "EPERM", None, None),
    "permitted but not effective": (but(permitted="200000"), "EPERM", Mechanism.CAPABILITY, True),
    "permitted and effective": (but(capabilities="20", permitted="20", modules="yama"), "EPERM", None, None),
    "no module can be seen": (FREE, "EPERM", Mechanism.MODULE, None),
    "no module is active": (but(modules="lockdown,capability,yama,ima"), "EPERM", None, None),
    "another module": (but(modules="capability,smack"), "EACCES", Mechanism.MODULE, None),
    "bpf": (but(modules="lockdown,capability,yama,bpf"), "EPERM", Mechanism.BPF, None),
    "bpf, EACCES": (but(modules="capability,bpf"), "EACCES", Mechanism.BPF, None),
    "bpf does not answer ENOSYS": (but(modules="capability,bpf"), "ENOSYS", Mechanism.KERNEL, True),
    "deny_ptrace": (but(modules="selinux", deny_ptrace=True, enforcing=True), "EACCES", Mechanism.SELINUX, True),
    "deny_ptrace, permissive": (but(modules="selinux", deny_ptrace=True, enforcing=False), "EACCES", None, None),
    "a domain": (but(modules="selinux", label="u:r:httpd_t:s0"), "EACCES", Mechanism.SELINUX, None),
    "an unconfined domain": (but(modules="selinux", label="u:r:unconfined_t:s0"), "EACCES", None, None),
    "a domain that is not visible": (but(modules="selinux"), "EACCES", Mechanism.SELINUX, None),
    "SELinux does not answer EPERM": (but(modules="selinux", deny_ptrace=True), "EPERM", None, None),
    "docker-default": (but(modules="apparmor", label="docker-default (enforce)"), "EACCES", Mechanism.APPARMOR, None),
    "AppArmor, long ago": (but(modules="apparmor", label="x (enforce)"), "EPERM", Mechanism.APPARMOR, None),
    "AppArmor complains": (but(modules="apparmor", label="x (complain)"), "EACCES", None, None),
    "AppArmor, unconfined": (but(modules="apparmor", label="unconfined"), "EACCES", None, None),
    "AppArmor, not visible": (but(modules="apparmor"), "EACCES", Mechanism.APPARMOR, None),
    "AppArmor or a BPF program": (
        but(modules="apparmor,bpf", label="docker-default (enforce)"),
        "EACCES",
        Mechanism.UNDECIDED,
        None,
    ),
    "a child shares a Landlock domain": (but(modules="landlock", landlock=1), "EPERM", None, None),
}


@pytest.mark.parametrize(("known", "error", "who", "denies"), CASES.values(), ids=CASES)
def test_each_evidence_has_its_cause(
    known: Confinement, error: str, who: Mechanism | None, denies: bool | None
) -> None:
    one = ptrace_denial.cause(known, SEIZE, error)
    assert (one and (one.mechanism, one.denies)) == (who and (who, denies))
    assert one is None or one.remedy, "each possible cause has its remedy"
    every = {finding.mechanism for finding in ptrace_denial.checks(known, SEIZE, error)}
    assert every == set(Mechanism) - {Mechanism.UNDECIDED}


#: The same about a process that is not an own child, or that another thread forked.
OTHER_TARGETS: dict[str, tuple[Confinement, dict[str, bool], Mechanism | None, bool | None]] = {
    "yama 1, a stranger": (but(yama=1), {"own_child": False}, Mechanism.YAMA, True),
    "yama 1, with the capability": (but(ROOT, yama=1, modules="yama"), {"own_child": False}, None, None),
    "yama 0, a stranger": (but(yama=0, modules="yama"), {"own_child": False}, Mechanism.CAPABILITY, None),
    "a thread in a domain": (but(modules="landlock", landlock=2), {"own_thread": False}, Mechanism.LANDLOCK, None),
    "a thread in a domain that may trace": (
        but(modules="landlock,bpf", landlock=1, traces_new_child=True),
        {"own_thread": False},
        Mechanism.LANDLOCK,
        True,
    ),
    "a thread in none": (but(modules="landlock", landlock=0), {"own_thread": False}, None, None),
    "a thread in perhaps one": (but(modules="landlock"), {"own_thread": False}, Mechanism.LANDLOCK, None),
}


@pytest.mark.parametrize(("known", "target", "who", "denies"), OTHER_TARGETS.values(), ids=OTHER_TARGETS)
def test_the_target_matters(
    known: Confinement, target: dict[str, bool], who: Mechanism | None, denies: bool | None
) -> None:
    one = ptrace_denial.cause(known, SEIZE, "EPERM", **target)
    assert (one and (one.mechanism, one.denies)) == (who and (who, denies))


@pytest.mark.parametrize(
    ("seccomp", "answer", "error", "who"),
    [
        (2, "EPERM", "EPERM", Mechanism.SECCOMP),
        (2, "ENOSYS", "ENOSYS", Mechanism.SECCOMP),
        (0, "ESRCH", "EIO", Mechanism.KERNEL),
        (0, "ESRCH", "EPERM", None),
        (2, "ESRCH", "EPERM", None),
    ],
)
def test_a_later_request_is_denied_by_a_filter_or_the_kernel_alone(
    seccomp: int, answer: str, error: str, who: Mechanism | None
) -> None:
    """Yama, capabilities and modules are asked when tracing begins; a label does not deny PTRACE_SYSEMU."""
    known = but(seccomp=seccomp, answers={"PTRACE_SYSEMU": answer}, yama=3, dumpable=0, modules="apparmor,bpf")
    one = ptrace_denial.cause(known, "PTRACE_SYSEMU", error)
    assert (one and one.mechanism) == who


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (but(modules="apparmor", label="docker-default (enforce)"), ("apparmor=unconfined", "ptrace (trace")),
        (but(modules="apparmor", label="sandbox (enforce)"), ("ptrace (trace",)),
        (but(modules="selinux", deny_ptrace=True), ("setsebool",)),
        (but(modules="selinux", label="u:r:container_t:s0:c1"), ("ausearch", "label=disable")),
        (but(modules="selinux", label="u:r:httpd_t:s0"), ("ausearch",)),
        (but(modules="bpf"), ("bpftool",)),
    ],
)
def test_a_remedy_is_told_where_its_evidence_is(known: Confinement, words: tuple[str, ...]) -> None:
    one = ptrace_denial.cause(known, SEIZE, "EACCES")
    assert one
    every = ("apparmor=unconfined", "ptrace (trace", "setsebool", "ausearch", "label=disable", "bpftool")
    assert tuple(word for word in every if word in one.remedy) == words


def test_a_request_that_was_not_tried_is_not_said_to_answer() -> None:
    known = but(seccomp=2)
    (line,) = [str(it) for it in ptrace_denial.checks(known, "PTRACE_SYSEMU") if it.mechanism is Mechanism.SECCOMP]
    assert line == "seccomp: perhaps: filters are in force; PTRACE_SYSEMU for a nonexistent pid was not tried"


def test_every_possible_cause_is_listed_with_its_evidence() -> None:
    assert list(eperm.lines(but(yama=2, modules="capability,yama"), SEIZE, "EPERM")) == [
        "PTRACE_SEIZE: EPERM: yama: ptrace_scope is 2: tracing requires CAP_SYS_PTRACE",
        "  seccomp: no: no filter is in force (Seccomp: 0)",
        "  kernel: no: it knows the request",
        "  already traced: no: TracerPid is 0",
        "  yama: yes: ptrace_scope is 2: tracing requires CAP_SYS_PTRACE",
        "  capability: no: tracing an own dumpable child requires no capability",
        "  SELinux: no: SELinux answers EACCES",
        "  AppArmor: no: it is not active: capability,yama",
        "  Landlock: no: a child is in the domains of the thread that forks it",
        "  BPF LSM: no: it is not active: capability,yama",
        "  security module: no: no other is active: capability,yama",
        "what to do: grant CAP_SYS_PTRACE, or set ptrace_scope to 0 or 1",
    ]


def test_the_errno_that_was_seen_is_printed() -> None:
    known = but(modules="apparmor", label="docker-default (enforce)")
    first = next(eperm.lines(known, SEIZE, "EACCES"))
    assert first == "PTRACE_SEIZE: EACCES: perhaps AppArmor: the profile of this process is docker-default (enforce)"


def test_a_filter_that_kills_is_probed_in_a_child() -> None:
    def body() -> bytes:
        ptrace.install_filter((0x20, 0, 0, 0), (0x15, 0, 1, 101), (0x06, 0, 0, 0x80000000))
        return msgspec.json.encode(confinement.look())

    ending = supervise(body, 30)
    assert ending.payload is not None, ending.output
    known = msgspec.json.decode(ending.payload, type=Confinement)
    assert set(known.answers.values()) == {"killed by signal 31"}
    assert known.seccomp == 2


def test_the_confinement_of_this_process_is_read() -> None:
    known = confinement.look()
    assert known.answers == dict.fromkeys(requests.ASKED, "ESRCH")
    assert (known.errors, known.child_tracer) == ({}, 0)
    assert known.user == os.geteuid()
    assert struct.calcsize("=Q") * 2 == len(known.capabilities)


def _hide_proc(options: str) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.make_mounts_private()
    subprocess.run(["mount", *options.split(), "/proc"], check=True, timeout=30)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize(
    ("options", "status_visible"), [("-t tmpfs none", False), ("-t proc -o subset=pid none", True)]
)
def test_what_a_hidden_proc_does_not_show_is_not_said_to_be_absent(options: str, status_visible: bool) -> None:
    before = ptrace_denial.current()
    known, errors = _behind_a_hidden_proc(options)
    assert errors == "", errors
    assert (known.yama, known.yama_visible) == (None, False)
    assert (known.seccomp, known.capabilities, known.user) == (before.seccomp, before.capabilities, before.user)
    yama = next(it for it in ptrace_denial.checks(known, SEIZE, "EPERM") if it.mechanism is Mechanism.YAMA)
    assert yama.denies is None
    assert "not visible" in yama.evidence
    assert status_visible or known.label == ""


def _behind_a_hidden_proc(options: str) -> tuple[Confinement, str]:
    """The confinement that a process reads there, and the text of an error; the supervisor would need /proc."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _hide_proc(options)
            os.write(writer, msgspec.json.encode((replace(ptrace_denial.current(), modules=""), "")))
        except BaseException as error:
            os.write(writer, msgspec.json.encode((Confinement(), repr(error))))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    return msgspec.json.decode(told, type=tuple[Confinement, str])
