"""Runs a schedule: each guest's events one after the other, with the strikes of the nemesis.

    at each event      all guests are stopped; the strikes ``at`` it are carried out
                       each guest is switched to, on the thread that traces it
                       the strikes ``in`` and ``during`` it are carried out, on held and running guests
                       all gates are opened, and every guest returns with its next call

Each guest must return in time with exact counts; an interrupted guest must return for that; a guest is dead if and only
if a strike could end it, for that strike's reason; and nothing may be left at the end.
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
from worldswitch.harness.verdict import in_time
from worldswitch.scenarios import guests
from worldswitch.scenarios.stage.chaos.accounting_guests import AccountingGuest, Home
from worldswitch.scenarios.stage.chaos.nemesis import AT, DURING, EVENTS, GUESTS, IN, Moment, Schedule, Strike
from worldswitch.scenarios.stage.deaths import LOST
from worldswitch.scenarios.stage.processes import process_state, threads_of
from worldswitch.scenarios.stage.senders import SignalSender
from worldswitch.scenarios.stage.stage import PAGE, Stage
from worldswitch.scenarios.stage.steady_guests import GETPID, outcome_of
from worldswitch.scenarios.stage.stepped_threads import Hold, SteppedThread, Task, within
from worldswitch.scenarios.stage.thread_exits import by_returning, by_vanishing

#: Seconds within which any operation must end.
BOUND = 3.0
#: Seconds to wait for something that may itself wait for a held thread.
GRACE = 0.02
#: Seconds of the operation that does nothing.
WHILE = 0.001
#: How many switches in a row may return `Interrupted` without a strike of the schedule.
SPURIOUS = 3

#: How a killed stub may die.
KILLED = {(Death.SIGNALED, int(signal.SIGKILL))}


class ScheduleRunner:
    """One run of a schedule, as a context manager."""

    def __init__(self, stage: Stage, platform: Platform, other: SignalSender, *, resident: bool = False) -> None:
        self.stage = stage
        self.platform = platform
        self.other = other
        self.resident = resident
        self.cpus = sorted(os.sched_getaffinity(0))
        self.threads = [SteppedThread() for _ in range(GUESTS)]
        self.homes: list[Home] = []
        self.targets: dict[int, AccountingGuest] = {}
        self.tracers: dict[int, SteppedThread] = dict(enumerate(self.threads))
        #: The stubs in which a thread ever traced a guest: each may die when the thread vanishes.
        self.touched: dict[SteppedThread, set[int]] = {}
        self.doomed: list[int] = []
        self.helper, self.slow_thread = SteppedThread(), SteppedThread()
        #: The guest, hold and task of an operation that is held until the event has begun.
        self.slow: tuple[AccountingGuest, Hold, Task] | None = None
        # Two guests share an address space; all use the same addresses, so that a mix-up shows.
        for numbers in ((0, 1), (2,)):
            self._settle_in(numbers)

    def _settle_in(self, numbers: Iterable[int]) -> None:
        home = Home(self.stage, self.platform)
        self.homes.append(home)
        for number in numbers:
            self.targets[number] = AccountingGuest(self.stage, self.platform, home, number, resident=self.resident)

    # ------------------------------------------------------------------------------------------------------- running it

    def perform(self, schedule: Schedule) -> None:
        """Run the schedule, and check what must hold."""
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
        for number in self.targets:
            self._event_of(number, self._begin(number), 1)

    def _possible(self, strikes: dict[Moment, list[Strike]]) -> dict[Moment, list[Strike]]:
        """Drop strikes at a running guest whose thread is busy with another one.

        A thread is also busy with a guest that is owed an interruption, which it switches to once more.  While an
        operation is held in the middle, no switch is held: each could wait for the other.
        """
        first = [self.slow[0].number] if self.slow else []
        busy: dict[SteppedThread, int] = {}
        for number in (*first, *(number for number, target in self.targets.items() if target.is_owed)):
            busy.setdefault(self.tracers[number], number)
        return {
            moment: [
                one
                for one in those
                if moment is AT
                or (
                    not (moment is IN and self.slow)
                    and busy.setdefault(self.tracers[one.target], one.target) == one.target
                )
            ]
            for moment, those in strikes.items()
        }

    def _event(self, strikes: dict[Moment, list[Strike]]) -> None:
        held = {strike.target: strike for strike in reversed(strikes[IN])}
        wanted = held.keys() | {strike.target for strike in strikes[DURING]}
        wanted |= {self.slow[0].number} if self.slow else set()
        tasks = {number: self._begin(number, held.get(number), busy=number in wanted) for number in self.targets}
        if self.slow:
            self._meanwhile(self.slow[0], tasks[self.slow[0].number])
            self._catch_up()
        for number, strike in held.items():
            self._strike_held(tasks[number], strike)
        for strike in strikes[DURING]:
            self._await_running(self.targets[strike.target], tasks[strike.target])
            self._carry_out(strike)
        for target in self.targets.values():
            if not target.is_owed:  # a guest on the same thread that is switched to once more waits for it
                target.open_gate()
        for number, task in tasks.items():
            self._event_of(number, task)

    def _begin(self, number: int, strike: Strike | None = None, *, busy: bool = False) -> Task:
        """Switch to a guest; one that is `busy` or owed an interruption does not return by itself."""
        target, thread = self.targets[number], self.tracers[number]
        target.was_owed = target.is_owed
        target.may_fault = target.had_hole = target.has_hole
        if busy or target.is_owed:
            target.close_gate()
        else:
            target.open_gate()
        self.touched.setdefault(thread, set()).add(target.home.pid)
        return target.switch(thread, Hold(self.platform, strike.step) if strike else None)

    def _await_running(self, target: AccountingGuest, task: Task) -> None:
        before = target.progress
        runs = within(self.stage, BOUND, lambda: task.is_over or target.progress != before)
        in_time(runs, f"{target} neither runs nor returns within {BOUND} s")

    def _strike_held(self, task: Task, strike: Strike) -> None:
        """Strike while the switch is held; a step on the way back is reached by a signal or the guest's call."""
        target, hold = self.targets[strike.target], task.hold
        assert hold is not None
        before = target.progress

        def comes_to_its_step() -> bool:
            return hold.is_reached or task.is_over

        within(self.stage, BOUND, lambda: comes_to_its_step() or target.progress != before)
        if not comes_to_its_step() and strike.argument % 2 and target.home.is_safe:
            self.other.kill(target.home.pid, signal.SIGUSR2)
            within(self.stage, GRACE, comes_to_its_step)
        if not comes_to_its_step():
            target.open_gate()
            within(self.stage, BOUND, comes_to_its_step)
        blow = self.helper.run(partial(self._carry_out, strike))
        within(self.stage, GRACE, lambda: blow.is_over)
        hold.release()
        trouble = blow.outcome(self.stage, BOUND, str(strike))
        if isinstance(trouble, Exception):
            raise trouble

    def _carry_out(self, strike: Strike) -> None:
        target = self.targets[strike.target]
        if not target.home.is_dead:
            strike.operation.perform(self, target, strike.argument)

    def _meanwhile(self, target: AccountingGuest, task: Task) -> None:
        """Let a guest progress, unless it has to wait for a held thread."""
        before = target.progress
        within(self.stage, GRACE, lambda: task.is_over or target.progress != before)

    def _catch_up(self) -> None:
        """Finish the operation that is held."""
        if self.slow:
            target, hold, task = self.slow
            self.slow = None
            trouble = task.outcome(self.stage, BOUND, f"a strike at {target}, held at {hold.place or 'no step'}")
            if isinstance(trouble, Exception):
                raise trouble

    # ---------------------------------------------------------------------------------------------- what must hold then

    def _event_of(self, number: int, task: Task, events: int = 1) -> None:
        """Switch until the guest's next call, past the events that may precede it."""
        target = self.targets[number]
        for _ in range(SPURIOUS + 4):
            if not target.is_owed:
                target.open_gate()
            outcome = task.outcome(self.stage, BOUND, f"a switch to {target}")
            if self._is_last(target, outcome):
                return
            task = self._begin(number)
        raise AssertionError(f"{target} returned {SPURIOUS + 4} times without a call; the last was {outcome!r}")

    def _is_last(self, target: AccountingGuest, outcome: object) -> bool:
        """Whether `outcome` ends the guest's event; fails if it may not occur."""
        home = target.home
        # An interrupted switch that was about to end anyway owes nothing more.
        target.is_owed &= target.was_owed and outcome != Interrupted()
        match outcome:
            case Interrupted():
                assert target.was_interrupted, f"{target} returned interrupted without an interrupt"
                return False
            case Fault(address=address) if target.may_fault and target.owns(address):
                self.map_again(target)
                return False
            case Died() if self._may_be(outcome, home):
                self._see_dead(home, outcome)
                return True
            case Released() if home.may_say_released():
                return True
        assert outcome == GETPID, f"{target} returned {outcome!r}"
        assert not (target.had_hole and target.has_hole), f"{target} ran without its data"
        target.answer()
        return True

    def _see_dead(self, home: Home, event: Died) -> None:
        """Check that a dead address space reports the same cause everywhere, or that it was released."""
        home.is_dead = True
        outcome = outcome_of(partial(home.space.unmap, home.targets[0].guest.stack_address, PAGE))
        if isinstance(outcome, Released) and home.may_say_released():
            return
        assert isinstance(outcome, StubDied), f"unmap in a dead address space ({event.cause}) gave {outcome!r}"
        assert outcome.cause == event.cause, f"a switch reported {event.cause}, and unmap {outcome.cause}"

    def _mend(self) -> None:
        """Give the guests of a released or dead home a new one; a killed home must be dead for all its guests."""
        for home in list(self.homes):
            if home.is_killed:
                for target in home.targets:
                    self._must_be_dead(target)
            if home.is_dead:
                self.homes.remove(home)
                self.doomed.append(home.pid)
                self._settle_in([target.number for target in home.targets])
            elif home.is_released:
                home.rebuild()

    def _must_be_dead(self, target: AccountingGuest) -> None:
        for _ in range(SPURIOUS):
            outcome = self._begin(target.number).outcome(self.stage, BOUND, f"a switch to {target}, which was killed")
            if outcome != Interrupted() or not target.was_interrupted:
                break
            target.is_owed = False
        if isinstance(outcome, Released) and target.home.may_say_released():
            target.home.is_dead = True  # its release began before the kill
            return
        assert isinstance(outcome, Died), f"the stub of {target} was killed, and a switch to it returned {outcome!r}"
        assert self._may_be(outcome, target.home), f"the stub of {target} was killed, but died by {outcome!r}"
        self._see_dead(target.home, outcome)

    # -------------------------------------------------------------------------------------------- what the nemesis does

    def signal(self, target: AccountingGuest, signo: int, *, each: bool) -> None:
        """Send a signal from another process to the guest's stub, or to each of its threads."""
        pid = target.home.pid
        if not target.home.is_safe:
            return  # its pid may be reused
        if not each:
            self.other.kill(pid, signo)
        for tid in threads_of(pid) if each else ():
            with contextlib.suppress(AssertionError):  # threads come and go
                self.other.tgkill(pid, tid, signo)

    def interrupt(self, target: AccountingGuest) -> None:
        """Interrupt the guest: its current or next switch must return at once."""
        target.close_gate()
        target.was_interrupted = True
        target.guest.context.interrupt()
        target.is_owed = True

    def slowly(
        self, operation: Callable[[ScheduleRunner, AccountingGuest], None], target: AccountingGuest, step: int
    ) -> None:
        """Hold an operation in the middle until the guest's event has begun."""
        self._catch_up()
        hold = Hold(self.platform, step)
        task = self.slow_thread.run(partial(operation, self, target), hold)
        within(self.stage, BOUND, lambda: hold.is_reached or task.is_over)
        self.slow = target, hold, task

    def bind_tracer(self, target: AccountingGuest, number: int) -> None:
        """Bind the guest's tracing thread to one CPU."""
        os.sched_setaffinity(self.tracers[target.number].tid, {self.cpus[number % len(self.cpus)]})

    def bind_stub(self, target: AccountingGuest, number: int) -> None:
        """Bind all threads of the guest's stub to one CPU."""
        for tid in threads_of(target.home.pid) if target.home.is_safe else ():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(tid, {self.cpus[number % len(self.cpus)]})

    def idle(self) -> None:
        """Do nothing for a moment."""
        time.sleep(WHILE)

    def kill(self, target: AccountingGuest) -> None:
        """Send SIGKILL to the guest's stub."""
        home = target.home
        if home.is_safe:
            home.is_killed = True
            home.causes |= KILLED
            os.kill(home.pid, signal.SIGKILL)

    def end_thread(self, target: AccountingGuest, ending: Callable[[], None]) -> None:
        """End the guest's tracing thread; a new one replaces it."""
        thread = self.tracers[target.number]
        thread.end(self.stage, ending)
        self._replace(thread)

    def vanish(self, target: AccountingGuest) -> None:
        """The same without clean-up, which may cost every stub the thread traced in."""
        thread = self.tracers[target.number]
        for one in self.targets.values():
            if one.is_resident and self.tracers[one.number] is thread:
                self._pull(one)
        for home in self.homes:
            if home.pid in self.touched.get(thread, ()):
                home.causes |= LOST
        thread.end(self.stage, by_vanishing)
        self._replace(thread)

    def _replace(self, gone: SteppedThread) -> None:
        fresh = SteppedThread()
        self.threads[self.threads.index(gone)] = fresh
        self.tracers = {number: fresh if thread is gone else thread for number, thread in self.tracers.items()}

    def migrate(self, target: AccountingGuest, number: int) -> None:
        """Let another thread trace the guest from now on."""
        self._pull(target)
        self.tracers[target.number] = self.threads[number % len(self.threads)]

    def _pull(self, target: AccountingGuest) -> None:
        pulled = self.tracers[target.number].run(target.guest.context.pull)
        trouble = pulled.outcome(self.stage, BOUND, f"pull of {target}")
        assert not isinstance(trouble, Exception) or target.home.causes, f"pull of {target} said {trouble!r}"

    def unmap(self, target: AccountingGuest) -> None:
        """Unmap the guest's data."""
        target.may_fault = True
        if self._change(target, partial(target.home.space.unmap, target.guest.data_address, target.guest.data.size)):
            target.has_hole = True

    def map_again(self, target: AccountingGuest) -> None:
        """Map the guest's data, again or still."""
        guest = target.guest
        if self._change(target, partial(self.stage.map, target.home.space, guest.data, address=guest.data_address)):
            target.has_hole = False

    def map_other(self, target: AccountingGuest) -> None:
        """Map and unmap other memory in the guest's address space."""
        space, memory = target.home.space, self.stage.memory(PAGE, b"other")
        place = target.guest.stack_address + 1024 * PAGE
        if self._change(target, partial(self.stage.map, space, memory, address=place)):
            self._change(target, partial(space.unmap, place, memory.size))

    def _change(self, target: AccountingGuest, operation: Callable[[], object]) -> bool:
        """Change the address space; whether that worked: a dead or released one refuses."""
        outcome = outcome_of(operation)
        if not isinstance(outcome, Exception):
            return True
        refused = isinstance(outcome, Released) and target.home.may_say_released()
        assert refused or self._may_be(outcome, target.home), f"changing the address space of {target} gave {outcome!r}"
        return False

    def _may_be(self, outcome: object, home: Home) -> bool:
        """Whether `outcome` is a permitted death."""
        return isinstance(outcome, StubDied | Died) and (outcome.cause.death, outcome.cause.signo) in home.causes

    def release(self, target: AccountingGuest) -> None:
        """Release the guest's address space, which is refused while a guest runs there."""
        home = target.home
        if home.is_safe and not home.is_going:
            home.release()

    def receive_visitor(self) -> None:
        """Run another guest in a new address space for two calls, and release it."""
        visitor = self.stage.guest(guests.account_loop, platform=self.platform)
        visitor.syscalls(2)
        counts = visitor.state["r12"], visitor.data.word(), visitor.state["r13"]
        assert counts == (2, 2, 0), f"a visitor's counts are {counts}"
        visitor.space.release()

    # ---------------------------------------------------------------------------------------------------------- the end

    def __enter__(self) -> ScheduleRunner:
        return self

    def __exit__(self, *_: object) -> None:
        for target in self.targets.values():
            target.open_gate()

    def release_all(self) -> None:
        """Release everything, and check that it is gone."""
        for thread in (*self.threads, self.helper, self.slow_thread):
            thread.end(self.stage, by_returning)
        for home in self.homes:
            outcome = outcome_of(home.space.release)
            assert outcome is None or self._may_be(outcome, home), f"the release at the end gave {outcome!r}"
        gone = within(self.stage, BOUND, lambda: not any(map(process_state, self.doomed)))
        in_time(gone, f"dead stubs were not reaped: {self.doomed}")
