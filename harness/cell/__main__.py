"""Run every scenario once in this process's environment: ``python -m worldswitch.harness.cell``.

Standard output carries the results as frames and nothing else; all other output goes to standard error.

    exit status 0   every trial ran, whatever its verdict
                2   the cell could not run: no scenario selected, a trial not reported, the platform not loaded, a
                    container that is not what its profile says
                70  a defect of this program, not of the platform: platforms run in trials' processes only
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

import pytest

from worldswitch.harness.cell import collection, options, records, seeds
from worldswitch.harness.cell.rehearsal import rehearse
from worldswitch.harness.cell.report_stream import ReportStream, environment_of, observed
from worldswitch.harness.cell.settings import Settings
from worldswitch.harness.linux import confinement, defects, processes, startup, syscalls
from worldswitch.harness.verdict import Verdict

#: Only the plugins named here take part, whatever plugins and configuration are installed.
_ALWAYS = (
    f"-p worldswitch.harness.cell.plugin -p xdist -p no:cacheprovider -c {os.devnull} "
    # Without --noconftest, pytest would load the conftest.py of the folder that the cell starts in.
    "-q --strict-markers --color=no --continue-on-collection-errors --noconftest "
    # A dead worker's trial is a miss, which a replacement would hide.
    "--max-worker-restart=0 --dist=worksteal"
).split()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; the options are those of the pytest plugin and a few more."""
    made = argparse.ArgumentParser(prog="python -m worldswitch.harness.cell", description=__doc__.partition("\n")[0])
    option = made.add_argument
    options.add(option)
    option("-k", metavar="EXPRESSION", help="only scenarios whose names match, as in pytest")
    option("--observed", metavar="JSON", default="", help="facts about this kernel; without them they are observed")
    option("--confinement", metavar="JSON", default="", help="what confines the cell; it refuses to run without")
    option("--facts", metavar="NAMES", help="observe only these facts, separated by commas (default: all)")
    option("-n", type=int, default=0, metavar="WORKERS", help="how many trials run at the same time")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cell and return its exit status."""
    try:
        return _run(arguments)
    except Exception as error:
        return defects.report(records.REFUSAL, error)


def _run(arguments: Sequence[str] | None) -> int:
    startup.prepare()
    if problem := startup.problem():
        return _refuse(problem)
    asked = parser().parse_args(arguments)
    asked.seed = seeds.draw() if asked.seed is None else asked.seed
    settings = Settings.of(asked, asked.seed)
    if asked.confinement and (lost := confinement.differences(json.loads(asked.confinement))):
        return _refuse(f"the container is not what its profile says: {'; '.join(lost)}")
    try:
        stream = _report_stream(asked, settings)
    except pytest.UsageError as error:
        return _refuse(str(error))
    with processes.subreaper():  # adopts the processes of a trial whose worker dies
        loading = rehearse(settings)
        status = _run_pytest(asked, stream)
        processes.kill_all(lambda: processes.descendants(os.getpid()), 5.0)
    reason = loading.reason if loading.verdict is not Verdict.PASS else _incomplete(stream, status)
    return _refuse(reason) if reason else 0


def _report_stream(asked: argparse.Namespace, settings: Settings) -> ReportStream:
    """Send frames to standard output, and all other output to standard error."""
    out = os.dup(1)  # trials' programs do not inherit it
    os.dup2(2, 1)
    if collection.folder_of(settings.scenarios) is None:
        raise pytest.UsageError(f"--scenarios: no package {settings.scenarios} can be imported")

    def write(word: records.Word) -> None:
        syscalls.write_all(out, records.frame(word))

    return ReportStream(
        write,
        settings,
        environment_of(asked.environment),
        begins=lambda scenario: write(records.Began(scenario)),
        observed=observed(asked.observed),
        facts=None if asked.facts is None else [name for name in asked.facts.split(",") if name],
    )


def _refuse(reason: str) -> int:
    print(f"{records.REFUSAL}{reason}", file=sys.stderr, flush=True)
    return 2


def _incomplete(stream: ReportStream, status: int) -> str:
    """Why the results are incomplete; empty if they are complete."""
    if stream.broken:
        return f"{', '.join(stream.broken)} could not be collected; pytest's report is above"
    if not stream.planned and status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        return f"pytest ended with status {int(status)} before it selected scenarios; its output is above"
    if not stream.planned:
        return "no scenario was selected"
    if stream.complete:
        return ""
    why = ": internal error of pytest, whose report is above" if status == pytest.ExitCode.INTERNAL_ERROR else ""
    return f"{len(stream.trials)} of {len(stream.planned)} planned trials were reported{why}"


def _run_pytest(asked: argparse.Namespace, stream: ReportStream) -> int:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    folder = collection.folder_of(asked.scenarios)
    words = [*_ALWAYS, f"--rootdir={folder}", *_options(asked), "--pyargs", asked.scenarios]
    return pytest.main(words, plugins=[stream])


def _options(asked: argparse.Namespace) -> list[str]:
    """The options of the pytest plugin."""
    names = ("platform", "mutant", "repeat", "deadline", "time_scale", "scenarios", "seed")
    values = [("-k", asked.k), ("-n", asked.n or None), *(("--id", pattern) for pattern in asked.id)]
    values += [(f"--{name.replace('_', '-')}", getattr(asked, name)) for name in names]
    words = [word for name, value in values if value is not None for word in (name, str(value))]
    return words if asked.chaos else [*words, "--no-chaos"]


if __name__ == "__main__":
    sys.exit(main())
