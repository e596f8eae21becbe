"""The matrix in a browser: filters, unfolding, the panel, the keyboard, and print."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import big_run
import pytest

from worldswitch.harness.report.matrix import page as matrix

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
KERNELS = ("5.10", "6.12", "7.2", "7.3")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "matrix.html"
    run = big_run.run(kernels=KERNELS, profiles=big_run.PROFILES[:6])
    path.write_text(
        matrix.page(run, lambda cell, trial: f"worldswitch repro {cell.name}::{trial.scenario}@{run.manifest.run}")
    )
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tool:
        started = tool.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def watched(browser: Any, file: Path) -> Iterator[tuple[Any, list[str]]]:
    """The page, with the errors of its scripts and the requests that it makes."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("request", lambda request: None if request.url.startswith("file:") else wrong.append(request.url))
    opened.goto(file.as_uri())
    opened.wait_for_selector("html.scripted")
    yield opened, wrong
    opened.close()


@pytest.fixture
def page(watched: tuple[Any, list[str]]) -> Iterator[Any]:
    """The page in its initial state; at the end, there must be no errors."""
    opened, wrong = watched
    opened.evaluate("location.hash = 'order=kernel'")
    opened.click("#fold")
    yield opened
    assert wrong == []


def ask(page: Any, query: str) -> str:
    """Filter, and return the answer."""
    page.fill("#query", query)
    page.wait_for_function("asked => location.hash.includes(new URLSearchParams({ query: asked }))", arg=query)
    return str(page.inner_text("#answer"))


def names(page: Any, level: int) -> list[str]:
    """The names of the rows of a level in the document."""
    return [str(one) for one in page.locator(f"tr.level{level} .name").all_inner_texts()]


def test_it_opens_folded_with_a_row_per_kernel(page: Any) -> None:
    assert names(page, 0) == ["host", "linux-5.10", "linux-6.12", "linux-7.2", "linux-7.3"]
    heads = page.locator(".matrix thead th").all_inner_texts()
    assert heads == ["kernel", "no container", *big_run.PROFILES[1:6]]
    assert page.inner_text("#answer") == "14100 trials of 470 scenarios in 30 cells"


def test_it_unfolds_to_families_and_scenarios_and_draws_only_visible_rows(page: Any) -> None:
    page.click("#unfold")
    assert set(big_run.FAMILIES) <= set(names(page, 1))
    page.click("#unfold")
    assert 10 < len(names(page, 2)) < 100
    page.locator("#grid").evaluate("it => it.scrollTop = it.scrollHeight")
    page.wait_for_timeout(100)
    assert "linux-7.3" not in names(page, 0)
    assert names(page, 1)[-1:] == ["threads"] or names(page, 2)
    page.click("#fold")
    assert len(names(page, 0)) == 5


def test_a_row_is_folded_by_its_head(page: Any) -> None:
    page.click("tr.level0 th >> nth=1")
    assert names(page, 1) == sorted(big_run.FAMILIES)
    page.click("tr.level0 th >> nth=1")
    assert names(page, 1) == []


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("profile:hardened kernel:6.12", "470 trials of 470 scenarios in 1 cells"),
        ("kernel<6.12 id:SG0*", "60 trials of 10 scenarios in 6 cells"),
        ("kernel<=6.12 id:SG0*", "120 trials of 10 scenarios in 12 cells"),  # the host has no version but that of 6.18
        ("kernel:host profile:none id:SG01", "1 trials of 1 scenarios in 1 cells"),
        ("verdict:blocked,unsupported kernel:5.10 profile:no-ptrace", "465 trials of 465 scenarios in 1 cells"),
        ("verdict:!pass kernel:linux-5.10 profile:no-ptrace -verdict:blocked", "1 trials of 1 scenarios in 1 cells"),
        ("verdict:miss", "2820 trials of 470 scenarios in 6 cells"),
        ("not verdict:miss and (id:SG01 or id:SG02)", "48 trials of 2 scenarios in 24 cells"),
        ('"Operation not permitted" id:SG33', "4 trials of 1 scenarios in 4 cells"),
        ("reason:rseq profile:hardened", "16 trials of 16 scenarios in 1 cells"),
        ("family:pool scenario:number_4_", "30 trials of 1 scenarios in 30 cells"),
        ("clause:seed.W1 cell:host id:SG01", "1 trials of 1 scenarios in 1 cells"),
        ("differs:kernel id:SG31 profile:hardened", "5 trials of 1 scenarios in 5 cells"),
        ("is:different id:SG31 kernel:7.2", "5 trials of 1 scenarios in 5 cells"),
        ("is:different id:SG33 kernel:7.2", "no trial matches"),
        ("is:nothing is:expected", "no trial matches"),
        ("engine:docker id:SG01", "5 trials of 1 scenarios in 5 cells"),
    ],
)
def test_the_filter_finds(page: Any, query: str, answer: str) -> None:
    assert ask(page, query) == answer


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("kernal<6", "unknown field kernal; the fields are verdict, kernel, profile"),
        ("verdict:failed", "unknown verdict failed; the verdicts are pass, fail"),
        ("is:odd", "is:odd is not valid; the values are unexpected, different"),
        ("kernel<new", "kernel<new: expected a version, as in kernel<6.12"),
        ("verdict<fail", "verdict< is not valid: only kernels can be compared"),
        ("(id:SG01", "unmatched ("),
        ("id:SG01)", "unmatched )"),
        ('"id', 'unmatched ": "id'),
        ("id:SG01 or", "a term is missing at the end"),
        ("or id:SG01", "a term is missing before or"),
        ("profile:", "profile: needs a value: a profile's name, or none"),
    ],
)
def test_an_invalid_filter_is_reported_and_changes_nothing(page: Any, query: str, said: str) -> None:
    assert said in ask(page, query)
    assert len(names(page, 0)) == 5


def test_few_matches_are_unfolded_and_empty_columns_omitted(page: Any) -> None:
    ask(page, "id:SG01 profile:hardened not verdict:miss")
    assert names(page, 2) == ["SG01claim number 1 holds whatever else goes on"] * 4
    assert page.locator(".matrix thead th").all_inner_texts() == ["kernel", "hardened"]


def unexpected(page: Any) -> Any:
    """Open an unexpected trial, and return the panel."""
    ask(page, "is:unexpected verdict:fail,timeout,crash")
    page.locator("tr.level2 td.unexpected").first.click()
    return page.locator("#panel")


def test_a_trial_opens_with_all_its_texts(page: Any) -> None:
    panel = unexpected(page)
    text = panel.inner_text()
    for said in (
        "unexpected",
        "expected\npass",
        "assert 1 == 2",
        "worldswitch repro",
        "It holds, whatever else goes on.",
    ):
        assert said in text
    for said in (
        "All cells",
        "Transcript",
        "The last 40 ptrace events, after 912 others",
        "Processes when its assertion failed",
    ):
        assert said in text
    for said in (
        "PTRACE_SYSEMU",
        "rip=0x1000",
        "stub 11, child of 10",
        "t (tracing stop), traced by 10",
        "get_signal+0x2",
    ):
        assert said in text
    page.keyboard.press("Escape")
    assert panel.is_hidden()


def test_the_address_stores_the_open_trial(page: Any, browser: Any) -> None:
    panel = unexpected(page)
    again = browser.new_page()
    again.goto(page.url)
    again.wait_for_selector("html.scripted")
    assert again.locator("#panel h2").inner_text() == panel.locator("h2").inner_text()
    assert again.input_value("#query") == "is:unexpected verdict:fail,timeout,crash"
    again.close()


def test_a_whole_cell_opens_with_its_machine(page: Any) -> None:
    page.locator("tr.level0 td").first.click()
    text = page.inner_text("#panel")
    assert "Linux 6.18.5 #1 SMP" in text
    page.click("summary:has-text('Probes')")
    assert "it says 0" in page.inner_text("#panel")
    page.click("tr.level0:has-text('linux-7.3') td >> nth=0")
    assert "What to do: name a kernel by --kernel" in page.inner_text("#panel")


def test_the_keyboard_suffices(page: Any) -> None:
    page.keyboard.press("/")
    page.keyboard.type("id:SG1*")
    page.wait_for_function("() => location.hash.includes('SG1')")
    page.keyboard.press("Enter")
    keys = ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown", "ArrowRight", "Enter")  # unfold, unfold, open a trial
    for key in keys:
        page.keyboard.press(key)
    assert page.locator("#panel h2").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "TD"


def test_ordered_by_scenario_kernels_are_the_innermost_rows(page: Any) -> None:
    ask(page, "id:SG01 not profile:no-ptrace")
    page.check("[name=order][value=scenario]")
    assert names(page, 2) == ["host", "linux-5.10", "linux-6.12", "linux-7.2", "linux-7.3"]


def test_it_prints_all_unfolded_rows(page: Any, tmp_path: Path) -> None:
    folded = page.pdf(path=tmp_path / "a.pdf", prefer_css_page_size=True)
    ask(page, "kernel:6.12 profile:hardened family:pool")
    page.click("#unfold")
    page.click("#unfold")
    unfolded = page.pdf(path=tmp_path / "b.pdf", prefer_css_page_size=True)
    pages = [one.count(b"/Type /Page\n") for one in (folded, unfolded)]
    assert 1 <= pages[0] < 6
    assert pages[1] > 1


def test_a_whole_matrix_is_quick(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "matrix.html"
    path.write_text(matrix.page(big_run.run(), lambda *_: ""))
    assert path.stat().st_size < 4_000_000
    opened = browser.new_page()
    opened.goto(path.as_uri())
    opened.wait_for_selector("html.scripted")
    took = "() => { const t = performance.now(); %s; return performance.now() - t }"
    click = "document.getElementById('unfold').click()"
    seconds = [opened.evaluate(took % click) / 1000 for _ in range(2)]
    assert max(seconds) < 2
    assert opened.locator("#grid tr").count() < 150
    opened.close()


def test_a_run_without_cells_opens_without_errors(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "matrix.html"
    path.write_text(matrix.page(big_run.kept_run(), lambda *_: ""))
    opened = browser.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(path.as_uri())
    opened.wait_for_selector("html.scripted")
    opened.click("#unfold")
    for key in ("/", "Enter", "ArrowDown"):
        opened.keyboard.press(key)
    assert wrong == []
    opened.close()


# ------------------------------------------------------------------------------------------------------ for all readers


def test_profiles_that_deny_tracing_altogether_are_not_compared(page: Any) -> None:
    assert 0 < int(ask(page, "differs:profile").split()[0]) < 500
    assert ask(page, "differs:profile profile:no-ptrace") == "no trial matches"


def test_a_wholly_blocked_cell_shows_its_reason_once(page: Any) -> None:
    column = page.locator(".matrix thead th").all_inner_texts().index("no-ptrace")
    page.locator(f"tr.level0:has-text('linux-6.12') td >> nth={column - 1}").click()
    panel = page.locator("#panel")
    assert panel.locator("summary.reason").count() <= 3
    assert "needs ptrace: Operation not permitted (the profile denies ptrace)" in panel.inner_text()
    assert not panel.locator("a:has-text('claim number 100')").first.is_visible()
    panel.locator("summary.reason").first.click()
    assert panel.locator("a:has-text('claim number 100')").first.is_visible()


@pytest.fixture(params=["whole", "one cell"])
def opened(request: pytest.FixtureRequest, browser: Any, file: Path, tmp_path: Path) -> Iterator[Any]:
    """A page of many cells, and one of a single cell, on a narrow screen."""
    path = file
    if request.param == "one cell":
        path = tmp_path / "matrix.html"
        path.write_text(matrix.page(big_run.run(kernels=(), profiles=("",)), lambda *_: "worldswitch repro x"))
    shown = browser.new_page(viewport={"width": 380, "height": 800})
    shown.goto(path.as_uri())
    shown.wait_for_selector("html.scripted")
    yield shown
    shown.close()


WIDTH = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"


def test_nothing_overflows_a_narrow_screen(opened: Any) -> None:
    for query in ("is:unexpected", "kernel:host", "verdict:blocked,unsupported"):
        ask(opened, query)
        wide, there = opened.evaluate(WIDTH)
        assert wide <= there
    opened.click("button:text-is('all')")
    opened.locator("tr.level0 td:not(.none)").first.click()
    assert opened.locator("#panel").is_visible()
    wide, there = opened.evaluate(WIDTH)
    assert wide <= there
    assert opened.evaluate("(it => it.scrollWidth <= it.clientWidth)(document.getElementById('panel'))")


#: What an audit of accessibility looks for, as far as it can be seen in the document; returns what is wrong.
AUDIT = """() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  if (all("main").length !== 1) wrong.push("one main");
  if (all("h1").length !== 1 || !all("h1")[0].textContent.trim()) wrong.push("one heading");
  for (const one of all("th")) if (!one.textContent.trim() || !one.hasAttribute("scope")) wrong.push(one.outerHTML);
  for (const one of document.body.children)
    if (!one.matches("main, aside, script") && one.textContent.trim()) wrong.push(`outside: ${one.tagName}`);
  for (const one of all("input, button, a"))
    if (!(one.textContent.trim() || one.getAttribute("aria-label") || one.closest("label"))) wrong.push(one.outerHTML);
  const ids = all("[id]").map((one) => one.id);
  if (new Set(ids).size !== ids.length) wrong.push("ids");
  const levels = all("h1, h2, h3").map((one) => Number(one.tagName[1]));
  levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) wrong.push(`heading ${at}`); });
  if (!document.title || !document.documentElement.lang) wrong.push("title and language");
  return wrong;
}"""

#: The texts whose contrast with their background is below 4.5.
CONTRAST = """() => {
  const channel = (value) => (value /= 255) <= .03928 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const back = (it) => { for (; it; it = it.parentElement) {
    const found = colour(getComputedStyle(it).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found; }
    return [255, 255, 255]; };
  const wrong = [];
  for (const it of document.querySelectorAll("main *, aside *")) {
    const own = [...it.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!own || !it.checkVisibility()) continue;
    const [a, b] = [luminance(colour(getComputedStyle(it).color)), luminance(back(it))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) wrong.push(`${it.tagName}.${it.className} ${it.textContent.slice(0, 30)}`);
  }
  return [...new Set(wrong)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_audit_finds_nothing(opened: Any, scheme: str) -> None:
    opened.emulate_media(color_scheme=scheme)
    assert opened.evaluate(AUDIT) == []
    assert opened.evaluate(CONTRAST) == []
    opened.locator("tr.level0 td:not(.none)").first.click()
    assert opened.evaluate(AUDIT) == []
    assert opened.evaluate(CONTRAST) == []


def test_the_policy_of_the_page_allows_no_other_script_or_style(browser: Any, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "matrix.html"
    path.write_text(file.read_text().replace("</main>", "<script>document.title = 'other'</script></main>"))
    shown = browser.new_page()
    shown.goto(path.as_uri())
    shown.wait_for_selector("html.scripted")
    assert shown.title().startswith("worldswitch: reference · ")
    shown.close()
