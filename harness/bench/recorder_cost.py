"""What the flight recorder adds to a switch: `python -m worldswitch.harness.bench.recorder_cost`.

The difference is far below what a machine's mood does from one second to the next, or from one process to another
(`switch::recorded`).  So one guest is switched with the recorder on and off in turn, for less than a millisecond each
time; what counts is the CPU time of the tracing thread, which is who records, and the differences within these pairs.
They are held against the quickest tenth of the switches: on a busy machine the others say how busy it is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from worldswitch.harness.bench.workbench import Bench, Timer, on_one_cpu, timed_switches
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.contract import Options, Placement
from worldswitch.harness.flight import Recorder

SWITCHES = 60  #: in each half of a pair
WARM_UP = 500


@dataclass(frozen=True, slots=True)
class Pair:
    """Nanoseconds for a switch: of CPU time without and with the recorder, and how long one took without."""

    without: float
    recorded: float
    took: float


def measure(platform: str, pairs: int) -> list[Pair]:
    """So many pairs; which half is first takes turns."""
    recorder = Recorder()
    with Bench(platform) as bench:
        instance = bench.new_platform(Options(placement=Placement.PIN, recorder=recorder))
        bench.ending.callback(instance.close)
        timer = on_one_cpu(timed_switches(bench.guest("getpid", instance)))
        timer(WARM_UP)
        return [_pair(timer, recorder, recorded_first=number % 2 == 0) for number in range(pairs)]


def _pair(timer: Timer, recorder: Recorder, *, recorded_first: bool) -> Pair:
    spent: dict[bool, float] = {}
    took: dict[bool, float] = {}
    for on in (recorded_first, not recorded_first):
        if on:
            recorder.resume()
        else:
            recorder.pause()
        begin = time.thread_time_ns()
        took[on] = timer(SWITCHES) / SWITCHES * 1e9
        spent[on] = (time.thread_time_ns() - begin) / SWITCHES
    return Pair(spent[False], spent[True], took[False])


def report(pairs: list[Pair]) -> str:
    """The median difference with its quartiles, and what part of a switch that is."""
    low, middle, high = statistics.quantiles([pair.recorded - pair.without for pair in pairs], n=4)
    quick = statistics.quantiles([pair.took for pair in pairs], n=10)[0]
    return (
        f"flight recorder: {middle:+.0f} ns ({low:+.0f} .. {high:+.0f}) on {quick:.0f} ns a switch, "
        f"{middle / quick:+.2%}, by {len(pairs)} pairs"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=1000, metavar="N")
    parser.add_argument("--platform", default=REFERENCE, metavar="NAME")
    options = parser.parse_args()
    print(report(measure(options.platform, max(2, options.pairs))))


if __name__ == "__main__":
    main()
