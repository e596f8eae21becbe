"""Two operations meet: one is held at each of its steps in turn while the other one happens, and both keep their word.

What chance brings about once in a million runs, a line of Python between two others, happens here each time.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from worldswitch.harness.contract import Busy, Event, Interrupted, Released
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage.chaos.accounting_guests import Home, Player
from worldswitch.scenarios.stage.senders import Sender
from worldswitch.scenarios.stage.stage import Stage
from worldswitch.scenarios.stage.steady_guests import GETPID
from worldswitch.scenarios.stage.stepped_threads import Actor, Deed, Hold, within
from worldswitch.scenarios.stage.thread_exits import by_returning

#: Within how many seconds what is begun is over, and how long something is waited for that may wait for who is held.
BOUND, GRACE = 3.0, 0.02

#: No operation has so many steps.
MOST = 1000


class Meeting:
    """Two guests in one address space, and threads to do things with them."""

    def __init__(self, stage: Stage, other: Sender) -> None:
        self.stage = stage
        self.other = other
        self.platform = stage.platform
        self.home = Home(stage, self.platform)
        self.player, self.sibling = (
            Player(stage, self.platform, self.home, number, resident=False) for number in range(2)
        )
        self.first, self.second = Actor(), Actor()

    def hold(self, step: int) -> Hold:
        """Hold a thread at its `step`-th step."""
        return Hold(self.platform, step)

    def result(self, deed: Deed, what: str) -> object:
        """What came of it, in time."""
        return deed.outcome(self.stage, BOUND, what)

    def makes_a_call(self, player: Player, actor: Actor) -> None:
        """Nothing keeps the guest from its next event, and its books are in order."""
        player.open_gate()
        for _ in range(3):
            outcome = self.result(player.switch(actor), f"a switch to {player}")
            if outcome != Interrupted():  # one more than was asked for does no harm
                break
        assert outcome == GETPID, f"{player} came back with {outcome!r}"
        player.answer()

    def runs(self, player: Player, deed: Deed, hold: Hold | None = None) -> None:
        """The guest, whose gate is closed, gets on; or it is held, or back."""
        before = player.progress
        moved = within(
            self.stage,
            BOUND,
            lambda: player.progress != before or deed.is_over or (hold is not None and hold.is_reached),
        )
        assert moved, f"{player} neither runs nor comes back within {BOUND} s"

    def meanwhile(self, deed: Deed, player: Player | None = None) -> None:
        """Give it a while to be over, or the guest a while to run; it may have to wait for who is held."""
        before = player.progress if player else 0
        within(self.stage, GRACE, lambda: deed.is_over or (player is not None and player.progress != before))


@contextmanager
def meeting(stage: Stage) -> Iterator[Meeting]:
    """A meeting, and its end."""
    stage.inspect(stage.space()).stub  # noqa: B018 - a platform that one cannot look into has no stub to send signals to
    with Sender() as other:
        made = Meeting(stage, other)
        try:
            yield made
        finally:
            for player in (made.player, made.sibling):
                player.open_gate()
        for actor in (made.first, made.second):
            actor.end(stage, by_returning)


def at_each_step(stage: Stage, meet: Callable[[int], Hold]) -> None:
    """Have two things meet at the first step, the second, and so on until there are no more."""
    for _ in range(stage.trial.repeat):
        for step in range(1, MOST):
            hold = meet(step)
            if not hold.is_reached:
                stage.trial.note(f"met at {step - 1} steps")
                break


# --------------------------------------------------------------------------------------------------------- interrupts


@scenario("CH06", clauses=("seed.Enable", "seed.switchToApp"), quick=1, normal=1, soak=100, deadline=120)
def an_interrupt_at_any_step_of_a_switch_ends_it(stage: Stage) -> None:
    """Whatever a switch is just doing, on its way in or at a stop: it is interrupted, and its guest is back."""
    with meeting(stage) as scene:
        for prepare in (_none, _sibling_goes_first):
            at_each_step(stage, partial(_interrupt_a_held_switch, scene, prepare))


def _none(scene: Meeting) -> None:
    """The switch is to the guest that the thread ran last."""


def _sibling_goes_first(scene: Meeting) -> None:
    """Another guest had the thread in between."""
    scene.makes_a_call(scene.sibling, scene.first)


def _interrupt_a_held_switch(scene: Meeting, prepare: Callable[[Meeting], None], step: int) -> Hold:
    player, hold = scene.player, scene.hold(step)
    prepare(scene)
    player.close_gate()
    deed = player.switch(scene.first, hold)
    scene.runs(player, deed, hold)
    if not hold.is_reached:
        scene.other.kill(scene.home.pid, signal.SIGUSR2)
        within(scene.stage, GRACE, lambda: hold.is_reached)
    player.guest.context.interrupt()
    outcome = scene.result(deed, f"a switch that was interrupted, held at {hold.place or 'no step'}")
    assert outcome == Interrupted(), f"interrupted, held at {hold.place or 'no step'}: {outcome!r}"
    scene.makes_a_call(player, scene.first)
    return hold


@scenario("CH06", clauses=("seed.Forwarder",), quick=1, normal=3, soak=100, deadline=120)
def a_switch_that_begins_at_any_step_of_an_interrupt_is_ended(stage: Stage) -> None:
    """However far an interrupt has come when a switch begins, or while it goes on: that switch comes back."""
    with meeting(stage) as scene:
        for runs_before in (False, True):
            at_each_step(stage, partial(_switch_in_a_held_interrupt, scene, runs_before))


def _switch_in_a_held_interrupt(scene: Meeting, runs_before: bool, step: int) -> Hold:
    player, hold = scene.player, scene.hold(step)
    player.close_gate()
    begun = player.switch(scene.first) if runs_before else None
    if begun:
        scene.runs(player, begun)
    interrupting = scene.second.tell(player.guest.context.interrupt, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or interrupting.is_over)
    deed = begun or player.switch(scene.first)
    scene.meanwhile(deed, player)
    assert scene.result(interrupting, "interrupt") is None
    outcome = scene.result(deed, f"a switch that began while an interrupt was held at {hold.place or 'no step'}")
    assert outcome == Interrupted(), f"it began while an interrupt was held at {hold.place}: {outcome!r}"
    scene.makes_a_call(player, scene.first)
    return hold


# ----------------------------------------------------------------------------------------------------------- releases


@scenario("CH07", clauses=("gvisor f01bf248c", "seed.Release"), quick=1, normal=2, soak=60, deadline=120)
def a_switch_that_begins_at_any_step_of_a_release(stage: Stage) -> None:
    """Either the release is refused and the guest runs on, or it is granted and the guest does not run at all."""
    with meeting(stage) as scene:
        at_each_step(stage, partial(_switch_in_a_held_release, scene))


def _switch_in_a_held_release(scene: Meeting, step: int) -> Hold:
    player, hold = scene.player, scene.hold(step)
    scene.makes_a_call(player, scene.first)
    player.close_gate()
    releasing = scene.second.tell(scene.home.space.release, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or releasing.is_over)
    deed = player.switch(scene.first)
    scene.meanwhile(deed, player)
    _keep_their_word(scene, deed, scene.result(releasing, "a release"), hold)
    return hold


@scenario("CH07", clauses=("gvisor f01bf248c", "seed.Release"), quick=1, normal=2, soak=60, deadline=120)
def a_release_at_any_step_of_a_switch(stage: Stage) -> None:
    """Whatever a switch is just doing: the release is refused, or the switch is."""
    with meeting(stage) as scene:
        for prepare in (_none, _sibling_goes_first):
            at_each_step(stage, partial(_release_in_a_held_switch, scene, prepare))


def _release_in_a_held_switch(scene: Meeting, prepare: Callable[[Meeting], None], step: int) -> Hold:
    player, hold = scene.player, scene.hold(step)
    scene.makes_a_call(player, scene.first)
    prepare(scene)
    player.close_gate()
    deed = player.switch(scene.first, hold)
    scene.runs(player, deed, hold)
    releasing = scene.second.tell(scene.home.space.release)
    scene.meanwhile(releasing)
    hold.release()
    _keep_their_word(scene, deed, scene.result(releasing, "a release"), hold)
    return hold


def _keep_their_word(scene: Meeting, deed: Deed, released: object, hold: Hold) -> None:
    """A guest whose address space was released is refused; one whose address space was not, has it."""
    player, where = scene.player, f"held at {hold.place or 'no step'}"
    assert released is None or isinstance(released, Busy), f"a release, {where}: {released!r}"
    player.open_gate()
    outcome = scene.result(deed, f"a switch while an address space is released, {where}")
    if released is None:
        assert isinstance(outcome, Released), f"a switch where the address space was released, {where}: {outcome!r}"
        scene.home.rebuild()
    else:
        assert outcome == GETPID, f"a switch where the release was refused, {where}: {outcome!r}"
        player.answer()


@scenario("CH07", clauses=("gvisor f01bf248c", "seed.Release"), normal=2, soak=60, deadline=120)
def a_refused_release_is_nothing_to_anybody(stage: Stage) -> None:
    """While one guest runs and a release is refused, at any step of that another guest can be switched to."""
    with meeting(stage) as scene:
        scene.sibling.close_gate()
        deed = scene.sibling.switch(scene.second)
        scene.runs(scene.sibling, deed)
        third = Actor()
        at_each_step(stage, partial(_switch_in_a_refused_release, scene, third))
        scene.sibling.open_gate()
        assert scene.result(deed, "the guest that ran all the time") == GETPID
        third.end(stage, by_returning)


def _switch_in_a_refused_release(scene: Meeting, third: Actor, step: int) -> Hold:
    hold = scene.hold(step)
    releasing = third.tell(scene.home.space.release, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or releasing.is_over)
    scene.player.open_gate()
    deed = scene.player.switch(scene.first)
    scene.meanwhile(deed)
    released = scene.result(releasing, "a release")
    assert isinstance(released, Busy), f"a release while a guest runs: {released!r}"
    outcome = scene.result(deed, "a switch while a release is refused")
    assert outcome == GETPID, f"a switch while a release is refused, held at {hold.place or 'no step'}: {outcome!r}"
    scene.player.answer()
    return hold


# ------------------------------------------------------------------------------------------------------- who gets what


@scenario("CH08", clauses=("seed.newSubprocess", "seed.W15", "gvisor da6ddd1df"), normal=2, soak=60, deadline=120)
def two_threads_that_ask_at_once_get_two_address_spaces(stage: Stage) -> None:
    """At whatever step of making an address space another thread makes one: no process is given to both."""
    with meeting(stage) as scene:
        for space in [stage.space() for _ in range(3)]:
            space.release()
        at_each_step(stage, partial(_ask_twice, scene))


def _ask_twice(scene: Meeting, step: int) -> Hold:
    hold = scene.hold(step)
    asked = scene.first.tell(scene.platform.new_address_space, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or asked.is_over)
    again = scene.second.tell(scene.platform.new_address_space)
    scene.meanwhile(again)
    hold.release()
    spaces = [scene.result(deed, "a new address space") for deed in (asked, again)]
    refused = [space for space in spaces if isinstance(space, Exception)]
    assert not refused, f"two new address spaces, one held at {hold.place}: {refused}"
    pids = [scene.stage.inspect(space).stub.pid for space in spaces]  # type: ignore[arg-type]
    assert len(set(pids)) == 2, f"both are process {pids[0]}, where one was held at {hold.place}"
    for space in spaces:
        space.release()  # type: ignore[attr-defined]
    return hold


@scenario("CH08", clauses=("seed.lookupOrCreate", "seed.W1"), normal=2, soak=40, deadline=120)
def two_threads_that_come_at_once_trace_two_threads(stage: Stage) -> None:
    """At whatever step a new tracing thread takes up a guest, another one takes up the next: each has its own."""
    with meeting(stage) as scene:
        for player in (scene.player, scene.sibling):
            scene.makes_a_call(player, scene.first)
        scene.first.end(stage, by_returning)
        at_each_step(stage, partial(_come_twice, scene))
        scene.first = Actor()


def _come_twice(scene: Meeting, step: int) -> Hold:
    hold, first, second = scene.hold(step), Actor(), Actor()
    for player in (scene.player, scene.sibling):
        player.open_gate()
    held = scene.player.switch(first, hold)
    within(scene.stage, BOUND, lambda: hold.is_reached or held.is_over)
    deed = scene.sibling.switch(second)
    scene.meanwhile(deed)
    hold.release()
    outcomes: list[Event | object] = [scene.result(one, "the first switch of a thread") for one in (held, deed)]
    assert outcomes == [GETPID, GETPID], f"two threads' first switches, one held at {hold.place}: {outcomes}"
    for player, actor in ((scene.player, first), (scene.sibling, second)):
        player.answer()
        actor.end(scene.stage, by_returning)
    return hold
