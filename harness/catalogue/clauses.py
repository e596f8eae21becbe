"""What a scenario may stand on: the clauses that `clauses.toml` beside the scenarios lists, and a few forms.

A clause of these forms says itself where it is found:

    gvisor d844c7bbb             a commit, of gVisor, Linux or another project
    gvisor#1333                  an issue
    prctl(2) PR_SET_PDEATHSIG    a page of the manual, with an entry or a "section"
    contract WrongThread         a word of `worldswitch.harness.contract`
    test TestBounce              a test of another project's, by its name
    CONFIG_SECCOMP               an option of kernels
    Intel SDM 1, 13.8.1          the processor's manual, by its section or an instruction
    linux kernel/ptrace.c        a file of the kernel's

Of ptrace(2), the page that all this is about, the sections and entries are listed too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from worldswitch.harness.catalogue import reason_lists
from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.scenarios import Scenario

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
    """The clauses that are listed, and what each says."""
    return reason_lists.load(catalogue.SCENARIOS, FILE)


def is_citable(clause: str, known: Mapping[str, str]) -> bool:
    """Whether a scenario may stand on `clause`."""
    return clause in known or any(form.fullmatch(clause) for form in _FORMS)


def uncited(scenarios: Iterable[Scenario]) -> dict[str, str]:
    """The listed clauses that no scenario stands on."""
    cited = {clause for scenario in scenarios for clause in scenario.clauses}
    return {clause: text for clause, text in listed().items() if clause not in cited}
