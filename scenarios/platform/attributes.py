"""Attributes of a process that a fork copies: those that a stub has of its harness, and those that it must not have."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.children import Line
from worldswitch.scenarios.stage.processes import status_of
from worldswitch.scenarios.stage.stage import InspectableAddressSpace, Stage
from worldswitch.scenarios.stage.system_calls import system_call

# arch/x86/entry/syscalls/syscall_64.tbl
ALARM, PRCTL, KEYCTL, IOPRIO_SET, IOPRIO_GET = 37, 157, 250, 251, 252
ASKED = (ALARM, PRCTL, KEYCTL)

# <linux/prctl.h>
PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_GET_SECUREBITS, PR_SET_SECUREBITS = 3, 4, 27, 28
PR_SET_TIMERSLACK, PR_GET_TIMERSLACK, PR_SET_THP_DISABLE, PR_GET_THP_DISABLE, PR_SET_MDWE, PR_GET_MDWE = (
    *(29, 30, 41, 42, 65, 66),
)
MDWE_REFUSE_EXEC_GAIN = 1
SECBIT_NO_SETUID_FIXUP = 4  # <linux/securebits.h>
KEYCTL_GET_KEYRING_ID, KEYCTL_JOIN_SESSION_KEYRING = 0, 1  # <linux/keyctl.h>
SESSION_KEYRING = (1 << 64) - 3  # KEY_SPEC_SESSION_KEYRING
WHO_PROCESS, LAST_OF_BEST_EFFORT = 1, 2 << 13 | 7  # <linux/ioprio.h>

NO_DUMP = 1  #: the greatest limit that allows no core dump (fs/coredump.c)
FAR = 1000  #: seconds until a timer of the harness, which none here reaches


@dataclass(frozen=True, slots=True)
class Attribute:
    """One that a stub has of its harness: how a process sets it, and how its value is found, here and in a stub."""

    give: Callable[[], object]
    own: Callable[[], object]
    stubs: Callable[[InspectableAddressSpace], object]


def _set(option: int, value: int) -> Callable[[], object]:
    return lambda: system_call(PRCTL, option, value)


def _by_prctl(setting: int, question: int, value: int) -> Attribute:
    return Attribute(
        _set(setting, value),
        lambda: system_call(PRCTL, question),
        lambda space: space.inject(PRCTL, question),
    )


def _by_file(give: Callable[[], object], look: Callable[[int], object]) -> Attribute:
    return Attribute(give, lambda: look(os.getpid()), lambda space: look(space.stub.pid))


def _write(name: str, value: str) -> Callable[[], object]:
    return lambda: Path("/proc/self", name).write_text(value)


def _read(name: str) -> Callable[[int], object]:
    return lambda pid: Path("/proc", str(pid), name).read_text().strip()


def _limit(pid: int, name: str = "Max msgqueue size") -> list[str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.removeprefix(name).split()[:2] for line in lines if line.startswith(name))


KEPT = {
    "I/O priority": _by_file(
        lambda: system_call(IOPRIO_SET, WHO_PROCESS, 0, LAST_OF_BEST_EFFORT),
        lambda pid: system_call(IOPRIO_GET, WHO_PROCESS, pid),
    ),
    "oom_score_adj": _by_file(_write("oom_score_adj", "777"), _read("oom_score_adj")),
    "coredump_filter": _by_file(_write("coredump_filter", "5"), _read("coredump_filter")),
    "resource limits": _by_file(lambda: resource.setrlimit(resource.RLIMIT_MSGQUEUE, (4096, 8192)), _limit),
    "umask": _by_file(lambda: os.umask(0o135), lambda pid: status_of(pid, "Umask")),
    "timer slack": _by_prctl(PR_SET_TIMERSLACK, PR_GET_TIMERSLACK, 77_777),
    "huge pages": _by_prctl(PR_SET_THP_DISABLE, PR_GET_THP_DISABLE, 1),
    "securebits": _by_prctl(PR_SET_SECUREBITS, PR_GET_SECUREBITS, SECBIT_NO_SETUID_FIXUP),
    "session keyring": Attribute(
        lambda: system_call(KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, 0),
        lambda: system_call(KEYCTL, KEYCTL_GET_KEYRING_ID, SESSION_KEYRING),
        lambda space: space.inject(KEYCTL, KEYCTL_GET_KEYRING_ID, SESSION_KEYRING),
    ),
}

#: Those that may only be set once a platform has made its code.
KEPT_LATER = {"MDWE": _by_prctl(PR_SET_MDWE, PR_GET_MDWE, MDWE_REFUSE_EXEC_GAIN)}


# -------------------------------------------------------------------------------------------------------------- claims


@scenario("SG22", clauses=("getrlimit(2) RLIMIT_CORE", "core(5)"), normal=3, soak=30)
def no_end_of_a_stub_dumps_a_guest_to_the_disk(stage: Stage) -> None:
    """A stub may not leave a core dump, though its harness may; where the harness may not, it may neither."""
    for _ in range(stage.trial.repeat):
        for limit in (resource.getrlimit(resource.RLIMIT_CORE)[1], 0):
            children.run(stage, partial(_make_with_core_limit, stage, limit), 15)


@scenario("SG23", clauses=("fork(2)", "ioprio_set(2)", "prctl(2)", "keyrings(7)"), normal=3, soak=30)
def what_the_operator_set_for_the_harness_holds_for_its_stubs(stage: Stage) -> None:
    """Each setting of a process that bounds it, or says how it is treated, is the same in a stub that it makes."""
    for _ in range(stage.trial.repeat):
        children.run(stage, partial(_make_with_all, stage), 15)


@scenario("SG23", clauses=("prctl(2) PR_SET_DUMPABLE", 'ptrace(2) "Ptrace access mode checking"'), normal=3, soak=30)
def a_harness_that_is_not_dumpable_makes_no_dumpable_stub(stage: Stage) -> None:
    """A harness that no other process may look into makes stubs that none may look into, if it may trace them."""
    for _ in range(stage.trial.repeat):
        children.run(stage, partial(_make_undumpable, stage), 15)


@scenario("SG24", clauses=("fork(2)", "prctl(2) PR_SET_NO_NEW_PRIVS", "alarm(2)"), normal=3, soak=30)
def a_stub_has_no_timer_and_gains_no_privileges(stage: Stage) -> None:
    """A stub has none of its harness's timers, and no_new_privs even if its harness has not."""
    for _ in range(stage.trial.repeat):
        children.run(stage, partial(_make_with_timers, stage), 15)


# --------------------------------------------------------------------------------------------------------------- pieces


def _make_with_core_limit(stage: Stage, limit: int, _: Line) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (limit, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    space = _new_stub(stage)
    for tid in space.stub.tids:
        soft = _limit(tid, "Max core file size")[0]
        assert soft != "unlimited", "a stub may dump all of its memory"
        assert int(soft) <= min(NO_DUMP, limit % (1 << 64)), f"a stub may dump {soft} bytes of its memory"


def _make_with_all(stage: Stage, _: Line) -> None:
    given = dict(_given(stage, KEPT))
    platform = stage.platform_with(injectable=ASKED)
    _compare(stage.inspect(stage.space(platform)), given)
    later = dict(_given(stage, KEPT_LATER))
    _compare(stage.inspect(stage.space(platform)), {**given, **later})


def _given(stage: Stage, attributes: dict[str, Attribute]) -> Iterator[tuple[str, Attribute]]:
    """Give this process those attributes that it may have here, and whose values differ for it."""
    for name, attribute in attributes.items():
        try:
            before = attribute.own()
            attribute.give()
            differs = attribute.own() != before
        except OSError as refusal:
            stage.trial.note(f"{name}: {refusal}")
            continue
        if differs:
            yield name, attribute
        else:
            stage.trial.note(f"{name} is {before} and stays so")


def _compare(space: InspectableAddressSpace, attributes: dict[str, Attribute]) -> None:
    wrong = {
        name: (own, found)
        for name, attribute in attributes.items()
        if (own := attribute.own()) != (found := attribute.stubs(space))
    }
    assert not wrong, f"of the harness, and of its stub: {wrong}"


def _make_undumpable(stage: Stage, _: Line) -> None:
    system_call(PRCTL, PR_SET_DUMPABLE, 0)
    if not _may_look_into_an_undumpable_child():
        stage.trial.note("this process may not trace a child that is not dumpable")
        return
    assert _new_stub(stage).inject(PRCTL, PR_GET_DUMPABLE) == 0, "a stub is dumpable, and its harness is not"


def _may_look_into_an_undumpable_child() -> bool:
    pid = os.fork()
    if pid == 0:
        while True:
            time.sleep(FAR)
    try:
        Path(f"/proc/{pid}/exe").readlink()  # as ptrace asks for it
    except OSError:
        return False
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return True


def _make_with_timers(stage: Stage, _: Line) -> None:
    signal.setitimer(signal.ITIMER_REAL, FAR)
    space = _new_stub(stage)
    assert space.inject(ALARM) == 0, "a stub has a timer"
    with contextlib.suppress(FileNotFoundError):  # a kernel without CONFIG_CHECKPOINT_RESTORE
        assert _read("timers")(space.stub.pid) == "", "a stub has a POSIX timer"
    for tid in space.stub.tids:
        assert status_of(tid, "NoNewPrivs") == "1", "a stub gains privileges where it executes a file"


def _new_stub(stage: Stage) -> InspectableAddressSpace:
    return stage.inspect(stage.space(stage.platform_with(injectable=ASKED)))
