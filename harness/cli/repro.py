"""`worldswitch repro`: repeat one trial of a saved run."""

from __future__ import annotations

import argparse
from dataclasses import replace

from worldswitch.harness.cli import options
from worldswitch.harness.report.console import console
from worldswitch.harness.report.progress import Progress
from worldswitch.harness.results.writer import new_folder

ABOUT = "repeat one trial of a saved run, alone and with the same settings and seed"
STATUSES = {
    0: "the repeated trial's verdict was expected",
    1: "it was not expected, as before or anew; the last line says whether it is the same",
    2: "there is no such trial, or it could not run here",
}
EXAMPLES = """
worldswitch repro host::IN03 --times 20         # of the last run
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options: the trial, how often, and the folder of the runs."""
    parser.add_argument(
        "trial",
        metavar="TRIAL[@RUN]",
        help="such as host::signals::a_sentence@results/20260102T030405-0a1b (default: the last run)",
    )
    parser.add_argument(
        "--times",
        type=options.count,
        default=1,
        metavar="N",
        help="repeat it until its verdict is the same, at most N times (default: %(default)s)",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="also repeat a trial of a run from another folder than --results that runs code of its own, or downloads "
        "or installs something",
    )
    options.results(parser)


def main(arguments: argparse.Namespace) -> int:
    """Repeat the trial, and print whether the verdict is the same."""
    from worldswitch.harness.expectations.outcome import status
    from worldswitch.harness.report import run_files, terminal
    from worldswitch.harness.results import trial_id
    from worldswitch.harness.run import repro, runner

    saved = trial_id.find(arguments.trial, arguments.results)
    request = repro.request(saved)
    if not arguments.trust:
        repro.check_trusted(saved, request, arguments.results)
        request = replace(request, install_engine=False)  # also for a run of this folder: nothing is installed unasked
    scenarios = request.scenarios()
    out = console()
    out.print(f"{saved.id}: {saved.judged.trial.verdict.value}, {saved.judged.judgement}")
    out.print(f"the same as: {request.again(saved.cell.name, request.ids[0])}")
    for difference in repro.differences(saved):
        out.print(f"not as it was: {difference}")
    for _ in range(arguments.times):
        folder = new_folder(arguments.results, "repro-")
        with Progress(out, request, folder) as progress:
            run = runner.Run(request, scenarios, folder, progress)
            run.go()
        now = repro.again(saved, run.outcomes)
        if run.interrupted or (now and now.trial.verdict is saved.judged.trial.verdict):
            break
    run_files.write(run.outcomes, run.folder, run.stale)
    terminal.summary(run.outcomes, run.folder, request, out)
    for other in repro.other_machine(saved, run.folder):
        out.print(f"not as it was: {other}")
    out.print(repro.result(saved, now))
    if run.interrupted:
        raise KeyboardInterrupt
    return status(run.outcomes)
