"""What an exception says about a trial, by whose code it came from.

The innermost frame that belongs to the scenarios or to the platform decides:

    the platform's, or a `PlatformError`              `fail`: the platform raised what the scenario did not expect
    the scenarios', an assertion                      `fail` by the scenario's own assertion
    `pytest.skip` in the scenarios' stage             `unsupported`: the platform lacks an optional part
    anything else                                     `error`: the scenario's or the harness's own fault
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from worldswitch.harness.cell.trial import Result
from worldswitch.harness.contract import PlatformError
from worldswitch.harness.verdict import Verdict

_NOBODYS = ("builtins", "typing", "abc", "worldswitch.harness.contract")


@dataclass(slots=True)
class Owners:
    """Whose code a module is."""

    scenarios: str  #: the package of the scenarios
    platform: set[str] = field(default_factory=set)  #: the packages of the platforms used

    def learn(self, platform: object) -> None:
        """Count the modules of `platform`'s class, and of those it inherits from, as the platform's."""
        for cls in type(platform).__mro__:
            self.learn_module(cls.__module__)

    def learn_module(self, module: str) -> None:
        """Count `module` and its siblings as the platform's."""
        if module not in _NOBODYS:
            self.platform.add(module.rpartition(".")[0] or module)

    def of(self, module: str) -> str:
        """``scenarios``, ``platform`` or nothing."""
        if _within(module, self.scenarios):
            return "scenarios"
        return "platform" if any(_within(module, package) for package in self.platform) else ""

    def innermost(self, modules: Sequence[str]) -> str:
        """Who owns the last of `modules` that anybody owns."""
        return next(filter(None, map(self.of, reversed(modules))), "")


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@dataclass(frozen=True, slots=True)
class Phase:
    """What ended one of a trial's phases (``setup``, ``call``, ``teardown``) early."""

    name: str
    exception: BaseException
    text: str  #: pytest's account of it


def judge(phases: Iterable[Phase], owners: Owners) -> Result:
    """The result of a trial whose `phases` went wrong, in their order; the first that is more than a skip counts."""
    results = [_judge(phase, owners) for phase in phases]
    failed = [result for result in results if result.verdict is not Verdict.UNSUPPORTED]
    return (failed or results or [Result(verdict=Verdict.PASS)])[0]


def _judge(phase: Phase, owners: Owners) -> Result:
    exception = phase.exception
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(exception.__traceback__)]
    owner = owners.innermost(modules)
    # Only a syntax error is told in several lines; those before its name show the source, and are indented.
    said = next(line for line in traceback.format_exception_only(exception) if not line.startswith(" "))
    if owner != "platform" and isinstance(exception, pytest.skip.Exception):
        return _skipped(exception, modules, owners)
    if owner == "scenarios" and isinstance(exception, AssertionError | pytest.fail.Exception):
        return Result(verdict=Verdict.FAIL, reason=_first_line(said), assertion=True, detail=phase.text)
    if owner == "platform" or isinstance(exception, PlatformError):
        return Result(verdict=Verdict.FAIL, reason=f"the platform raised {_first_line(said)}", detail=phase.text)
    return Result(verdict=Verdict.ERROR, reason=f"{phase.name}: {_first_line(said)}", detail=phase.text)


def _skipped(exception: BaseException, modules: Sequence[str], owners: Owners) -> Result:
    who = next((module for module in reversed(modules) if not _within(module, "_pytest")), "")
    if _within(who, f"{owners.scenarios}.stage"):
        return Result(verdict=Verdict.UNSUPPORTED, reason=str(exception))
    return Result(verdict=Verdict.ERROR, reason=f"{who} skipped ({exception}); a scenario says what it needs instead")


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
