"""A harness whose children are born into another PID namespace, where its pids are invalid and its first child is init.

The kernel gives such a process no further threads, so a platform that needs some cannot start there.  A platform that
needs none has stubs that see no sender of an interrupt, and an init that its own faults do not kill.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from worldswitch.harness.contract import Death, Interrupted, Platform, Unavailable
from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.guests import Number
from worldswitch.scenarios.stage import children
from worldswitch.scenarios.stage.alarms import timer_handler
from worldswitch.scenarios.stage.children import CLONE_NEWPID, Line, libc
from worldswitch.scenarios.stage.deaths import cause_of
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.waiting_calls import INJECTABLE


@scenario("K23", clauses=("kernel.I1", "pid_namespaces(7)"), needs="pidns", normal=2, soak=20)
def a_guest_in_another_pid_namespace_can_be_interrupted(stage: Stage) -> None:
    """With its stubs in another PID namespace, a platform interrupts its guests or raises `Unavailable`."""
    for _ in range(stage.trial.repeat):
        children.run(stage, partial(_with_children_elsewhere, stage, _interrupt), 15)


@scenario("K35", clauses=("seed.W7", "pid_namespaces(7)", "kernel.M2"), needs="pidns", normal=2, soak=20)
def a_stub_that_is_an_init_process_dies_of_its_faults(stage: Stage) -> None:
    """A stub that is PID 1, which its own faults do not kill, dies of them, or the platform raises `Unavailable`."""
    for _ in range(stage.trial.repeat):
        children.run(stage, partial(_with_children_elsewhere, stage, _pull_the_rug), 15)


def _with_children_elsewhere(stage: Stage, check: Callable[[Stage, Platform], None], _: Line) -> None:
    """Run `check` in a process that may create no threads from here on."""
    assert libc.unshare(CLONE_NEWPID) == 0
    platform = _started(stage)
    if platform is not None:
        check(stage, platform)


def _started(stage: Stage) -> Platform | None:
    """A platform, or None if it raises `Unavailable` with a remedy."""
    try:
        return stage.platform_with(injectable=INJECTABLE)
    except Unavailable as error:
        refusal = error
    except Exception as error:
        raise AssertionError(f"expected Unavailable, got {type(error).__name__}: {error}") from error
    assert refusal.remedy, f"the error names no remedy: {refusal}"
    stage.trial.note(f"refused: {refusal}")
    return None


def _interrupt(stage: Stage, platform: Platform) -> None:
    guest = stage.guest(guests.count_loop, platform=platform)
    with timer_handler(guest) as handled:
        assert guest.switch() == Interrupted()
    assert handled


def _pull_the_rug(stage: Stage, platform: Platform) -> None:
    space = stage.inspect(stage.space(platform))
    stub = space.stub

    def pull() -> None:
        space.inject(Number.MUNMAP, stub.begin, stub.end - stub.begin)
        space.inject(Number.GETPID)

    assert cause_of(pull).death == Death.BROKEN
