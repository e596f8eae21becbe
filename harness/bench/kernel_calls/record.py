"""Counts as results: a series for each field of each operation's `Count`."""

from __future__ import annotations

import msgspec

from worldswitch.harness.bench.kernel_calls import count
from worldswitch.harness.bench.kernel_calls.process import OPERATIONS
from worldswitch.harness.bench.messages import Measured, NotMeasured
from worldswitch.harness.bench.results_file import ResultsWriter
from worldswitch.harness.environments.protocol import Say


def record(writer: ResultsWriter, platform: str, say: Say) -> None:
    """Count every operation once: counts need neither a quiet machine nor repetition."""
    for name, operation in OPERATIONS.items():
        description = (operation.__doc__ or "").partition("\n")[0]
        try:
            counts = msgspec.structs.asdict(count.count(name, platform))
        except OSError as problem:
            writer.take([NotMeasured(f"counted::{name}", str(problem))], number=0, about={})
            continue
        measured, about = [], {}
        for field, value in counts.items():
            if round(value):  # pyperf rejects 0
                series = Measured(f"counted::{name}.{field}", loops=1, values=(round(value),))
                unit = "byte" if field == "bytes" else "integer"
                measured.append(series)
                about[series.name] = {"unit": unit, "description": description, "subject": "counted"}
        writer.take(measured, number=0, about=about)
    say(f"counted the kernel calls of {len(OPERATIONS)} operations")
