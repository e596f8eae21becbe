"""The nemesis: its operations, the strikes made of them, and how schedules of strikes are drawn.

A *schedule* is a list of strikes, each keyed to the n-th event of a guest and never to time:

    at event 17 of guest 0: SIGSTOP to its stub, by another process
    during event 3 of guest 1: SIGKILL of its stub
    in event 5 of guest 0, held at step 23: its context is interrupted

``at`` an event, the guest is stopped between two switches; ``during`` one, it is known to run; ``in`` one, its tracing
thread is held at a step of its switch (see `worldswitch.scenarios.stage.stepped_threads`).

Hypothesis draws the schedules, from booleans only: the numbers it draws depend on constants in the loaded modules, so
the same seed would not give the same schedule everywhere.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hypothesis import strategies as st

from worldswitch.scenarios.stage.chaos.accounting_guests import AccountingGuest
from worldswitch.scenarios.stage.senders import CATCHABLE, STOPS
from worldswitch.scenarios.stage.thread_exits import ORDINARY

#: Events of each guest, guests, most strikes of a schedule, and most steps to be held at.
EVENTS, GUESTS, STRIKES, STEPS = 8, 3, 10, 48

#: The foreign signals, mostly stops and continues.
SIGNALS = (signal.SIGSTOP, signal.SIGCONT, *STOPS, signal.SIGCONT, *CATCHABLE)


class Moment(enum.Enum):
    """Where in an event a strike falls."""

    AT = "at event {event} of {target}"
    DURING = "during event {event} of {target}"
    IN = "in event {event} of {target}, held at step {step}"


AT, DURING, IN = Moment

#: At any moment; and only between two switches.
ANY, STANDING = (AT, DURING, IN), (AT,)


class _Runner(Protocol):
    """The strikes that a schedule's runner offers; `schedule_runner.ScheduleRunner` implements them."""

    def signal(self, target: AccountingGuest, signo: int, *, each: bool) -> None: ...
    def interrupt(self, target: AccountingGuest) -> None: ...
    def slowly(
        self, operation: Callable[[_Runner, AccountingGuest], None], target: AccountingGuest, step: int
    ) -> None: ...
    def bind_tracer(self, target: AccountingGuest, number: int) -> None: ...
    def bind_stub(self, target: AccountingGuest, number: int) -> None: ...
    def idle(self) -> None: ...
    def kill(self, target: AccountingGuest) -> None: ...
    def end_thread(self, target: AccountingGuest, ending: Callable[[], None]) -> None: ...
    def vanish(self, target: AccountingGuest) -> None: ...
    def migrate(self, target: AccountingGuest, number: int) -> None: ...
    def unmap(self, target: AccountingGuest) -> None: ...
    def map_again(self, target: AccountingGuest) -> None: ...
    def map_other(self, target: AccountingGuest) -> None: ...
    def release(self, target: AccountingGuest) -> None: ...
    def receive_visitor(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to do to a guest."""

    name: str  #: with a placeholder for the argument
    perform: Callable[[_Runner, AccountingGuest, int], None]
    moments: tuple[Moment, ...] = ANY
    describe: Callable[[int], str] = str


def _slowly(what: str, operation: Callable[[_Runner, AccountingGuest], None], steps: int) -> Operation:
    """An operation of about `steps` steps, in the middle of which an event begins."""
    return Operation(
        f"{what}, by a thread that is held at step {{}} until the event has begun",
        lambda runner, target, argument: runner.slowly(operation, target, argument % steps + 1),
        STANDING,
        lambda argument: str(argument % steps + 1),
    )


@dataclass(frozen=True, slots=True)
class Strike:
    """One operation at its moment."""

    event: int
    target: int
    moment: Moment
    step: int
    operation: Operation
    argument: int

    def __str__(self) -> str:
        when = self.moment.value.format(event=self.event, target=f"guest {self.target}", step=self.step)
        return f"{when}: {self.operation.name.format(self.operation.describe(self.argument))}"


Schedule = tuple[Strike, ...]


def account_of(schedule: Schedule) -> str:
    """The schedule as text, a line a strike."""
    return "\n".join(map(str, schedule)) or "(no strikes)"


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
    event, target, argument = draw(_numbers(EVENTS)), draw(_numbers(GUESTS)), draw(_numbers(64))
    return Strike(event, target, moment, step, operation, argument)


def schedules(operations: Sequence[Operation], moments: tuple[Moment, ...] = ANY) -> st.SearchStrategy[Schedule]:
    """Schedules of these operations, in the order of execution."""
    order = {moment: place for place, moment in enumerate(Moment)}
    return st.lists(_strikes(operations, moments), min_size=1, max_size=STRIKES).map(
        lambda strikes: tuple(sorted(strikes, key=lambda one: (one.event, order[one.moment], one.target)))
    )


# ----------------------------------------------------------------------------------------------------------- operations


def _signal_name(argument: int) -> str:
    signo = SIGNALS[argument % len(SIGNALS)]
    return next((known.name for known in signal.Signals if known == signo), f"signal {signo}")


def _signal(runner: _Runner, target: AccountingGuest, argument: int) -> None:
    runner.signal(target, SIGNALS[argument % len(SIGNALS)], each=False)


def _signal_each(runner: _Runner, target: AccountingGuest, argument: int) -> None:
    runner.signal(target, SIGNALS[argument % len(SIGNALS)], each=True)


def _ending_name(argument: int) -> str:
    return ORDINARY[argument % len(ORDINARY)].__name__.replace("_", " ")


DISTURBANCES = (
    Operation("{} to its stub, by another process", _signal, describe=_signal_name),
    Operation("{} to each thread of its stub, by another process", _signal_each, describe=_signal_name),
    Operation(
        "its context is interrupted{}", lambda runner, target, _: runner.interrupt(target), describe=lambda _: ""
    ),
    Operation("its tracing thread may run on CPU {} only", lambda runner, target, n: runner.bind_tracer(target, n)),
    Operation("its stub may run on CPU {} only", lambda runner, target, n: runner.bind_stub(target, n)),
    Operation("nothing is done{} for a while", lambda runner, target, _: runner.idle(), describe=lambda _: ""),
)

DEATHS = (Operation("SIGKILL of its stub{}", lambda runner, target, _: runner.kill(target), describe=lambda _: ""),)

DEPARTURES = (
    Operation(
        "its tracing thread ends {}",
        lambda runner, target, n: runner.end_thread(target, ORDINARY[n % len(ORDINARY)]),
        STANDING,
        _ending_name,
    ),
    Operation("thread {} traces it from now on", lambda runner, target, n: runner.migrate(target, n), STANDING),
)

VANISHINGS = (
    Operation("its tracing thread vanishes{}", lambda runner, target, _: runner.vanish(target), STANDING, lambda _: ""),
)

DELAYS = (
    _slowly("its context is interrupted", lambda runner, target: runner.interrupt(target), 6),
    _slowly("its address space is released", lambda runner, target: runner.release(target), 48),
)

MAPPINGS = (
    Operation("its data are unmapped{}", lambda runner, target, _: runner.unmap(target), describe=lambda _: ""),
    Operation(
        "its data are mapped once more{}", lambda runner, target, _: runner.map_again(target), describe=lambda _: ""
    ),
    Operation(
        "another file is mapped{} and unmapped",
        lambda runner, target, _: runner.map_other(target),
        describe=lambda _: "",
    ),
    Operation(
        "its address space is released{}", lambda runner, target, _: runner.release(target), describe=lambda _: ""
    ),
    Operation("a visitor comes{} and goes", lambda runner, target, _: runner.receive_visitor(), describe=lambda _: ""),
)
