"""How a schedule is performed: each guest's events one after the other, the nemesis striking where it is to.

    at each event      everybody stands; the strikes ``at`` it are carried out
                       all guests are switched to, each on the thread that traces it
                       the strikes ``in`` and ``during`` it are carried out, on those that are held or run
                       all gates are opened, and every guest comes back with its next call

What must hold then: each comes back in time and with exact books; one that was interrupted comes back for that; one is
dead if and only if something was done that ends it, for the reason that this has; and afterwards nothing is left over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial

from worldswitch.harness.contract import (
    Death,
    Died,
    Fault,
    Interrupted,
    Platform,
    Released,
    StubDied,
)
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.chaos.accounting_guests import Home, Player
from worldswitch.scenarios.stage.chaos.nemesis import AT, DURING, EVENTS, GUESTS, IN, Moment, Schedule, Strike
from worldswitch.scenarios.stage.deaths import LOST
from worldswitch.scenarios.stage.processes import process_state, threads_of
from worldswitch.scenarios.stage.senders import Sender
from worldswitch.scenarios.stage.stage import PAGE, Stage
from worldswitch.scenarios.stage.steady_guests import GETPID, outcome_of
from worldswitch.scenarios.stage.stepped_threads import Actor, Deed, Hold, within
from worldswitch.scenarios.stage.thread_exits import by_returning, by_vanishing

#: Within how many seconds whatever is begun is over.
BOUND = 3.0
#: How long something is waited for that may have to wait for a thread which is held.
GRACE = 0.02
#: How long the nemesis dallies.
WHILE = 0.001
#: How often in a row a switch may come back interrupted for reasons that the schedule does not have.
SPURIOUS = 3

#: How a killed stub may die.
KILLED = {(Death.SIGNALED, int(signal.SIGKILL))}


class Play:
    """One performance.  A context manager: at its end everything is given back."""

    def __init__(self, stage: Stage, platform: Platform, other: Sender, *, resident: bool = False) -> None:
        self.stage = stage
        self.platform = platform
        self.other = other
        self.resident = resident
        self.cpus = sorted(os.sched_getaffinity(0))
        self.actors = [Actor() for _ in range(GUESTS)]
        self.homes: list[Home] = []
        self.players: dict[int, Player] = {}
        self.tracers: dict[int, Actor] = dict(enumerate(self.actors))
        #: In which stubs a thread has ever traced somebody: those may die when it vanishes, whoever lives there.
        self.touched: dict[Actor, set[int]] = {}
        self.doomed: list[int] = []
        self.helper, self.laggard = Actor(), Actor()
        #: What the laggard is held in the middle of, until the event has begun, and whom it is about.
        self.slow: tuple[Player, Hold, Deed] | None = None
        # Two share an address space; all have theirs at the same addresses, or they would not miss a wrong one.
        for numbers in ((0, 1), (2,)):
            self._settle_in(numbers)

    def _settle_in(self, numbers: Iterable[int]) -> None:
        home = Home(self.stage, self.platform)
        self.homes.append(home)
        for number in numbers:
            self.players[number] = Player(self.stage, self.platform, home, number, resident=self.resident)

    # ------------------------------------------------------------------------------------------------- performing it

    def perform(self, schedule: Schedule) -> None:
        """Carry it out, and see that what must hold does."""
        for event in range(EVENTS):
            strikes = {
                moment: [one for one in schedule if (one.event, one.moment) == (event, moment)] for moment in Moment
            }
            for strike in strikes[AT]:
                self._carry_out(strike)
            if not self.slow:
                self._mend()
            self._event(self._possible(strikes))
            self._mend()
        for number in self.players:
            self._event_of(number, self._begin(number), 1)

    def _possible(self, strikes: dict[Moment, list[Strike]]) -> dict[Moment, list[Strike]]:
        """Leave out what would strike at a running guest while its thread is busy with another one.

        Busy is also who owes a guest an interruption, for that one is switched to once more.  While somebody is held
        in the middle of something, no switch is held: each might wait for the other.
        """
        first = [self.slow[0].number] if self.slow else []
        busy: dict[Actor, int] = {}
        for number in (*first, *(number for number, player in self.players.items() if player.is_owed)):
            busy.setdefault(self.tracers[number], number)
        return {
            moment: [
                one
                for one in those
                if moment is AT
                or (
                    not (moment is IN and self.slow)
                    and busy.setdefault(self.tracers[one.player], one.player) == one.player
                )
            ]
            for moment, those in strikes.items()
        }

    def _event(self, strikes: dict[Moment, list[Strike]]) -> None:
        held = {strike.player: strike for strike in reversed(strikes[IN])}
        wanted = held.keys() | {strike.player for strike in strikes[DURING]}
        wanted |= {self.slow[0].number} if self.slow else set()
        deeds = {number: self._begin(number, held.get(number), busy=number in wanted) for number in self.players}
        if self.slow:
            self._meanwhile(self.slow[0], deeds[self.slow[0].number])
            self._catch_up()
        for number, strike in held.items():
            self._strike_held(deeds[number], strike)
        for strike in strikes[DURING]:
            self._await_running(self.players[strike.player], deeds[strike.player])
            self._carry_out(strike)
        for player in self.players.values():
            if not player.is_owed:  # or who shares its thread, and has to be switched to once more, waits for it
                player.open_gate()
        for number, deed in deeds.items():
            self._event_of(number, deed)

    def _begin(self, number: int, strike: Strike | None = None, *, busy: bool = False) -> Deed:
        """Switch to a guest; one that is to be `busy`, or is owed an interruption, will not come back by itself."""
        player, actor = self.players[number], self.tracers[number]
        player.was_owed = player.is_owed
        player.may_fault = player.had_hole = player.has_hole
        if busy or player.is_owed:
            player.close_gate()
        else:
            player.open_gate()
        self.touched.setdefault(actor, set()).add(player.home.pid)
        return player.switch(actor, Hold(self.platform, strike.step) if strike else None)

    def _await_running(self, player: Player, deed: Deed) -> None:
        before = player.progress
        runs = within(self.stage, BOUND, lambda: deed.is_over or player.progress != before)
        assert runs, f"{player} neither runs nor comes back within {BOUND} s"

    def _strike_held(self, deed: Deed, strike: Strike) -> None:
        """Strike while the switch is held.  A step on the way back is reached by a signal or the guest's call."""
        player, hold = self.players[strike.player], deed.hold
        assert hold is not None
        before = player.progress

        def comes_to_its_step() -> bool:
            return hold.is_reached or deed.is_over

        within(self.stage, BOUND, lambda: comes_to_its_step() or player.progress != before)
        if not comes_to_its_step() and strike.argument % 2 and player.home.is_safe:
            self.other.kill(player.home.pid, signal.SIGUSR2)
            within(self.stage, GRACE, comes_to_its_step)
        if not comes_to_its_step():
            player.open_gate()
            within(self.stage, BOUND, comes_to_its_step)
        blow = self.helper.tell(partial(self._carry_out, strike))
        within(self.stage, GRACE, lambda: blow.is_over)
        hold.release()
        trouble = blow.outcome(self.stage, BOUND, str(strike))
        if isinstance(trouble, Exception):
            raise trouble

    def _carry_out(self, strike: Strike) -> None:
        player = self.players[strike.player]
        if not player.home.is_dead:
            strike.operation.perform(self, player, strike.argument)

    def _meanwhile(self, player: Player, deed: Deed) -> None:
        """Let a guest get on, unless it has to wait for somebody who is held."""
        before = player.progress
        within(self.stage, GRACE, lambda: deed.is_over or player.progress != before)

    def _catch_up(self) -> None:
        """Have the laggard finish."""
        if self.slow:
            player, hold, deed = self.slow
            self.slow = None
            trouble = deed.outcome(self.stage, BOUND, f"something about {player}, held at {hold.place or 'no step'}")
            if isinstance(trouble, Exception):
                raise trouble

    # --------------------------------------------------------------------------------------------- what must hold then

    def _event_of(self, number: int, deed: Deed, events: int = 1) -> None:
        """The switch comes back with the guest's next call, past whatever may come before that."""
        player = self.players[number]
        for _ in range(SPURIOUS + 4):
            if not player.is_owed:
                player.open_gate()
            outcome = deed.outcome(self.stage, BOUND, f"a switch to {player}")
            if self._is_last(player, outcome):
                return
            deed = self._begin(number)
        raise AssertionError(f"{player} came back {SPURIOUS + 4} times without a call; last with {outcome!r}")

    def _is_last(self, player: Player, outcome: object) -> bool:
        """Whether `outcome` ends the guest's event; if it must not be, the assertion fails."""
        home = player.home
        # A switch that was interrupted when it was about to end anyway has kept its promise.
        player.is_owed &= player.was_owed and outcome != Interrupted()
        match outcome:
            case Interrupted():
                assert player.was_interrupted, f"{player} came back interrupted, and nobody had interrupted it"
                return False
            case Fault(address=address) if player.may_fault and player.owns(address):
                self.map_again(player)
                return False
            case Died() if self._may_be(outcome, home):
                self._see_dead(home, outcome)
                return True
            case Released() if home.may_say_released():
                return True
        assert outcome == GETPID, f"{player} came back with {outcome!r}"
        assert not (player.had_hole and player.has_hole), f"{player} ran without its data"
        player.answer()
        return True

    def _see_dead(self, home: Home, event: Died) -> None:
        """A dead address space says so to everybody, in the same words, or that it was released."""
        home.is_dead = True
        outcome = outcome_of(partial(home.space.unmap, home.tenants[0].guest.stack_address, PAGE))
        if isinstance(outcome, Released) and home.may_say_released():
            return
        assert isinstance(outcome, StubDied), f"of a dead address space ({event.cause}), unmap said {outcome!r}"
        assert outcome.cause == event.cause, f"a switch said {event.cause}, and unmap {outcome.cause}"

    def _mend(self) -> None:
        """Give those a new home whose old one was released or is dead; a killed one is dead for all who live there."""
        for home in list(self.homes):
            if home.is_killed:
                for player in home.tenants:
                    self._must_be_dead(player)
            if home.is_dead:
                self.homes.remove(home)
                self.doomed.append(home.pid)
                self._settle_in([player.number for player in home.tenants])
            elif home.is_released:
                home.rebuild()

    def _must_be_dead(self, player: Player) -> None:
        for _ in range(SPURIOUS):
            outcome = self._begin(player.number).outcome(self.stage, BOUND, f"a switch to {player}, which was killed")
            if outcome != Interrupted() or not player.was_interrupted:
                break
            player.is_owed = False
        assert isinstance(outcome, Died), f"the stub of {player} was killed, and a switch to it said {outcome!r}"
        assert self._may_be(outcome, player.home), f"the stub of {player} was killed, and died otherwise: {outcome!r}"
        self._see_dead(player.home, outcome)

    # ------------------------------------------------------------------------------------------- what the nemesis does

    def signal(self, player: Player, signo: int, *, each: bool) -> None:
        """Another process sends a signal to the player's stub, or to each thread of it."""
        pid = player.home.pid
        if not player.home.is_safe:
            return  # its number may be somebody else's by now
        if not each:
            self.other.kill(pid, signo)
        for tid in threads_of(pid) if each else ():
            with contextlib.suppress(AssertionError):  # threads come and go
                self.other.tgkill(pid, tid, signo)

    def interrupt(self, player: Player) -> None:
        """Its next switch, or the one under way, is to come back at once."""
        player.close_gate()
        player.was_interrupted = True
        player.guest.context.interrupt()
        player.is_owed = True

    def slowly(self, operation: Callable[[Play, Player], None], player: Player, step: int) -> None:
        """Somebody is in the middle of an operation when the guest's event begins."""
        self._catch_up()
        hold = Hold(self.platform, step)
        deed = self.laggard.tell(partial(operation, self, player), hold)
        within(self.stage, BOUND, lambda: hold.is_reached or deed.is_over)
        self.slow = player, hold, deed

    def bind_tracer(self, player: Player, number: int) -> None:
        """Its tracing thread is bound to one CPU."""
        os.sched_setaffinity(self.tracers[player.number].tid, {self.cpus[number % len(self.cpus)]})

    def bind_stub(self, player: Player, number: int) -> None:
        """All threads of its stub are bound to one CPU."""
        for tid in threads_of(player.home.pid) if player.home.is_safe else ():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(tid, {self.cpus[number % len(self.cpus)]})

    def dally(self) -> None:
        """Leave everything as it is for a moment: those that stand, stand, and who is held, is held."""
        time.sleep(WHILE)

    def kill(self, player: Player) -> None:
        """Its stub takes a SIGKILL."""
        home = player.home
        if home.is_safe:
            home.is_killed = True
            home.causes |= KILLED
            os.kill(home.pid, signal.SIGKILL)

    def end_thread(self, player: Player, ending: Callable[[], None]) -> None:
        """Its tracing thread ends; another one takes its place."""
        actor = self.tracers[player.number]
        actor.end(self.stage, ending)
        self._replace(actor)

    def vanish(self, player: Player) -> None:
        """The same without any clean-up, which may cost all it traced."""
        actor = self.tracers[player.number]
        for one in self.players.values():
            if one.is_resident and self.tracers[one.number] is actor:
                self._pull(one)
        for home in self.homes:
            if home.pid in self.touched.get(actor, ()):
                home.causes |= LOST
        actor.end(self.stage, by_vanishing)
        self._replace(actor)

    def _replace(self, gone: Actor) -> None:
        fresh = Actor()
        self.actors[self.actors.index(gone)] = fresh
        self.tracers = {number: fresh if actor is gone else actor for number, actor in self.tracers.items()}

    def migrate(self, player: Player, number: int) -> None:
        """Another thread traces it from now on."""
        self._pull(player)
        self.tracers[player.number] = self.actors[number % len(self.actors)]

    def _pull(self, player: Player) -> None:
        pulled = self.tracers[player.number].tell(player.guest.context.pull)
        trouble = pulled.outcome(self.stage, BOUND, f"pull of {player}")
        assert not isinstance(trouble, Exception) or player.home.causes, f"pull of {player} said {trouble!r}"

    def unmap(self, player: Player) -> None:
        """Its data are gone."""
        player.may_fault = True
        if self._tell(player, partial(player.home.space.unmap, player.guest.data_address, player.guest.data.size)):
            player.has_hole = True

    def map_again(self, player: Player) -> None:
        """They are there, again or still."""
        guest = player.guest
        if self._tell(player, partial(self.stage.map, player.home.space, guest.data, address=guest.data_address)):
            player.has_hole = False

    def map_other(self, player: Player) -> None:
        """Something comes and goes beside them."""
        space, memory = player.home.space, self.stage.memory(PAGE, b"other")
        place = player.guest.stack_address + 1024 * PAGE
        if self._tell(player, partial(self.stage.map, space, memory, address=place)):
            self._tell(player, partial(space.unmap, place, memory.size))

    def _tell(self, player: Player, operation: Callable[[], object]) -> bool:
        """Have the address space changed; whether it was: one that is dead or released refuses."""
        outcome = outcome_of(operation)
        if not isinstance(outcome, Exception):
            return True
        refused = isinstance(outcome, Released) and player.home.may_say_released()
        assert refused or self._may_be(outcome, player.home), f"of the address space of {player}: {outcome!r}"
        return False

    def _may_be(self, outcome: object, home: Home) -> bool:
        """Tell of a death that was to be expected."""
        return isinstance(outcome, StubDied | Died) and (outcome.cause.death, outcome.cause.signo) in home.causes

    def release(self, player: Player) -> None:
        """Its address space is given back, which is refused while anybody runs there."""
        home = player.home
        if home.is_safe and not home.is_going:
            home.release()

    def receive_visitor(self) -> None:
        """Another guest comes in an address space of its own, makes two calls, and goes."""
        visitor = self.stage.guest(guests.account_loop, platform=self.platform)
        visitor.syscalls(2)
        books = visitor.state["r12"], visitor.data.word(), visitor.state["r13"]
        assert books == (2, 2, 0), f"a visitor's books are {books}"
        visitor.space.release()

    # --------------------------------------------------------------------------------------------------------- the end

    def __enter__(self) -> Play:
        return self

    def __exit__(self, *_: object) -> None:
        for player in self.players.values():
            player.open_gate()

    def strike_the_set(self) -> None:
        """Give everything back, and see that it is gone."""
        for actor in (*self.actors, self.helper, self.laggard):
            actor.end(self.stage, by_returning)
        for home in self.homes:
            outcome = outcome_of(home.space.release)
            assert outcome is None or self._may_be(outcome, home), f"released at the end: {outcome!r}"
        gone = within(self.stage, BOUND, lambda: not any(map(process_state, self.doomed)))
        assert gone, f"of the stubs that died, something is left: {self.doomed}"
