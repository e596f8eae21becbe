"""Recorded rounds of benchmarks, for tests of the comparison, and the script that records them.

Measure with ``worldswitch bench limits::getpid limits::sysemu limits::same_calls switch::resident_pinned
switch::default_pinned switch::fault --rounds 120 --quick --realtime``, then run this file with the run's folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from paths import DATA

from worldswitch.harness.bench import results_file

FILE = DATA / "bench_rounds.json"


def main(run: Path) -> None:
    """Write each round's median in nanoseconds, in chronological order."""
    results = results_file.read(run)
    stored: dict[str, Any] = {
        "machine": {name: getattr(results.fingerprint, name) for name in results_file.MACHINE},
        "taken": results.taken,
        "rounds": {
            name: [round(1e9 * value, 1) for value in one.samples]
            for name, one in results.series.items()
            if one.unit == "second"
        },
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(stored, indent=1) + "\n")


def recorded() -> dict[str, list[float]]:
    """Return each benchmark's rounds in nanoseconds."""
    rounds: dict[str, list[float]] = json.loads(FILE.read_text())["rounds"]
    return rounds


if __name__ == "__main__":
    main(Path(sys.argv[1]))
