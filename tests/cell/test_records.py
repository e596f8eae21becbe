"""Results are read back as written, and noise or damage is not accepted as records."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import ROOT

from worldswitch.harness.cell import frames, records
from worldswitch.harness.cell.diagnosis.model import Diagnosis, Event, ProcessSnapshot, ThreadSnapshot
from worldswitch.harness.cell.records import Fingerprint, Footer, Header, KernelLog, Record, Trial
from worldswitch.harness.results.cell_file import Reached, read_reached
from worldswitch.harness.results.errors import Damaged
from worldswitch.harness.verdict import Verdict

FINGERPRINT = Fingerprint(kernel="k", machine="m", cpu="c", cpus=2, python="p", versions={}, probes={})
HEADER = Header(
    run="r",
    started=1.0,
    environment={"name": "host"},
    platform="reference",
    repeat="quick",
    seed=7,
    planned=("a::one", "a::two"),
    fingerprint=FINGERPRINT,
)
ONE = Trial(scenario="a::one", verdict=Verdict.PASS)
DIAGNOSIS = Diagnosis(
    events=(
        Event(seconds=0.25, tracer=7, tid=8, request="PTRACE_SYSEMU", result="0", registers={"rax": "0x7"}),
        Event(seconds=0.26, tracer=7, tid=8, request="wait4", result="stopped at a system call", status=0x857F),
    ),
    forgotten=3,
    processes=(ProcessSnapshot(pid=8, parent=7, threads=(ThreadSnapshot(tid=8, state="t (tracing stop)", tracer=7),)),),
    moment="at the deadline",
)
TWO = Trial(
    scenario="a::two",
    verdict=Verdict.FAIL,
    reason="no",
    assertion=True,
    transcript=("x", "y"),
    diagnosis=DIAGNOSIS,
)

LOG = KernelLog(lines=("6 1.000000 hello",), taint=(0, 512))


def footer(*trials: Trial) -> Footer:
    return Footer(finished=2.0, counts=records.tally(trials))


def lines(*written: Record) -> bytes:
    return b"".join(records.encode(record) + b"\n" for record in written)


def test_results_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines(HEADER, TWO, ONE, LOG, footer(ONE, TWO)))
    whole = Reached(header=HEADER, trials=(TWO, ONE), footer=footer(ONE, TWO), kernel_log=LOG)
    assert read_reached(path) == whole


@pytest.mark.parametrize(
    ("contents", "reached"),
    [
        (b"", Reached()),
        (lines(HEADER), Reached(header=HEADER)),
        (lines(HEADER, ONE), Reached(header=HEADER, trials=(ONE,))),
        (lines(HEADER, ONE) + lines(TWO)[:-1], Reached(header=HEADER, trials=(ONE,), is_cut=True)),
        (lines(HEADER, ONE, footer(ONE)), Reached(header=HEADER, trials=(ONE,), footer=footer(ONE))),
    ],
)
def test_incomplete_results_are_read_to_their_end(tmp_path: Path, contents: bytes, reached: Reached) -> None:
    (tmp_path / "run.jsonl").write_bytes(contents)
    assert read_reached(tmp_path / "run.jsonl") == reached


#: The damage, the contents of the file, and the message after the file's name.
REFUSED = (
    ("no header", lines(ONE, footer(ONE)), ":1: expected the header, got a trial"),
    ("two headers", lines(HEADER, HEADER), ":2: a second header"),
    ("not planned", lines(HEADER, Trial(scenario="b::x", verdict=Verdict.PASS)), ":2: .*'b::x'"),
    ("twice", lines(HEADER, ONE, ONE), ":3: a second verdict on 'a::one'"),
    ("after the end", lines(HEADER, footer(), ONE), ":3: a record after the footer"),
    ("counts", lines(HEADER, ONE, footer(ONE, TWO)), ":3: the footer counts"),
    ("two kernel logs", lines(HEADER, LOG, LOG), ":3: a second kernel log"),
    ("half a line", lines(HEADER, ONE) + b'{"kind":"tri\n', ":3: not a record of a cell"),
    ("no JSON", lines(HEADER) + b"\xff\xfe\n" + lines(footer()), ":2: not a record of a cell"),
    (
        "an unknown verdict",
        lines(HEADER) + b'{"kind":"trial","scenario":"a::one","verdict":"maybe"}\n',
        ":2:",
    ),
    ("another kind", lines(HEADER) + b'{"kind":"other"}\n', ":2: not a record of a cell"),
    ("another format", lines(HEADER, footer()).replace(b'"format":1', b'"format":2'), ":1: format 2"),
)


@pytest.mark.parametrize(("contents", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_damaged_results_are_refused(tmp_path: Path, contents: bytes, message: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(contents)
    with pytest.raises(Damaged, match=f"{path}{message}"):
        read_reached(path)


def test_frames_are_found_in_noise() -> None:
    frame = records.frame(ONE)
    torn = records.frame(TWO)[:-9]
    stream = b"half a line" + frame + b"\r\n\0\xff noise @ws\n" + torn + frame.replace(b"\n", b"\r\n")
    noise: list[bytes] = []
    assert list(records.unframe(stream.splitlines(keepends=True), noise.append)) == [ONE, ONE]
    assert noise == [b"half a line\n", b"\0\xff noise @ws\n", torn[1:] + b"\r\n"]


def test_a_damaged_frame_is_noise() -> None:
    line = frames.encode(b"payload").strip()
    assert frames.decode(line) == b"payload"
    assert frames.decode(line.replace(b"pay", b"pag")) is None
    assert frames.decode(b"@ws") is None


def test_the_schema_is_current() -> None:
    remedy = "renew it: python -m worldswitch.harness.cell.records > results/run.schema.json"
    assert (ROOT / "results" / "run.schema.json").read_bytes() == records.schema(), remedy
