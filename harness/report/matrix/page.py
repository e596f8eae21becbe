"""Renders the page of a run: template, styles, scripts and the packed run in one file."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from importlib import resources

import jinja2
import msgspec
from markupsafe import Markup

from worldswitch.harness.expectations.outcome import tally
from worldswitch.harness.legible import legible
from worldswitch.harness.report import prediction
from worldswitch.harness.report.matrix import pack as packing
from worldswitch.harness.report.matrix import summary
from worldswitch.harness.report.matrix.pack import Pack, PackedCell, RepeatCommand
from worldswitch.harness.report.outcome.answer import answer
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.results.verdict_letters import LETTERS

FILE = "matrix.html"

STYLES = ("base.css", "matrix.css")
SCRIPTS = ("data.js", "query.js", "tree.js", "grid.js", "panel.js", "main.js")

CAUSES = 60  #: the maximum number of causes listed below the table
MOST = 40  #: the maximum number of scenarios listed for a cause


def source(name: str) -> str:
    """Return the text of a file in this folder."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def page(run: KeptRun, again: RepeatCommand) -> str:
    """Return the page as HTML; `again` returns the command that repeats a trial."""
    packed = packing.pack(run, again)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else legible(str(value)),
    )
    environment.filters["digest"] = _digest
    return environment.get_template("matrix.html.j2").render(
        run=run.manifest,
        pack=packed,
        answer=answer(run.outcomes),
        title=summary.title(run),
        headline=summary.headline(run),
        tally=tally(run.outcomes),
        conclusion=summary.conclusion(run),
        verdicts=summary.verdicts(run),
        differing=[one for cell in run.cells for one in prediction.disagreements(cell)],
        forecasts=[(str(cell.name), prediction.counted(cell)) for cell in run.cells if cell.plan.forecast],
        problems=summary.problems(run),
        named=summary.named,
        table=_table(packed),
        counted=counted,
        causes=summary.causes_of(run),
        most_causes=CAUSES,
        most=MOST,
        few=summary.FEW,
        styles=Markup("".join(map(source, STYLES))),
        scripts=Markup('"use strict";\n' + "".join(map(source, SCRIPTS))),
        data=Markup(_embedded(packed)),
    )


def _digest(text: str) -> str:
    """The source of a Content-Security-Policy that allows exactly this text of a style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _embedded(packed: Pack) -> str:
    """The pack as JSON for a script element; `<` is escaped, so no text can close the element."""
    return msgspec.json.encode(packed).decode().replace("<", "\\u003c")


def _table(packed: Pack) -> list[list[PackedCell | None]]:
    """The cells by row and column; None if not planned."""
    places = {(cell.row, cell.column): cell for cell in packed.cells}
    return [[places.get((row, column)) for column in range(len(packed.columns))] for row in range(len(packed.rows))]


def counted(cell: PackedCell) -> Markup:
    """A cell's verdicts as counts and signs, as grid.js draws them."""
    counts = Counter(cell.verdicts)
    parts = [Markup('<span class="passed">{}</span>').format(counts["p"] or "")]
    for verdict, letter in LETTERS.items():
        for shown, wrong in ((letter.upper(), " wrong"), (letter, "")):
            if shown != "p" and counts[shown]:
                sign = '<span class="v {}{}">{}<i>{}</i></span>'
                parts.append(Markup(sign).format(verdict.value, wrong, counts[shown], letter.upper()))
    return Markup("").join(parts)
