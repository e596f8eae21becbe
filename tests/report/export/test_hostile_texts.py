"""Exports and pages of a run with any text in any field are well-formed, and none of the text is obeyed."""

from __future__ import annotations

import html
import json
import os
import re
import sqlite3
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import ktap as grammar
import msgspec
import pytest
from big_run import kept_cell, kept_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import ROOT

from worldswitch.harness.cell.records import Trial
from worldswitch.harness.expectations.judgement import Judgement
from worldswitch.harness.expectations.outcome import Judged, Problem, Stale
from worldswitch.harness.report.export import ctrf, database, github, junit, ktap
from worldswitch.harness.report.markdown_table import plain
from worldswitch.harness.report.matrix import markdown, views
from worldswitch.harness.results.reader import KeptRun
from worldswitch.harness.verdict import Verdict

EXAMPLES = min(10_000, int(os.environ.get("WORLDSWITCH_FUZZ", "200")))

#: What may be obeyed: by a browser, a renderer of Markdown, a terminal, a CI system or a reader of TAP.
HOSTILE = (
    *(
        "`",
        "``",
        "<script>alert(1)</script>",
        "</script>",
        "<img src=x onerror=alert(1)>",
        "`<b>``",
        "a`\\|<b>",
        "&lt;b>",
    ),
    *(
        "\x1b]0;x\x07",
        "\x1b[2J",
        "\n::add-mask::x",
        "##[error]x",
        "\n1..9",
        "\nok 1",
        "# SKIP",
        "]]>",
        "<!--",
        "\\",
        "|",
    ),
    *(
        "\0",
        "\x0c",
        "\u2028",
        "\u202e",
        "\ufffe",
        "\r\n",
        "[x](javascript:alert(1))",
        "{{ 7 * 7 }}",
        "{% raw %}",
        "'",
        '"',
    ),
)
texts = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), max_size=5).map("".join)
names = texts.map(lambda text: text.replace("/", "_") or "x")
sentences = texts.map(lambda text: f"family::{text}")
verdicts = st.sampled_from([one for one in Verdict if one is not Verdict.MISS])


@st.composite
def runs(draw: st.DrawFn) -> KeptRun:
    """A run of one or two cells with any text in every field that has one."""
    cells = []
    for name in draw(st.lists(names, min_size=1, max_size=2, unique=True)):
        judged = []
        for scenario in draw(st.lists(sentences, max_size=3, unique=True)):
            trial = Trial(
                scenario=scenario,
                verdict=draw(verdicts),
                ids=(draw(texts),),
                claim=draw(texts),
                reason=draw(texts),
                detail=draw(texts),
                output=draw(texts),
                transcript=(draw(texts),),
            )
            expected, reason = draw(st.booleans()), draw(texts)
            judged.append(Judged(trial, Judgement(expected, frozenset({Verdict.PASS}), reason, draw(texts))))
        problem = Problem(draw(texts), draw(texts), draw(texts), unexpected=draw(st.booleans()))
        cells.append(kept_cell(name, judged, draw(st.sampled_from([None, problem]))))
    run = kept_run(*cells, name=draw(texts) or "x")
    stale = tuple(Stale(draw(texts), draw(texts)) for _ in range(draw(st.integers(0, 1))))
    return KeptRun(run.folder, msgspec.structs.replace(run.manifest, stale=stale), run.cells)


fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

ILLEGIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]")


@fuzzed
@given(runs())
def test_junit_is_well_formed(run: KeptRun) -> None:
    path = Path(os.devnull)
    written = _written(lambda folder: junit.write(run.outcomes, folder, path, run.manifest.stale))
    suites = ET.fromstring(written).findall("testsuite")
    assert len(suites) == len(run.cells) + bool(run.manifest.stale)


@fuzzed
@given(runs())
def test_ktap_is_well_formed(run: KeptRun) -> None:
    text = ktap.text(run)
    grammar.parse(text)
    assert not ILLEGIBLE.search(text)


@fuzzed
@given(runs())
def test_ctrf_is_well_formed(run: KeptRun) -> None:
    found = json.loads(ctrf.text(run))
    assert found["results"]["summary"]["tests"] == len(found["results"]["tests"])


@fuzzed
@given(runs())
def test_github_s_commands_are_ours(run: KeptRun) -> None:
    for line in github.commands(run.outcomes, run.manifest.stale):
        assert re.match(r"::error title=[^:,\r\n]*::[^\r\n]*\Z", line)
        assert not ILLEGIBLE.search(line)


class Elements(HTMLParser):
    """Collects the elements of a page, with their attributes' names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"@{name}" for name, _ in attrs)}


def elements(text: str) -> set[str]:
    """The names of the elements and attributes of a page."""
    parser = Elements()
    parser.feed(text)
    return parser.found


@settings(fuzzed, max_examples=max(20, EXAMPLES // 10))
@given(runs())
def test_the_page_has_no_elements_of_others(run: KeptRun) -> None:
    page = views.html(run)
    found = elements(page)
    assert not found & {"img", "b0", "iframe", "object", "embed", "link", "base", "@onerror", "@onclick", "@src"}
    assert page.count("<script") == page.count("</script") == views.html(kept_run()).count("<script")
    assert "{{ 7 * 7 }}" not in run.manifest.run or "49" not in html.unescape(page.partition("<h1")[0])


@fuzzed
@given(runs())
def test_markdown_has_no_html_but_line_breaks(run: KeptRun) -> None:
    assert _raw(markdown.text(run)) == []


@fuzzed
@given(texts)
def test_escaped_text_has_no_html(text: str) -> None:
    assert _raw(plain(text)) == []
    assert "\n" not in plain(text)


def _raw(text: str) -> list[str]:
    """The elements in Markdown but for `<br>`: a `<` outside of code that no backslash escapes."""
    found = []
    for line in text.splitlines():
        index = 0
        while index < len(line):
            if line[index] == "\\":
                index += 2
            elif line[index] == "`":
                run = len(line[index:]) - len(line[index:].lstrip("`"))
                closing = re.search(rf"(?<!`)`{{{run}}}(?!`)", line[index + run :])
                index += run + (closing.end() if closing else 0)
            elif line[index] == "<" and not line.startswith("<br>", index):
                found.append(line[index:])
                break
            else:
                index += 1
    return found


@settings(fuzzed, max_examples=max(20, EXAMPLES // 10))
@given(runs())
def test_a_database_takes_any_text(run: KeptRun) -> None:
    def write(path: Path) -> None:
        database.write(run, path)
        with sqlite3.connect(path) as opened:
            (count,) = opened.execute("select count(*) from trials").fetchone()
        opened.close()
        assert count == sum(len(cell.judged) for cell in run.cells)

    _written(write)


def _written(write: Callable[[Path], object]) -> bytes:
    """Return what `write` writes to a file."""
    with tempfile.NamedTemporaryFile() as file:
        write(Path(file.name))
        return Path(file.name).read_bytes()


@pytest.mark.parametrize("template", sorted((ROOT / "harness").rglob("*.html.j2")), ids=lambda path: path.name)
def test_every_page_has_a_policy(template: Path) -> None:
    text = template.read_text()
    if "<html" in text:
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
        assert "default-src 'none'" in policy
        assert "script-src 'unsafe-inline'" not in policy
