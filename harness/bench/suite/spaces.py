"""What address spaces cost: made, made of a stub that somebody had before, given back."""

from __future__ import annotations

from worldswitch.harness.bench import pyperf_script
from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.workbench import Bench, Timer, timed_each
from worldswitch.harness.contract import AddressSpace, Options

SUBJECT = Subject(__file__)


def _given_back_by(bench: Bench, options: Options, *, timed: str) -> Timer:
    platform = bench.platform(options)
    # A platform may start with a stub in its pool, which would be no fresh one.
    kept = platform.new_address_space()
    bench.ending.callback(kept.release)
    held: list[AddressSpace] = []

    def take() -> None:
        held.append(platform.new_address_space())

    def give_back() -> None:
        held.pop().release()

    if timed == "new":
        return timed_each(take, give_back)
    take()
    return timed_each(give_back, take)


@SUBJECT.timed()
def fresh(bench: Bench) -> Timer:
    """An address space for which a process is forked.

    Timed: Platform.new_address_space.  Not timed: ending it.
    """
    return _given_back_by(bench, Options(pool_limit=0), timed="new")


@SUBJECT.timed()
def recycled(bench: Bench) -> Timer:
    """An address space in the stub of one that was released.

    Timed: Platform.new_address_space.  Not timed: AddressSpace.release.
    """
    return _given_back_by(bench, Options(), timed="new")


@SUBJECT.timed()
def released(bench: Bench) -> Timer:
    """An empty address space given back, to be recycled.

    Timed: AddressSpace.release, until it is in the pool.  Not timed: making one of it again.
    """
    return _given_back_by(bench, Options(), timed="release")


@SUBJECT.timed()
def ended(bench: Bench) -> Timer:
    """An empty address space given back where nothing is kept: the stub ends.

    Timed: AddressSpace.release, until the process is reaped.  Not timed: making the next.
    """
    return _given_back_by(bench, Options(pool_limit=0), timed="release")


if __name__ == "__main__":
    pyperf_script.main(SUBJECT)
