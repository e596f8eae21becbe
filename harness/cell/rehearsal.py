"""A trial import of the platform in a process of its own, since an import may hang or crash."""

from __future__ import annotations

import msgspec

from worldswitch.harness.catalogue import platforms
from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.cell import trial
from worldswitch.harness.cell.settings import IMPORT_SECONDS, Settings
from worldswitch.harness.cell.transcript import Transcript
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.flight import Recorder
from worldswitch.harness.linux import processes
from worldswitch.harness.verdict import Verdict


def rehearse(settings: Settings) -> Result:
    """Load the platform in a process of its own; return `PASS`, or `ERROR`, `CRASH` or `TIMEOUT` with the reason."""

    def body(_: Transcript, __: Recorder) -> Result:
        try:
            factory = settings.load()
            if not settings.mutant:
                platforms.check(settings.platform, factory)
        except NotFound as error:
            return Result(verdict=Verdict.ERROR, reason=str(error))
        return Result(verdict=Verdict.PASS)

    if problem := processes.proc_problem():
        return Result(verdict=Verdict.ERROR, reason=problem)
    return while_importing(trial.run(body, IMPORT_SECONDS))


def while_importing(result: Result) -> Result:
    """Add to the reason of a crash or time-out when it was, and the last line of the output."""
    if result.verdict in (Verdict.CRASH, Verdict.TIMEOUT):
        said = "".join(f": {line}" for line in result.output.splitlines()[-1:])
        return msgspec.structs.replace(result, reason=f"while importing the platform: {result.reason}{said}")
    return result
