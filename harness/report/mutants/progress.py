"""Shows a campaign's progress: a live line on a terminal, and a printed line per mutant."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from worldswitch.harness.catalogue.mutants import MUTANT
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.run.mutants.fates import Fate, MutantFate
from worldswitch.harness.run.request import Request

STYLES = {Fate.CAUGHT: "green", Fate.UNTESTED: "dim", Fate.SURVIVED: "bold red", Fate.ERROR: "bold magenta"}

SILENCE = 10.0  #: seconds between two log lines on the reference's trials


class CampaignProgress:
    """Shows a campaign in progress; its methods may be called from several threads."""

    def __init__(self, out: Console, request: Request) -> None:
        self._out = out
        self._request = request
        self._lock = threading.Lock()
        self._what = ""
        self._done = self._all = 0
        self._now: dict[str, float] = {}
        self._last_line = time.monotonic()
        self._live = Live(get_renderable=self._line, console=out) if out.is_terminal else None

    def __enter__(self) -> CampaignProgress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print `line` about a step that takes a while."""
        self._out.print(f"{line} ...")

    def reference_starts(self, environment: str) -> None:
        """Show that the reference runs, before the mutants."""
        self._start(f"{environment}: the reference", 0)

    def reference_plans(self, trials: int) -> None:
        """Set the number of the reference's trials."""
        self._all = trials

    def mutants_start(self, environment: str, mutants: int) -> None:
        """Show that this number of mutants runs next."""
        self._start(f"{environment}: {mutants} mutants", mutants)

    def _start(self, what: str, count: int) -> None:
        self._what, self._done, self._all, self._last_line = what, 0, count, time.monotonic()
        self._out.print(what)

    def reference_trial(self) -> None:
        """Count a verdict of the reference."""
        self._done += 1
        if not self._live and time.monotonic() - self._last_line > SILENCE:
            self._last_line = time.monotonic()
            self._out.print(f"{self._done} of {self._all} done")

    def mutant_starts(self, mutant: str) -> None:
        """Show that a mutant runs."""
        with self._lock:
            self._now[mutant] = time.monotonic()

    def mutant_ends(self, one: MutantFate) -> None:
        """Print the mutant's fate, with the scenarios that did not catch it and the commands that repeat them."""
        with self._lock:
            self._now.pop(one.mutant, None)
            self._done += 1
        count = f"[{self._done:>{len(str(self._all))}}/{self._all}]"
        line = f"{count} {one.fate.value:<9} {one.mutant} in {one.environment} ({one.seconds:.1f} s)"
        self._out.print(line, style=STYLES[one.fate])
        for finding in one.findings:
            if finding.fate is not Fate.CAUGHT:
                self._out.print(f"  {finding.name}: {finding.fate.value}: {finding.reason}")
                if finding.fate is not Fate.UNTESTED:
                    cell = CellName(one.environment, f"{MUTANT}{one.mutant}")
                    self._out.print(f"    again: {self._request.again(cell, finding.name)}")
        for trial in one.undeclared:
            self._out.print(f"  not named, but does not pass: {trial.scenario} ({trial.verdict.value})")

    def _line(self) -> Text:
        with self._lock:
            now = ", ".join(f"{name} {time.monotonic() - begin:.0f} s" for name, begin in self._now.items())
        return Text(f"{self._what}: {self._done} of {self._all}" + (f"; now {now}" if now else ""))
