"""The fixture ``trial``: the platforms, deadlines and transcript of a scenario's trial."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from worldswitch.harness.cell.attribution import Owners
from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.cell.settings import Settings
from worldswitch.harness.cell.transcript import Transcript
from worldswitch.harness.contract import Options, Platform, PlatformFactory
from worldswitch.harness.flight import Recorder


@dataclass(slots=True)
class CurrentTrial:
    """The value of the fixture ``trial``."""

    repeat: int
    seed: int  #: the seed of all random choices in this trial
    _settings: Settings
    _factory: PlatformFactory
    _owners: Owners
    _transcript: Transcript
    _recorder: Recorder
    _platforms: list[Platform] = field(default_factory=list)

    def platform(self, options: Options = Options()) -> Platform:  # noqa: B008 - frozen
        """Return a new platform under test; the trial's end closes it."""
        self.note(f"platform({options})")
        made = self._factory(replace(options, recorder=self._recorder))
        self._owners.learn(made)
        self._platforms.append(made)
        return made

    def seconds(self, seconds: float) -> float:
        """Return a deadline scaled to this environment."""
        return seconds * self._settings.time_scale

    def note(self, text: str) -> None:
        """Add a line to the transcript."""
        self._transcript.note(text)

    def probe(self, name: str) -> ProbeResult:
        """Return the result of the probe `name`."""
        return table.probe(name)

    def close(self) -> None:
        """Close every platform, the last first, even if one raises."""
        while self._platforms:
            made = self._platforms.pop()
            try:
                made.close()
            finally:
                self.close()
