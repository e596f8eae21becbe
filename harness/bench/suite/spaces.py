"""The cost of address spaces: making fresh ones, recycling stubs, releasing."""

from __future__ import annotations

from worldswitch.harness.bench.benchmark import Subject
from worldswitch.harness.bench.workbench import Bench, Timer, timed_each
from worldswitch.harness.contract import AddressSpace, Options

SUBJECT = Subject(__file__)


def _lifecycle(bench: Bench, options: Options, *, timed: str) -> Timer:
    platform = bench.platform(options)
    # A platform may start with a stub in its pool: take that one, so that fresh address spaces need a new one.
    bench.ending.callback(platform.new_address_space().release)
    spaces: list[AddressSpace] = []

    def make() -> None:
        spaces.append(platform.new_address_space())

    def release() -> None:
        spaces.pop().release()

    if timed == "new":
        return timed_each(make, release)
    make()
    return timed_each(release, make)


@SUBJECT.timed()
def fresh(bench: Bench) -> Timer:
    """An address space in a newly forked stub.

    Timed: Platform.new_address_space.  Not timed: ending it.
    """
    return _lifecycle(bench, Options(pool_limit=0), timed="new")


@SUBJECT.timed()
def recycled(bench: Bench) -> Timer:
    """An address space in a recycled stub.

    Timed: Platform.new_address_space.  Not timed: AddressSpace.release.
    """
    return _lifecycle(bench, Options(), timed="new")


@SUBJECT.timed()
def released(bench: Bench) -> Timer:
    """An empty address space released, its stub recycled.

    Timed: AddressSpace.release, until it is in the pool.  Not timed: making one of it again.
    """
    return _lifecycle(bench, Options(), timed="release")


@SUBJECT.timed()
def ended(bench: Bench) -> Timer:
    """An empty address space released without recycling: the stub ends.

    Timed: AddressSpace.release, until the process is reaped.  Not timed: making the next.
    """
    return _lifecycle(bench, Options(pool_limit=0), timed="release")
