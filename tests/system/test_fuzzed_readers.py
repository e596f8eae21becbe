"""Every reader takes any bytes: it returns, or it refuses them in words that begin with the file; never a traceback.

``WORLDSWITCH_FUZZ`` is the number of inputs per reader, ``WORLDSWITCH_FUZZ_SECONDS`` the most seconds for each reader;
`nox -s soak` sets both and prints the progress.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from paths import ROOT
from scripted import NAMES, footer, frames, header, place, run_in, trial

from worldswitch.harness.bench import results_file
from worldswitch.harness.bench.messages import Measured, NotMeasured
from worldswitch.harness.cell import records
from worldswitch.harness.environments.deployments import source
from worldswitch.harness.environments.kernels import image, known
from worldswitch.harness.environments.profiles import profile, seccomp_filter
from worldswitch.harness.errors import CouldNotRun, Unobtainable
from worldswitch.harness.expectations import rules
from worldswitch.harness.expectations.judgement import Expectation
from worldswitch.harness.report.export import ctrf, ktap
from worldswitch.harness.report.matrix import markdown
from worldswitch.harness.results import reader
from worldswitch.harness.results.baseline import read as baseline
from worldswitch.harness.results.comparison import compare
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.verdict import Verdict

INPUTS = int(os.environ.get("WORLDSWITCH_FUZZ", "200"))
SECONDS = float(os.environ.get("WORLDSWITCH_FUZZ_SECONDS", "60"))
BATCH = 1000

LONGEST = 64 << 10  #: bytes of an input: PyYAML reads 50 000 in a second


@dataclass(frozen=True)
class Fuzzed:
    """A reader and what it is given."""

    file: str  #: the name of the file that is made
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[Path], object]
    refuses: tuple[type[Exception], ...] = (CouldNotRun,)


# ----------------------------------------------------------------------------------------------------------- inputs

#: What a mutation inserts: what the formats have, at their limits.
TOKENS = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"'", b"\\", b"\n", b"\r\n", b"\0", b"#", b"=", b"- ", b"&a ", b"*a"),
    *(b"<<: ", b"!!bool ", b"!!timestamp ", b"? ", b"|", b">", b"---\n", b"[[", b"]]", b"...", b"%", b"\t"),
    *(b"null", b"true", b"1e308", b"-1e308", b"1e999", b"-0", b"-1", b"NaN", b"Infinity", b"0x1", b"1:1", b"9" * 30),
    *(b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"1" + b":1" * 300, b"a." * 200, b"2001-99-99", b"1" + b"0" * 20),
    *(
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u0000",
        "é".encode(),
        b"\x1b]0;x\x07",
        b"<b>",
        b"${x}",
    ),
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after some changes, or the JSON of any value in a place of it."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(content)))
        end = min(len(content), begin + draw(st.integers(0, 30)))
        match draw(st.integers(0, 5)):
            case 0:
                content = content[:begin] + content[end:]
            case 1 | 2:
                content = content[:begin] + draw(st.sampled_from(TOKENS)) + content[begin:]
            case 3:
                content = content[:begin] + content[begin:end] * 3 + content[end:]
            case 4:
                content = content[:begin] + json.dumps(draw(_values)).encode() + content[end:]
            case 5:
                content = _other_value(content, begin, json.dumps(draw(_values)).encode())
    return content[:LONGEST]


def _other_value(content: bytes, place: int, value: bytes) -> bytes:
    """Replace the value of the first field after a place: the text stays well-formed more often."""
    for mark in (b'":', b" = ", b": "):
        begin = content.find(mark, place) + len(mark)
        if begin >= len(mark):
            ends = [end for one in b",\n}" if (end := content.find(one, begin)) >= 0]
            return content[:begin] + value + content[min(ends, default=len(content)) :]
    return content


def files(pattern: str, longest: int = LONGEST) -> Callable[[], Sequence[bytes]]:
    """The contents of files of the checkout, up to a length."""
    return lambda: [path.read_bytes()[:longest] for path in sorted(ROOT.glob(pattern))]


@functools.cache
def run() -> dict[str, bytes]:
    """The files of a run with verdicts of several kinds."""
    trials = [trial(NAMES[0]), trial(NAMES[1], Verdict.FAIL, reason="so", detail="x"), trial(NAMES[2])]
    rule = Expectation((NAMES[1],), frozenset({Verdict.FAIL}), "known", source="x.toml rule 1", evidence=("ptrace(2)",))
    with tempfile.TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patch:
        run_in(patch, Path(made), place("docker:a", frames([header(), *trials, footer(trials)]), rule))
        return {path.name: path.read_bytes() for path in Path(made).iterdir() if path.suffix in (".json", ".jsonl")}


def read_run(path: Path) -> None:
    """Read a run of which one file is mutated, and show it in every way that needs nothing else."""
    for name, content in run().items():
        if name != path.name:
            (path.parent / name).write_bytes(content)
    show(reader.read(path.parent))


def show(kept: KeptRun) -> None:
    """Export a run, and compare it with itself."""
    markdown.text(kept)
    ktap.text(kept)
    ctrf.text(kept)
    compare(kept, kept)


def drafted(path: Path) -> None:
    """Draft the profile of a deployment."""
    source.draft(str(path), "")


def unframed(path: Path) -> None:
    """Read frames as from a cell."""
    for _ in records.unframe(path.read_bytes().splitlines(), lambda _: None):
        pass


def benchmarks() -> Sequence[bytes]:
    """A file of benchmarks, with few values."""
    writer = results_file.ResultsWriter("reference")
    for number in range(2):
        writer.take([Measured("limits::getpid", 1, (1e-7, 2e-7)), NotMeasured("x::y", "so")], number, {})
    with tempfile.TemporaryDirectory() as made:
        writer.write(Path(made, "x"), header().fingerprint)
        return [Path(made, "x").read_bytes()]


def _framed() -> Sequence[bytes]:
    trials = [trial(NAMES[0])]
    return [b"".join(line for line in frames([header(), *trials, footer(trials)]) if isinstance(line, bytes))]


READERS: dict[str, Fuzzed] = {
    "profile": Fuzzed("mine.toml", files("containers/profiles/*.toml"), profile.load),
    "filter in JSON": Fuzzed("mine.json", files("tests/data/filters/[a-l]*.json"), seccomp_filter.load),
    "filter in YAML": Fuzzed("mine.yaml", files("tests/data/filters/*.yaml", 2048), seccomp_filter.load),
    "rules": Fuzzed("mine.toml", files("containers/expectations/*.toml"), rules.load),
    "kernels": Fuzzed("mine.toml", files("containers/kernels.toml"), known.load),
    "kernel": Fuzzed("bzImage", lambda: [_image()], image.from_file, (Unobtainable,)),
    "manifest": Fuzzed("run.json", lambda: [run()["run.json"]], read_run),
    "cell": Fuzzed("docker-a.jsonl", lambda: [run()["docker-a.jsonl"]], read_run),
    "judgements": Fuzzed("judgements.jsonl", lambda: [run()["judgements.jsonl"]], read_run),
    "baseline": Fuzzed("baseline.jsonl", lambda: [_small_baseline()], lambda path: show(baseline.load(path.parent))),
    "benchmarks": Fuzzed("bench.json", benchmarks, results_file.read),
    "deployment in JSON": Fuzzed("mine.json", files("tests/data/deployments/*.json"), drafted),
    "deployment in YAML": Fuzzed("mine.yaml", files("tests/data/deployments/*.yaml", 2048), drafted),
    "frames": Fuzzed("frames", _framed, unframed, (msgspec.DecodeError,)),
}


def _image() -> bytes:
    """The head of a bzImage of 2048 bytes."""
    content = bytearray(2048)
    content[0x1F1], content[0x202:0x206], content[0x20E:0x210] = 3, b"HdrS", (0x300).to_bytes(2, "little")
    content[0x500:0x510] = b"6.12.1 (x@y) #1\0"
    return bytes(content)


def _small_baseline() -> bytes:
    lines = (ROOT / "results/baseline/baseline.jsonl").read_bytes().splitlines()
    return b"\n".join([lines[0], *lines[1:3], *lines[-2:]])


@pytest.mark.parametrize("fuzzed", READERS.values(), ids=READERS)
def test_a_reader_takes_any_bytes(
    fuzzed: Fuzzed, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    seeds, path = fuzzed.seeds(), tmp_path / fuzzed.file
    until = time.monotonic() + SECONDS
    done, slowest = 0, 0.0

    def one(content: bytes) -> None:
        nonlocal done, slowest
        path.write_bytes(content)
        begun = time.monotonic()
        try:
            fuzzed.read(path)
        except fuzzed.refuses as problem:
            str(problem).encode()  # it can be printed
        done, slowest = done + 1, max(slowest, time.monotonic() - begun)

    for batch in range(0, INPUTS, BATCH):
        if time.monotonic() > until:
            break
        seed(batch)(_settings(min(BATCH, INPUTS - batch))(given(mutated(seeds))(one)))()
        if INPUTS > BATCH:
            with capsys.disabled():
                name = request.node.callspec.id
                print(f"{name}: {done} of {INPUTS} inputs, the slowest {slowest:.2f} s", flush=True)
    assert done


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
