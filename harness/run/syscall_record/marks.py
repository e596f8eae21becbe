"""A pytest plugin, and a program of its own, that mark the parts of a recorded run.

pytest -p worldswitch.harness.run.syscall_record.marks     each trial is a part
python -m worldswitch.harness.run.syscall_record.marks     each probe is a part, and the import of the platform
"""

from __future__ import annotations

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.cell.collection import name_of
from worldswitch.harness.cell.probes import Look, table, trying
from worldswitch.harness.cell.rehearsal import rehearse
from worldswitch.harness.cell.settings import IMPORT_SECONDS, Settings
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.run.syscall_record import parts
from worldswitch.harness.verdict import Verdict

PLATFORM, IDLE, END = "platform", "idle", "end"


def pytest_runtest_logstart(nodeid: str) -> None:
    """Mark the beginning of a trial."""
    parts.begin(scenarios.function_of(name_of(nodeid)))


def pytest_runtest_logfinish() -> None:
    """Mark the end of a trial."""
    parts.begin(END)


def outcome(part: str) -> str:
    """Carry out a probe, or the import of the platform; return the probe's state, or the verdict."""
    if part == PLATFORM:
        settings = Settings(scenarios.SCENARIOS, REFERENCE, None, "quick", (), IMPORT_SECONDS, time_scale=1, seed=0)
        return rehearse(settings).verdict.value
    return trying.probe(_LOOKS.get(part, _idle)).state


def _idle() -> str:
    return "nothing"


_LOOKS: dict[str, Look] = table.PROBES
PARTS = (IDLE, PLATFORM, *_LOOKS)
PASSES = {PLATFORM: Verdict.PASS.value}


def main() -> None:
    """Carry out each part."""
    for part in PARTS:
        parts.begin(part)
        outcome(part)
    parts.begin(END)


if __name__ == "__main__":
    main()
