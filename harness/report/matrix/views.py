"""Prints or writes a run's matrix in one of its formats."""

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
    """Write a run's matrix to `output`; by default print text or Markdown, and write a page to the run's folder.

    Returns COULD_NOT_RUN if nothing ran in it.
    """
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
    return Status.AS_EXPECTED if run.ran else Status.COULD_NOT_RUN


def read(name: str) -> KeptRun:
    """Return the run or baseline called `name`: a path, a name in `results`, or `last`; raises `CouldNotRun`."""
    folder = reader.find(name)
    return load.load(folder) if (folder / file_format.FILE).exists() else reader.read(folder)


def write_to_folder(folder: Path) -> None:
    """Write the page and the Markdown to a run's folder."""
    run = reader.read(folder)
    (folder / page.FILE).write_text(html(run), encoding="utf-8")
    (folder / markdown.FILE).write_text(markdown.text(run), encoding="utf-8")


def html(run: KeptRun) -> str:
    """Return the page of a run."""

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
    """Write `path` by calling `how`; raises `CouldNotRun`."""
    try:
        how()
    except OSError as problem:
        raise CouldNotRun(f"{path} cannot be written: {problem.strerror}; name another file with -o") from problem
