"""The diffs of mutmut are parsed, and each listed survivor still applies to the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutation.__main__ import Change, change_of, explained
from paths import ROOT

SHOWN = """\
# worldswitch.harness.run.cell_account.xǁCellAccountǁ_judge__mutmut_3: survived
--- worldswitch/harness/run/cell_account.py
+++ worldswitch/harness/run/cell_account.py
@@ -1,4 +1,4 @@
 def _judge(self, trial):
-    return Judged(
-        trial,
-    )
+    return Judged(
+        None,
+    )
     # not reached
"""


@pytest.mark.parametrize(
    ("name", "function"),
    [
        (
            "worldswitch.harness.run.cell_account.xǁCellAccountǁ_judge__mutmut_3",
            "harness.run.cell_account.CellAccount._judge",
        ),
        (
            "worldswitch.harness.run.cell_account.xǁCellAccountǁ__init____mutmut_10",
            "harness.run.cell_account.CellAccount.__init__",
        ),
        ("worldswitch.harness.run.mutants.proof.x__stand__mutmut_12", "harness.run.mutants.proof._stand"),
        ("worldswitch.harness.run.mutants.proof.x_examine__mutmut_1", "harness.run.mutants.proof.examine"),
    ],
)
def test_a_diff_is_parsed_to_function_and_lines(name: str, function: str) -> None:
    assert change_of(name, SHOWN) == Change(function, "return Judged( trial, )", "return Judged( None, )")


def test_a_deleted_line_has_no_line_after() -> None:
    assert change_of("a.b.x_f__mutmut_1", "--- a\n+++ a\n-    go()\n") == Change("a.b.f", "go()", "")


@pytest.mark.parametrize("change", explained(), ids=lambda change: change.function)
def test_each_survivor_applies_to_the_code(change: Change) -> None:
    words = change.function.split(".")  # packages, then a module, then a class or function
    files = [(ROOT / Path(*words[:count])).with_suffix(".py") for count in range(2, len(words))]
    sources = [" ".join(file.read_text().split()) for file in files if file.exists()]
    assert any(" ".join(change.before.split()) in source for source in sources)


def test_each_survivor_has_a_reason() -> None:
    assert all(explained().values())
