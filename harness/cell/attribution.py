"""The verdict on a trial that raised, by the code that the exception came from.

The innermost frame that belongs to the scenarios or the platform decides:

    the platform's, or a `PlatformError`      `fail`: the platform raised an exception that the scenario did not expect
    the scenarios', an assertion              `fail` by the scenario's own assertion
    `pytest.skip` in the scenarios' stage     `unsupported`: the platform lacks an optional part
    anything else                             `error`: a fault of the scenario or the harness
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from worldswitch.harness.cell.trial import Result
from worldswitch.harness.contract import PlatformError
from worldswitch.harness.verdict import OutOfTime, Verdict

_SHARED = ("builtins", "typing", "abc", "worldswitch.harness.contract")


@dataclass(slots=True)
class Owners:
    """The owner of each module: the scenarios, the platform or neither."""

    scenarios: str  #: the scenarios' package
    platform: set[str] = field(default_factory=set)  #: the packages of the platforms in use

    def learn(self, platform: object) -> None:
        """Add the modules of `platform`'s class and its base classes to the platform's."""
        for cls in type(platform).__mro__:
            self.learn_module(cls.__module__)

    def learn_module(self, module: str) -> None:
        """Add `module` and its siblings to the platform's."""
        if module not in _SHARED:
            self.platform.add(module.rpartition(".")[0] or module)

    def of(self, module: str) -> str:
        """Return the owner of a module: ``scenarios``, ``platform`` or the empty string."""
        if _within(module, self.scenarios):
            return "scenarios"
        return "platform" if any(_within(module, package) for package in self.platform) else ""

    def innermost(self, modules: Sequence[str]) -> str:
        """Return the owner of the last of `modules` that has one; the empty string if none has."""
        return next(filter(None, map(self.of, reversed(modules))), "")


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@dataclass(frozen=True, slots=True)
class Phase:
    """The exception that ended a phase of a trial: ``setup``, ``call`` or ``teardown``."""

    name: str
    exception: BaseException
    text: str  #: pytest's report of it


def judge(phases: Iterable[Phase], owners: Owners) -> Result:
    """Return the result of a trial whose `phases` failed, in order; the first that is not a skip counts."""
    results = [_judge(phase, owners) for phase in phases]
    failed = [result for result in results if result.verdict is not Verdict.UNSUPPORTED]
    return (failed or results or [Result(verdict=Verdict.PASS)])[0]


def _judge(phase: Phase, owners: Owners) -> Result:
    exception = phase.exception
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(exception.__traceback__)]
    owner = owners.innermost(modules)
    # Only a syntax error has several lines; the indented ones before its name show the source.
    message = next(line for line in traceback.format_exception_only(exception) if not line.startswith(" "))
    if owner != "platform" and isinstance(exception, pytest.skip.Exception):
        return _skipped(exception, modules, owners)
    if owner == "scenarios" and isinstance(exception, AssertionError | pytest.fail.Exception):
        late = isinstance(exception, OutOfTime)
        reason = f"OutOfTime: {_first_line(str(exception))}" if late else _first_line(message)
        return Result(verdict=Verdict.FAIL, reason=reason, assertion=True, out_of_time=late, detail=phase.text)
    if owner == "platform" or isinstance(exception, PlatformError):
        return Result(verdict=Verdict.FAIL, reason=f"the platform raised {_first_line(message)}", detail=phase.text)
    return Result(verdict=Verdict.ERROR, reason=f"{phase.name}: {_first_line(message)}", detail=phase.text)


def _skipped(exception: BaseException, modules: Sequence[str], owners: Owners) -> Result:
    caller = next((module for module in reversed(modules) if not _within(module, "_pytest")), "")
    if _within(caller, f"{owners.scenarios}.stage"):
        return Result(verdict=Verdict.UNSUPPORTED, reason=str(exception))
    return Result(verdict=Verdict.ERROR, reason=f"{caller} skipped ({exception}); scenarios declare needs instead")


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
