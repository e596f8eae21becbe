"""What the nemesis can do, and when: operations, strikes, schedules.

A *schedule* is a list of strikes, each keyed to the n-th event of a guest and never to time:

    at event 17 of guest 0: SIGSTOP to its stub, by another process
    during event 3 of guest 1: SIGKILL of its stub
    in event 5 of guest 0, held at step 23: its context is interrupted

``at`` an event the guest stands and nobody waits for it; ``during`` one it is known to run; ``in`` one, the thread that
traces it is held at a step of its switch (see `worldswitch.scenarios.stage.stepped_threads`).

Schedules are drawn by Hypothesis, from booleans only: what it draws for numbers depends on constants it finds in the
modules at hand, and the same seed would not mean the same schedule everywhere.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hypothesis import strategies as st

from worldswitch.scenarios.stage.chaos.accounting_guests import Player
from worldswitch.scenarios.stage.senders import CATCHABLE, STOPS
from worldswitch.scenarios.stage.thread_exits import ORDINARY

#: How many events each guest has, how many guests there are, how many strikes at most, and steps to be held at.
EVENTS, GUESTS, STRIKES, STEPS = 8, 3, 10, 48

#: What foreign signals are made of: stops and continues come often.
SIGNALS = (signal.SIGSTOP, signal.SIGCONT, *STOPS, signal.SIGCONT, *CATCHABLE)


class Moment(enum.Enum):
    """Where in an event a strike falls."""

    AT = "at event {event} of {player}"
    DURING = "during event {event} of {player}"
    IN = "in event {event} of {player}, held at step {step}"


AT, DURING, IN = Moment

#: At any moment; and only while nobody is being switched to.
ANY, STANDING = (AT, DURING, IN), (AT,)


class _Play(Protocol):
    """The strikes that a running schedule offers; `schedule_runner.Play` implements them."""

    def signal(self, player: Player, signo: int, *, each: bool) -> None: ...
    def interrupt(self, player: Player) -> None: ...
    def slowly(self, operation: Callable[[_Play, Player], None], player: Player, step: int) -> None: ...
    def bind_tracer(self, player: Player, number: int) -> None: ...
    def bind_stub(self, player: Player, number: int) -> None: ...
    def dally(self) -> None: ...
    def kill(self, player: Player) -> None: ...
    def end_thread(self, player: Player, ending: Callable[[], None]) -> None: ...
    def vanish(self, player: Player) -> None: ...
    def migrate(self, player: Player, number: int) -> None: ...
    def unmap(self, player: Player) -> None: ...
    def map_again(self, player: Player) -> None: ...
    def map_other(self, player: Player) -> None: ...
    def release(self, player: Player) -> None: ...
    def receive_visitor(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to do to a guest; `perform` returns whatever could not be known before, for the account of it."""

    name: str  #: with a place for the argument
    perform: Callable[[_Play, Player, int], None]
    moments: tuple[Moment, ...] = ANY
    describe: Callable[[int], str] = str


def _slowly(what: str, operation: Callable[[_Play, Player], None], steps: int) -> Operation:
    """An operation of about so many steps, in the middle of which an event begins."""
    return Operation(
        f"{what}, by a thread that is held at step {{}} until the event has begun",
        lambda play, player, argument: play.slowly(operation, player, argument % steps + 1),
        STANDING,
        lambda argument: str(argument % steps + 1),
    )


@dataclass(frozen=True, slots=True)
class Strike:
    """One operation at its moment."""

    event: int
    player: int
    moment: Moment
    step: int
    operation: Operation
    argument: int

    def __str__(self) -> str:
        when = self.moment.value.format(event=self.event, player=f"guest {self.player}", step=self.step)
        return f"{when}: {self.operation.name.format(self.operation.describe(self.argument))}"


Schedule = tuple[Strike, ...]


def account_of(schedule: Schedule) -> str:
    """A schedule for people, a line a strike."""
    return "\n".join(map(str, schedule)) or "(nothing at all)"


# ------------------------------------------------------------------------------------------------------ how it is drawn


@st.composite
def _numbers(draw: st.DrawFn, below: int) -> int:
    bits: tuple[bool, ...] = draw(st.tuples(*[st.booleans()] * (below - 1).bit_length()))
    return sum(bit << place for place, bit in enumerate(bits)) % below


@st.composite
def _strikes(draw: st.DrawFn, operations: Sequence[Operation], moments: tuple[Moment, ...]) -> Strike:
    operation = operations[draw(_numbers(len(operations)))]
    possible = [moment for moment in operation.moments if moment in moments]
    moment = possible[draw(_numbers(len(possible)))] if len(possible) > 1 else possible[0]
    step = draw(_numbers(STEPS)) + 1 if moment is IN else 0
    event, player, argument = draw(_numbers(EVENTS)), draw(_numbers(GUESTS)), draw(_numbers(64))
    return Strike(event, player, moment, step, operation, argument)


def schedules(operations: Sequence[Operation], moments: tuple[Moment, ...] = ANY) -> st.SearchStrategy[Schedule]:
    """Schedules of these operations, in the order in which they are carried out."""
    order = {moment: place for place, moment in enumerate(Moment)}
    return st.lists(_strikes(operations, moments), min_size=1, max_size=STRIKES).map(
        lambda strikes: tuple(sorted(strikes, key=lambda one: (one.event, order[one.moment], one.player)))
    )


# --------------------------------------------------------------------------------------------------------- operations


def _signal_name(argument: int) -> str:
    signo = SIGNALS[argument % len(SIGNALS)]
    return next((known.name for known in signal.Signals if known == signo), f"signal {signo}")


def _signal(play: _Play, player: Player, argument: int) -> None:
    play.signal(player, SIGNALS[argument % len(SIGNALS)], each=False)


def _signal_each(play: _Play, player: Player, argument: int) -> None:
    play.signal(player, SIGNALS[argument % len(SIGNALS)], each=True)


def _ending_name(argument: int) -> str:
    return ORDINARY[argument % len(ORDINARY)].__name__.replace("_", " ")


DISTURBANCES = (
    Operation("{} to its stub, by another process", _signal, describe=_signal_name),
    Operation("{} to each thread of its stub, by another process", _signal_each, describe=_signal_name),
    Operation("its context is interrupted{}", lambda play, player, _: play.interrupt(player), describe=lambda _: ""),
    Operation("its tracing thread may run on CPU {} only", lambda play, player, n: play.bind_tracer(player, n)),
    Operation("its stub may run on CPU {} only", lambda play, player, n: play.bind_stub(player, n)),
    Operation("nothing is done{} for a while", lambda play, player, _: play.dally(), describe=lambda _: ""),
)

DEATHS = (Operation("SIGKILL of its stub{}", lambda play, player, _: play.kill(player), describe=lambda _: ""),)

DEPARTURES = (
    Operation(
        "its tracing thread ends {}",
        lambda play, player, n: play.end_thread(player, ORDINARY[n % len(ORDINARY)]),
        STANDING,
        _ending_name,
    ),
    Operation("thread {} traces it from now on", lambda play, player, n: play.migrate(player, n), STANDING),
)

VANISHINGS = (
    Operation("its tracing thread vanishes{}", lambda play, player, _: play.vanish(player), STANDING, lambda _: ""),
)

DELAYS = (
    _slowly("its context is interrupted", lambda play, player: play.interrupt(player), 6),
    _slowly("its address space is released", lambda play, player: play.release(player), 48),
)

MAPPINGS = (
    Operation("its data are unmapped{}", lambda play, player, _: play.unmap(player), describe=lambda _: ""),
    Operation("its data are mapped once more{}", lambda play, player, _: play.map_again(player), describe=lambda _: ""),
    Operation(
        "another file is mapped{} and unmapped", lambda play, player, _: play.map_other(player), describe=lambda _: ""
    ),
    Operation("its address space is released{}", lambda play, player, _: play.release(player), describe=lambda _: ""),
    Operation("a visitor comes{} and goes", lambda play, player, _: play.receive_visitor(), describe=lambda _: ""),
)
