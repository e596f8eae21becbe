"""`worldswitch repro`: one trial of a kept run, once more."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldswitch.harness.report.console import console
from worldswitch.harness.report.progress import Progress
from worldswitch.harness.results.writer import new_folder

ABOUT = "repeat one trial of a kept run, alone and as it was"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which, and where results are and go."""
    parser.add_argument(
        "cell", metavar="CELL@RUN", help="as the run printed it: host::signals::a_sentence@results/20260102T030405-0a1b"
    )
    parser.add_argument(
        "--times", type=int, default=1, metavar="N", help="repeat it until it fails again, N times at most"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where results are (default: %(default)s)"
    )


def main(asked: argparse.Namespace) -> int:
    """Repeat it, and say whether it came to the same."""
    from worldswitch.harness.expectations.outcome import status
    from worldswitch.harness.report import run_files, terminal
    from worldswitch.harness.results import trial_id
    from worldswitch.harness.run import repro, runner

    kept = trial_id.find(asked.cell, asked.results)
    request = repro.request(kept)
    scenarios = request.scenarios()
    out = console()
    out.print(f"{kept.id}: {kept.judged.trial.verdict.value}, {kept.judged.judgement}")
    out.print(f"the same as: {request.again(kept.cell.name, request.ids[0])}")
    for difference in repro.differences(kept):
        out.print(f"not as it was: {difference}")
    for _ in range(max(1, asked.times)):
        folder = new_folder(asked.results)
        with Progress(out, request, folder) as progress:
            run = runner.Run(request, scenarios, folder, progress)
            run.go()
        now = repro.again(kept, run.outcomes)
        if run.interrupted or (now and now.trial.verdict is kept.judged.trial.verdict):
            break
    run_files.write(run.outcomes, run.folder, run.stale)
    terminal.summary(run.outcomes, run.folder, request.seed, out)
    for other in repro.other_machine(kept, run.folder):
        out.print(f"not as it was: {other}")
    out.print(repro.result(kept, now))
    if run.interrupted:
        raise KeyboardInterrupt
    return status(run.outcomes)
