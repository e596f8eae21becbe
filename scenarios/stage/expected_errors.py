"""What a platform must refuse, and with which error: nothing else will do, neither another error nor none."""

from __future__ import annotations

from collections.abc import Callable

from worldswitch.harness.contract import PlatformError, Unavailable
from worldswitch.scenarios.stage.stage import Stage


def refused(operation: Callable[[], object], error: type[PlatformError]) -> str:
    """What `error` says, which `operation` must raise."""
    try:
        outcome = operation()
    except error as refusal:
        return str(refusal)
    except PlatformError as other:
        raise AssertionError(f"refused with {type(other).__name__}, not {error.__name__}: {other}") from other
    raise AssertionError(f"{_name(operation)} was not refused: {outcome!r}")


def _name(operation: Callable[[], object]) -> str:
    """What people know a function, a method or a partial application of one by."""
    function = getattr(operation, "func", operation)
    return getattr(function, "__qualname__", repr(function))


def why_unavailable(stage: Stage) -> str:
    """What the platform says when it is constructed where it cannot start; it must say what to do, too."""
    refusal = _unavailable(stage)
    assert refusal.remedy, f"no remedy is named: {refusal}"
    return str(refusal)


def _unavailable(stage: Stage) -> Unavailable:
    try:
        platform = stage.trial.platform()
    except Unavailable as refusal:
        return refusal
    except Exception as error:
        raise AssertionError(f"not Unavailable but {type(error).__name__}: {error}") from error
    platform.close()
    raise AssertionError("the platform started where it cannot work")
