"""How Sphinx builds the documentation: `nox -s docs`."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Protocol

from sphinx.application import Sphinx

from worldswitch.harness.cli.main import main
from worldswitch.harness.report.site import mutants, scenarios

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/system"))
from bite import page as bite

project = "worldswitch"
author = "the worldswitch authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "README.md"]
html_theme = "furo"
html_title = "worldswitch"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
highlight_language = "text"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The docstrings put names in single backquotes: they become links where the name is documented, and code elsewhere.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", "collections\\.abc\\..*")]  # the library's, in no index here
autodoc_member_order = "bysource"
add_module_names = False
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

linkcheck_timeout = 20

os.environ["COLUMNS"] = "88"  # the width of the commands' help
GENERATED = Path(__file__).parent / "generated"


def commands() -> Iterator[str]:
    """Each command with its help."""
    yield from ("# Commands", "")
    for name in ("", *re.findall(r"^    ([a-z-]+)(?: |$)", _help(), re.MULTILINE)):
        yield from (f"## worldswitch {name}".rstrip(), "", "```text", _help(name).rstrip(), "```", "")


def _help(*command: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*filter(None, command), "--help"])
    return printed.getvalue()


def generate(app: Sphinx) -> None:
    """Write the pages that are drawn from the code, before Sphinx looks for pages."""
    _write("scenarios", scenarios.lines())
    _write("mutants", mutants.lines())
    _write("bite", bite.lines())
    _write("commands", commands())


def _write(name: str, lines: Iterable[str]) -> None:
    page, text = GENERATED / f"{name}.md", "\n".join([*lines, ""])
    if not page.exists() or page.read_text(encoding="utf-8") != text:  # else Sphinx would read it anew each time
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, encoding="utf-8")


def without_constructor(app: Sphinx, what: str, name: str, found: object, *rest: object) -> tuple[str, str] | None:
    """Protocols and enumerations are not called: leave out the signature that Python gives them."""
    is_bare = what == "class" and isinstance(found, type) and (issubclass(found, Enum) or Protocol in found.__bases__)
    return ("", "") if is_bare else None


def setup(app: Sphinx) -> None:
    """Register both."""
    app.connect("builder-inited", generate)
    app.connect("autodoc-process-signature", without_constructor)
