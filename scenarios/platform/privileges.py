"""Harnesses without root's privileges: the platform works, or names the missing one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.basics import work_here
from worldswitch.scenarios.stage.children import Namespace
from worldswitch.scenarios.stage.confinement import (
    be_dumpable,
    become_nobody,
    cover,
    drop_capabilities,
    enter_user_namespace,
    filter_this_thread,
)
from worldswitch.scenarios.stage.expected_errors import why_unavailable
from worldswitch.scenarios.stage.processes import status_of
from worldswitch.scenarios.stage.stage import Stage

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
CAP_SYS_PTRACE = 19  # <linux/capability.h>


# ----------------------------------------------------------------------------------------------------------------- Yama


@scenario(
    "EV01",
    "K71",
    clauses=("gvisor#9006", "gvisor#10495", 'ptrace(2) "/proc/sys/kernel/yama/ptrace_scope"'),
    needs="yama",
)
def yama_is_lived_with_or_named(stage: Stage) -> None:
    """Under Yama's scopes 0 and 1, and 2 with CAP_SYS_PTRACE, the platform works; otherwise its error names Yama."""
    _lives_with_yama_or_names_it(stage)


@scenario(
    "EV01",
    "K71",
    clauses=("gvisor 172bcc9be", 'ptrace(2) "/proc/sys/kernel/yama/ptrace_scope"'),
    needs="yama_settable",
    alone=True,
)
def each_scope_of_yama_is_lived_with_or_named(stage: Stage) -> None:
    """Under each scope of Yama that can be left again, the platform works or its error names Yama."""
    before = YAMA.read_text()
    try:
        for scope in (0, 1, 2):
            YAMA.write_text(str(scope))
            for give_up in (_nothing, drop_capabilities):
                _run_as(stage, [give_up], _lives_with_yama_or_names_it)
    finally:
        YAMA.write_text(before)


@scenario("EV01", "K71", clauses=("gvisor 172bcc9be", "gvisor#11091"), needs="pidns seccomp")
def a_denial_by_yama_is_not_blamed_on_others(stage: Stage) -> None:
    """Where Yama denies ptrace, the error names Yama and not a filter that is installed too."""
    # The kernel refuses here in Yama's place, since the harness is not dumpable; a filter's EPERM would be no test.
    for scope in (2, 3):
        undumpable = [drop_capabilities, lambda: be_dumpable(False)]
        steps = [lambda: _show_yama(scope), *undumpable, filter_this_thread]  # noqa: B023 (called at once)
        text = str(_run_as(stage, steps, why_unavailable, Namespace.PID)).lower()
        assert "yama" in text
        assert "seccomp" not in text


def _lives_with_yama_or_names_it(stage: Stage) -> None:
    scope = int(YAMA.read_text())
    privileged = int(status_of(os.getpid(), "CapEff"), 16) >> CAP_SYS_PTRACE & 1
    if scope <= 1 or (scope == 2 and privileged):
        work_here(stage)
    else:
        assert "yama" in why_unavailable(stage).lower()


def _show_yama(scope: int) -> None:
    """Make /proc show Yama with this scope, in this mount namespace."""
    folder = YAMA.parent.parent
    cover(folder)
    (folder / "yama").mkdir()
    YAMA.write_text(f"{scope}\n")


# ------------------------------------------------------------------------------------------------------------- dumpable


@scenario("EV02", clauses=("gvisor d07850a80", "prctl(2) PR_SET_DUMPABLE"), needs="uncapped_ptrace")
def a_harness_that_nobody_may_dump_is_told(stage: Stage) -> None:
    """In a harness that is not dumpable and lacks CAP_SYS_PTRACE, the error says so."""
    text = _run_as(stage, [drop_capabilities, lambda: be_dumpable(False)], why_unavailable)
    assert "dumpable" in str(text)
    assert "security module" not in str(text), "the error guesses at a security module"


# ---------------------------------------------------------------------------------------------------------------- users


@scenario("K72", clauses=("moby#38137", 'ptrace(2) "Ptrace access mode checking"'), needs="uncapped_ptrace seccomp")
def the_basics_take_no_privileges(stage: Stage) -> None:
    """The platform works without any capability and with no_new_privs set."""
    _run_as(stage, [drop_capabilities], work_here)
    _run_as(stage, [drop_capabilities, filter_this_thread], work_here)


@scenario("K72", "EV02", clauses=('ptrace(2) "Ptrace access mode checking"', "credentials(7)"), needs="other_user")
def the_basics_work_for_any_user(stage: Stage) -> None:
    """The platform works in a process that became an ordinary user and is dumpable."""
    _run_as(stage, [become_nobody], work_here)


@scenario("K72", clauses=("user_namespaces(7)",), needs="userns")
def the_basics_work_in_a_user_namespace(stage: Stage) -> None:
    """The platform works in its own user namespace, as a user without a name there."""
    _run_as(stage, [enter_user_namespace], work_here)


def _run_as(
    stage: Stage,
    steps: Sequence[Callable[[], None]],
    work: Callable[[Stage], object],
    namespace: Namespace = Namespace.SAME,
) -> object:
    """Run `work` in a process after `steps`; its result."""

    def take_steps_and_work(_: children.Line) -> object:
        for step in steps:
            step()
        return work(stage)

    return children.run(stage, take_steps_and_work, 15, namespace)


def _nothing() -> None:
    """Keep all privileges."""
