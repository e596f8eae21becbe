"""Counts as results: a series for each thing that is counted of each operation."""

from __future__ import annotations

import msgspec

from worldswitch.harness.bench.kernel_calls import count
from worldswitch.harness.bench.kernel_calls.count import Count
from worldswitch.harness.bench.kernel_calls.process import OPERATIONS
from worldswitch.harness.bench.messages import Measured, NotMeasured
from worldswitch.harness.bench.results_file import ResultsWriter
from worldswitch.harness.environments.protocol import Say


def record(writer: ResultsWriter, platform: str, say: Say) -> None:
    """Count every operation; that needs no quiet and no repetition."""
    for name, operation in OPERATIONS.items():
        try:
            counts = count.count(name, platform)
        except OSError as problem:
            writer.take([NotMeasured(f"counted::{name}", str(problem))], 0, {})
            continue
        writer.take(*_as_values(name, (operation.__doc__ or "").partition("\n")[0], counts))
    say(f"counted what {len(OPERATIONS)} operations ask of the kernel")


def _as_values(name: str, about: str, counts: Count) -> tuple[list[Measured], int, dict[str, dict[str, str]]]:
    """Counts as what a round measured, as far as they are not 0, which pyperf does not take."""
    words: list[Measured] = []
    metadata: dict[str, dict[str, str]] = {}
    for field, value in msgspec.structs.asdict(counts).items():
        if round(value):
            word = Measured(f"counted::{name}.{field}", 1, (round(value),))
            unit = "byte" if field == "bytes" else "integer"
            words.append(word)
            metadata[word.name] = {"unit": unit, "description": about, "subject": "counted"}
    return words, 0, metadata
