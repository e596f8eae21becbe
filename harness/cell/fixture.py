"""The trial that a scenario runs in, as pytest hands it to the scenario."""

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
    """What a scenario gets as the fixture ``trial``."""

    repeat: int
    seed: int  #: what everything random in this trial is drawn from
    _settings: Settings
    _factory: PlatformFactory
    _owners: Owners
    _transcript: Transcript
    _recorder: Recorder
    _platforms: list[Platform] = field(default_factory=list)

    def platform(self, options: Options = Options()) -> Platform:  # noqa: B008 - frozen
        """A platform under test, closed at the end of the trial."""
        self.note(f"platform({options})")
        made = self._factory(replace(options, recorder=self._recorder))
        self._owners.learn(made)
        self._platforms.append(made)
        return made

    def seconds(self, seconds: float) -> float:
        """A deadline, scaled to this environment."""
        return seconds * self._settings.time_scale

    def note(self, text: str) -> None:
        """Add a line to the transcript."""
        self._transcript.note(text)

    def probe(self, name: str) -> ProbeResult:
        """What is known about the probe `name`."""
        return table.probe(name)

    def close(self) -> None:
        """Close every platform, the last first, even if closing one of them raises."""
        while self._platforms:
            made = self._platforms.pop()
            try:
                made.close()
            finally:
                self.close()
