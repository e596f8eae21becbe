"""Harnesses with less than root's privileges: the platform works there, or names the one that is missing."""

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


# ------------------------------------------------------------------------------------------ Yama


@scenario(
    "EV01",
    "K71",
    clauses=("gvisor#9006", "gvisor#10495", 'ptrace(2) "/proc/sys/kernel/yama/ptrace_scope"'),
    needs="yama",
)
def yama_is_lived_with_or_named(stage: Stage) -> None:
    """Under Yama's scopes 0 and 1, and 2 with CAP_SYS_PTRACE, the platform works; otherwise it names Yama."""
    _lives_with_yama_or_names_it(stage)


@scenario(
    "EV01",
    "K71",
    clauses=("gvisor 172bcc9be", 'ptrace(2) "/proc/sys/kernel/yama/ptrace_scope"'),
    needs="yama_settable",
    alone=True,
)
def each_scope_of_yama_is_lived_with_or_named(stage: Stage) -> None:
    """The same under each scope that can be left again, with all privileges and without any."""
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
    """Where Yama's scope is 2 or 3 and ptrace answers EPERM, Yama is named, and not the filter that is there too.

    What answers here in Yama's place must be the kernel, and not a filter: its refusal to have undumpable ones traced.
    """
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
    """Have /proc say that Yama is there, with this scope, in this mount namespace."""
    folder = YAMA.parent.parent
    cover(folder)
    (folder / "yama").mkdir()
    YAMA.write_text(f"{scope}\n")


# ------------------------------------------------------------------------------------------ dumpable


@scenario("EV02", clauses=("gvisor d07850a80", "prctl(2) PR_SET_DUMPABLE"), needs="uncapped_ptrace")
def a_harness_that_nobody_may_dump_is_told(stage: Stage) -> None:
    """The children of a process that is not dumpable may be traced with CAP_SYS_PTRACE only; that is what it says."""
    text = _run_as(stage, [drop_capabilities, lambda: be_dumpable(False)], why_unavailable)
    assert "dumpable" in str(text)
    assert "security module" not in str(text), "it guesses where it could look"


# ------------------------------------------------------------------------------------------ users


@scenario("K72", clauses=("moby#38137", 'ptrace(2) "Ptrace access mode checking"'), needs="uncapped_ptrace seccomp")
def the_basics_take_no_privileges(stage: Stage) -> None:
    """Without any capability, and without the right to gain privileges, the platform works."""
    _run_as(stage, [drop_capabilities], work_here)
    _run_as(stage, [drop_capabilities, filter_this_thread], work_here)


@scenario("K72", "EV02", clauses=('ptrace(2) "Ptrace access mode checking"', "credentials(7)"), needs="other_user")
def the_basics_work_for_any_user(stage: Stage) -> None:
    """A process that became an ordinary user, and can be dumped again, may run the platform."""
    _run_as(stage, [become_nobody], work_here)


@scenario("K72", clauses=("user_namespaces(7)",), needs="userns")
def the_basics_work_in_a_user_namespace(stage: Stage) -> None:
    """In a user namespace of its own, as a user that has no name there, the platform works."""
    _run_as(stage, [enter_user_namespace], work_here)


def _run_as(
    stage: Stage,
    steps: Sequence[Callable[[], None]],
    work: Callable[[Stage], object],
    namespace: Namespace = Namespace.SAME,
) -> object:
    """Do `work` in a process that took `steps` before; what it returned."""

    def take_steps_and_work(_: children.Line) -> object:
        for step in steps:
            step()
        return work(stage)

    return children.run(stage, take_steps_and_work, 15, namespace)


def _nothing() -> None:
    """Keep all privileges."""
