"""What the flight recorder adds to a switch: `python -m worldswitch.harness.bench.recorder_cost`.

The difference is far below the drift between seconds or processes that `switch::recorded` sees.  So one guest is
switched with the recorder on and off in turn, for less than a millisecond each.  The result is the median difference
within pairs, in CPU time of the tracing thread, which does the recording.  It is given as a share of the fastest tenth
of the switches, because slower ones measure the load.
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
    """Nanoseconds per switch, in one pair."""

    without: float  #: CPU time without the recorder
    recorded: float  #: CPU time with the recorder
    took: float  #: wall clock time without the recorder


def measure(platform: str, pairs: int) -> list[Pair]:
    """Measure `pairs` pairs; in every other one the recorder is on first."""
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
    """Return a line with the median difference, its quartiles and its share of a switch."""
    low, middle, high = statistics.quantiles([pair.recorded - pair.without for pair in pairs], n=4)
    quick = statistics.quantiles([pair.took for pair in pairs], n=10)[0]
    return (
        f"flight recorder: {middle:+.0f} ns ({low:+.0f} .. {high:+.0f}) on {quick:.0f} ns a switch, "
        f"{middle / quick:+.2%}, by {len(pairs)} pairs"
    )


def main() -> None:
    """Measure by the options of the command line, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=1000, metavar="N")
    parser.add_argument("--platform", default=REFERENCE, metavar="NAME")
    options = parser.parse_args()
    print(report(measure(options.platform, max(2, options.pairs))))


if __name__ == "__main__":
    main()
