"""What one world switch costs: a pyperf script, with the kernel's own limits beside it.

    python -m worldswitch.harness.switch_cost -o switch.json       # pyperf's options; its commands read the file
    python -m worldswitch.harness.switch_cost --interleaved 15     # ratios, all variants in turn, 15 rounds
    python -m worldswitch.harness.switch_cost --recorder 1000      # what the flight recorder adds, in 1000 pairs

Each benchmark times round trips of a guest that calls getpid for ever, from one call to the next: into the guest, its
system call, back out with all registers.  Not timed: making the platform, the address space, the first switch.

A machine's mood changes from second to second.  Ratios of variants are therefore taken within a round, one variant
after the other, and their median is given with its quartiles; the absolute times are pyperf's business.
"""

from __future__ import annotations

import argparse
import mmap
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from worldswitch.harness.arch import registers
from worldswitch.harness.catalogue import load_platform
from worldswitch.harness.contract import Access, Context, Options, Placement, State, Syscall
from worldswitch.harness.flight import Recorder
from worldswitch.harness.limits._limits import ffi, lib

CODE = 0x40_0000
WARM_UP = 200

#: Nanoseconds for so many rounds.
Timer = Callable[[int], int]


@contextmanager
def pinned() -> Iterator[None]:
    """Keep this thread, and what it forks, on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ------------------------------------------------------------------------------------------------------------- timers


def limit(name: str, stack: ExitStack) -> Timer:
    """One of the C loops; its child lives as long as `stack`."""
    stack.enter_context(pinned())
    pid = lib.limit_start()
    if pid < 0:
        raise OSError(-pid, f"starting a traced child: {os.strerror(-pid)}")
    stack.callback(lib.limit_end, pid)
    loop = getattr(lib, name)

    def timer(rounds: int) -> int:
        with pinned():
            spent: int = loop(pid, rounds)
        if spent < 0:
            raise OSError(-spent, f"{name}: {os.strerror(-spent)}")
        return spent

    return timer


def native(stack: ExitStack) -> Timer:
    """A getpid that nobody traces."""
    return lambda rounds: int(lib.limit_getpid(rounds))


def switches(
    platform: str, stack: ExitStack, *, placement: Placement, resident: bool, recorder: Recorder | None = None
) -> Timer:
    """Switches of the platform called `platform`."""
    instance = load_platform(platform)(Options(placement=placement, recorder=recorder))
    stack.callback(instance.close)
    code = bytes(ffi.buffer(lib.getpid_loop_begin, lib.getpid_loop_end - lib.getpid_loop_begin))
    file = os.memfd_create("getpid_loop")
    stack.callback(os.close, file)
    os.ftruncate(file, mmap.PAGESIZE)
    os.pwrite(file, code, 0)
    space = instance.new_address_space()
    space.map_file(CODE, file, 0, mmap.PAGESIZE, Access.READ | Access.EXECUTE)
    state = instance.new_state()
    state.pc = CODE
    return _timer(instance.new_context(resident=resident), space, state, placement)


def _timer(context: Context, space: Any, state: State, placement: Placement) -> Timer:
    # The number that the loop puts in its first instruction.
    expected = Syscall(int(lib.getpid_loop_begin[1]))

    def timer(rounds: int) -> int:
        if placement is Placement.PIN:
            with pinned():
                return _rounds(context, space, state, rounds, expected)
        return _rounds(context, space, state, rounds, expected)

    return timer


def _rounds(context: Context, space: Any, state: State, rounds: int, expected: Syscall) -> int:
    """Time `rounds` switches, each with a result for the guest.  Fast code with a dead guest is caught by its event."""
    switch, words, result = context.switch, state.words, registers.RESULT
    begin = time.perf_counter_ns()
    for _ in range(rounds):
        words[result] = 7
        event = switch(space, state)
    spent = time.perf_counter_ns() - begin
    if event != expected:
        raise RuntimeError(f"the guest's last event is {event}, not {expected}")
    return spent


# ------------------------------------------------------------------------------------------------------------ variants


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that is timed."""

    name: str
    about: str
    make: Callable[[str, ExitStack], Timer]


VARIANTS = (
    Variant("native_getpid", "a system call that nobody traces", lambda _, stack: native(stack)),
    Variant(
        "raw_sysemu",
        "C: PTRACE_SYSEMU and a blocking wait4, pinned; nothing can switch for less",
        lambda _, stack: limit("limit_sysemu", stack),
    ),
    Variant(
        "raw_sysemu_yield",
        "C: the same with one sched_yield before the wait, pinned",
        lambda _, stack: limit("limit_sysemu_yield", stack),
    ),
    Variant(
        "same_calls",
        "C: the kernel calls of a resident switch and nothing else, pinned",
        lambda _, stack: limit("limit_same_calls", stack),
    ),
    Variant(
        "resident_pinned",
        "switch() in Python, the extended state left in the thread, pinned",
        lambda name, stack: switches(name, stack, placement=Placement.PIN, resident=True),
    ),
    Variant(
        "default_pinned",
        "switch() in Python, the extended state read back each time, pinned",
        lambda name, stack: switches(name, stack, placement=Placement.PIN, resident=False),
    ),
    Variant(
        "resident_follow",
        "switch() in Python as it comes: the stub follows its tracer, nothing is pinned",
        lambda name, stack: switches(name, stack, placement=Placement.FOLLOW, resident=True),
    ),
)

#: What is worth knowing as a ratio, and of what to what.
RATIOS = (
    ("resident_pinned", "same_calls"),
    ("resident_pinned", "raw_sysemu"),
    ("default_pinned", "raw_sysemu"),
    ("resident_follow", "resident_pinned"),
)


def interleaved(platform: str, rounds: int, switches_each: int) -> dict[str, list[float]]:
    """Time all variants in turn, `rounds` times: nanoseconds for one switch by variant."""
    values: dict[str, list[float]] = {variant.name: [] for variant in VARIANTS}
    with ExitStack() as stack:
        timers = {variant.name: _prepared(variant, platform, stack) for variant in VARIANTS}
        for _ in range(rounds):
            for name, timer in timers.items():
                values[name].append(timer(switches_each) / switches_each)
    return values


def _prepared(variant: Variant, platform: str, stack: ExitStack) -> Timer:
    timer = variant.make(platform, stack)
    timer(WARM_UP)
    return timer


def report(values: dict[str, list[float]]) -> str:
    """The medians and ratios, as text."""
    lines = [f"{'ns a switch':>18}  {'median':>8}  {'quartiles':>17}"]
    for variant in VARIANTS:
        low, middle, high = statistics.quantiles(values[variant.name], n=4)
        lines.append(f"{variant.name:>18}  {middle:8.0f}  {low:8.0f} {high:8.0f}  {variant.about}")
    lines.append("")
    for above, below in RATIOS:
        ratios = [a / b for a, b in zip(values[above], values[below], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        lines.append(f"{above + ' / ' + below:>36}  {middle:5.2f}  ({low:.2f} .. {high:.2f})")
    return "\n".join(lines)


def recorder_cost(platform: str, pairs: int, switches_each: int = 60) -> list[tuple[float, float]]:
    """Nanoseconds for a switch without and with the flight recorder, which every trial has on.

    The difference is far below what a machine's mood does from one second to the next, so the pairs are short.
    """
    recorder = Recorder()
    with ExitStack() as stack:
        timer = switches(platform, stack, placement=Placement.PIN, resident=True, recorder=recorder)
        timer(WARM_UP)
        return [_pair(timer, recorder, switches_each, first=number % 2 == 0) for number in range(pairs)]


def _pair(timer: Timer, recorder: Recorder, switches_each: int, *, first: bool) -> tuple[float, float]:
    spent: dict[bool, float] = {}
    for on in (first, not first):
        if on:
            recorder.resume()
        else:
            recorder.pause()
        spent[on] = timer(switches_each) / switches_each
    return spent[False], spent[True]


def recorder_report(pairs: list[tuple[float, float]]) -> str:
    """The median difference and ratio, as text."""
    low, middle, high = statistics.quantiles([on - off for off, on in pairs], n=4)
    ratio = statistics.median(on / off for off, on in pairs)
    without = statistics.median(off for off, _ in pairs)
    return (
        f"flight recorder: {middle:+.0f} ns ({low:+.0f} .. {high:+.0f}) on {without:.0f} ns a switch, "
        f"{ratio - 1:+.2%}, medians of {len(pairs)} pairs"
    )


def _pyperf(arguments: list[str]) -> None:
    """Hand over to pyperf: each variant in worker processes of its own."""
    import pyperf

    def forward(command: list[str], options: argparse.Namespace) -> None:
        command.extend(("--platform", options.platform))

    runner = pyperf.Runner(add_cmdline_args=forward)
    runner.argparser.add_argument("--platform", default="reference", help="the platform to time (default: reference)")
    options = runner.parse_args(arguments)
    for variant in VARIANTS:
        with ExitStack() as stack:
            runner.bench_time_func(
                variant.name, _seconds(variant, options.platform, stack), metadata={"description": variant.about}
            )


def _seconds(variant: Variant, platform: str, stack: ExitStack) -> Callable[[int], float]:
    """A pyperf time function that makes its timer in the worker process that uses it."""
    made = cache(lambda: _prepared(variant, platform, stack))
    return lambda loops: made()(loops) / 1e9


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--interleaved", type=int, default=0, metavar="ROUNDS")
    parser.add_argument("--recorder", type=int, default=0, metavar="PAIRS")
    parser.add_argument("--switches", type=int, default=4000)
    parser.add_argument("--platform", default="reference")
    options, rest = parser.parse_known_args()
    if options.interleaved:
        print(report(interleaved(options.platform, options.interleaved, options.switches)))
    elif options.recorder:
        print(recorder_report(recorder_cost(options.platform, options.recorder)))
    else:
        _pyperf([*rest, "--platform", options.platform])


if __name__ == "__main__":
    main()
