"""A run shown to somebody, in one of the ways there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.report.console import console
from worldswitch.harness.report.matrix import markdown, page, table
from worldswitch.harness.results import reader
from worldswitch.harness.results.baseline import file_format
from worldswitch.harness.results.baseline import read as load
from worldswitch.harness.results.reader import KeptCell, KeptRun
from worldswitch.harness.run import repro


def show(name: str, kind: str, output: Path | None) -> Status:
    """Show a run as `kind`; without a file to write, text is printed and the page goes into the run's folder."""
    run = read(name)
    if kind == "html":
        path = output or run.folder / page.FILE
        _write(path, html(run))
        print(path)
    elif output:
        _write(output, _text(run) if kind == "text" else markdown.text(run))
    elif kind == "markdown":
        print(markdown.text(run), end="")
    else:
        table.show(run, console())
    return Status.AS_EXPECTED


def read(name: str) -> KeptRun:
    """The run, or the baseline, at a path or in `results`, or the last run there; raises `CouldNotRun`."""
    folder = reader.find(name)
    return load.load(folder) if (folder / file_format.FILE).exists() else reader.read(folder)


def leave(folder: Path) -> None:
    """Leave the page and its twin in Markdown in a run's folder."""
    run = reader.read(folder)
    (folder / page.FILE).write_text(html(run), encoding="utf-8")
    (folder / markdown.FILE).write_text(markdown.text(run), encoding="utf-8")


def html(run: KeptRun) -> str:
    """The page of a run."""

    def again(cell: KeptCell, trial: Trial) -> str:
        return repro.command(cell.name, trial.scenario, run.folder)

    return page.page(run, again)


def _text(run: KeptRun) -> str:
    out = console()
    with out.capture() as captured:
        table.show(run, out)
    return captured.get()


def _write(path: Path, text: str) -> None:
    write(path, lambda: path.write_text(text, encoding="utf-8"))


def write(path: Path, how: Callable[[], object]) -> None:
    """Write `path`; `CouldNotRun` says why that cannot be."""
    try:
        how()
    except OSError as problem:
        raise CouldNotRun(f"{path} cannot be written: {problem.strerror}; name another file by -o") from problem
