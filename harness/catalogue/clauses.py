"""The clauses that a scenario may cite: those listed in the scenarios' `clauses.toml`, and a few forms.

A clause of these forms names its source and needs no listing:

    gvisor d844c7bbb             a commit, of gVisor, Linux or another project
    gvisor#1333                  an issue
    prctl(2) PR_SET_PDEATHSIG    a manual page, with an entry or a "section"
    contract WrongThread         a name in `worldswitch.harness.contract`
    test TestBounce              a test of another project, by name
    CONFIG_SECCOMP               a kernel configuration option
    Intel SDM 1, 13.8.1          the processor's manual, by section or instruction
    linux kernel/ptrace.c        a file of the kernel

Citations of ptrace(2), the main subject, must be listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from worldswitch.harness.catalogue import reason_lists
from worldswitch.harness.catalogue.scenarios import SCENARIOS, Scenario

FILE = "clauses.toml"

_FORMS = tuple(
    map(
        re.compile,
        (
            r"[a-z]+ [0-9a-f]{9,12}",
            r"[A-Za-z]+#[0-9]+",
            r'(?!ptrace\(2\))[a-z_]+\([1-8]\)( [A-Z_0-9]+| "[^"]+")?',
            r"contract [A-Z]\w+(\.\w+)?",
            r"test \w[\w-]+",
            r"CONFIG_[A-Z_0-9]+",
            r"Intel SDM (\d, [\d.]+|[A-Z]+)",
            r"linux [\w/.-]+\.(c|h|rst)",
        ),
    )
)


def listed() -> dict[str, str]:
    """Return the listed clauses and the text of each."""
    return reason_lists.load(SCENARIOS, FILE)


def is_citable(clause: str, known: Mapping[str, str]) -> bool:
    """True if a scenario may cite `clause`."""
    return clause in known or any(form.fullmatch(clause) for form in _FORMS)


def uncited(scenarios: Iterable[Scenario]) -> dict[str, str]:
    """Return the listed clauses that no scenario cites."""
    cited = {clause for scenario in scenarios for clause in scenario.clauses}
    return {clause: text for clause, text in listed().items() if clause not in cited}
