"""One cell: every scenario once, here; what each environment starts as ``python -m worldswitch.harness.cell``.

Standard output carries the results as frames and nothing else; what anybody prints goes to standard error.

    exit status 0   every trial ran, whatever its verdict
                2   the cell could not run: nothing to run, or not all of it was reported, or the platform did not load
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import pytest

from worldswitch.harness.cell import collection, options, records, seeds
from worldswitch.harness.cell.rehearsal import rehearse
from worldswitch.harness.cell.report_stream import ReportStream, environment_of, observed
from worldswitch.harness.cell.settings import Settings
from worldswitch.harness.linux import processes, syscalls
from worldswitch.harness.verdict import Verdict


def parser() -> argparse.ArgumentParser:
    """The command line; the options are those of the pytest plugin."""
    made = argparse.ArgumentParser(prog="python -m worldswitch.harness.cell", description=__doc__.partition("\n")[0])
    option = made.add_argument
    options.add(option)
    option("-k", metavar="EXPRESSION", help="only scenarios whose names match, as in pytest")
    option("--observed", metavar="JSON", default="", help="facts about this kernel that need not be observed again")
    option("-n", type=int, default=0, metavar="WORKERS", help="how many trials run at the same time")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cell."""
    asked = parser().parse_args(arguments)
    asked.seed = seeds.draw() if asked.seed is None else asked.seed
    stream = os.dup(1)  # not inherited by what trials execute
    os.dup2(2, 1)
    settings = Settings.of(asked, asked.seed)
    try:
        recorder = ReportStream(
            lambda record: syscalls.write_all(stream, records.frame(record)),
            settings,
            environment_of(asked.environment),
            begins=lambda scenario: syscalls.write_all(stream, records.frame(records.Began(scenario))),
            observed=observed(asked.observed),
        )
    except pytest.UsageError as error:
        return _refuse(str(error))
    if collection.folder_of(asked.scenarios) is None:
        return _refuse(f"--scenarios: no package {asked.scenarios} can be imported")
    with processes.subreaper():  # should a worker die, what its trial left comes here
        loading = rehearse(settings)
        _run(asked, recorder)
        processes.kill_all(lambda: processes.descendants(os.getpid()), 5.0)
    if loading.verdict is not Verdict.PASS:
        return _refuse(loading.reason)
    if not recorder.complete:
        return _refuse(_incomplete(recorder))
    return 0


def _refuse(reason: str) -> int:
    print(f"cell: could not run: {reason}", file=sys.stderr, flush=True)
    return 2


def _incomplete(recorder: ReportStream) -> str:
    if recorder.broken:
        return f"{', '.join(recorder.broken)} could not be collected; pytest's account is above"
    if not recorder.planned:
        return "no scenario was selected"
    return f"{len(recorder.trials)} of {len(recorder.planned)} planned trials were reported"


def _run(asked: argparse.Namespace, recorder: ReportStream) -> None:
    # Only what is named here takes part, whatever plugins and configuration are lying about.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    folder = collection.folder_of(asked.scenarios)
    pytest.main([*_ALWAYS, f"--rootdir={folder}", *_options(asked), "--pyargs", asked.scenarios], plugins=[recorder])


_ALWAYS = (
    *("-p", "worldswitch.harness.cell.plugin", "-p", "xdist", "-p", "no:cacheprovider", "-c", os.devnull),
    "--noconftest",  # pytest would load the one of the folder in which the cell happens to start
    *("-q", "--strict-markers", "--color=no", "--continue-on-collection-errors"),
    # A worker that dies takes one trial with it, which is then a miss; a new one would hide that.
    *("--max-worker-restart=0", "--dist=worksteal"),
)


def _options(asked: argparse.Namespace) -> list[str]:
    values = (
        *(("-k", asked.k), ("-n", asked.n or None)),
        *(("--platform", asked.platform), ("--mutant", asked.mutant), ("--repeat", asked.repeat)),
        *(("--deadline", asked.deadline), ("--time-scale", asked.time_scale), ("--scenarios", asked.scenarios)),
        ("--seed", asked.seed),
        *(("--id", pattern) for pattern in asked.id),
    )
    said = [word for name, value in values if value is not None for word in (name, str(value))]
    return said if asked.chaos else [*said, "--no-chaos"]


if __name__ == "__main__":
    sys.exit(main())
