"""Operations that a platform must refuse with one certain error: another error fails, and so does success."""

from __future__ import annotations

from collections.abc import Callable

from worldswitch.harness.contract import PlatformError, Unavailable
from worldswitch.scenarios.stage.stage import Stage


def refused(operation: Callable[[], object], error: type[PlatformError]) -> str:
    """The message of `error`, which `operation` must raise."""
    try:
        outcome = operation()
    except error as refusal:
        return str(refusal)
    except PlatformError as other:
        raise AssertionError(f"refused with {type(other).__name__}, not {error.__name__}: {other}") from other
    raise AssertionError(f"{_name(operation)} was not refused: {outcome!r}")


def _name(operation: Callable[[], object]) -> str:
    """The name of a function, a method or a partial application of one."""
    function = getattr(operation, "func", operation)
    return getattr(function, "__qualname__", repr(function))


def why_unavailable(stage: Stage) -> str:
    """The message of the `Unavailable` that constructing the platform must raise; it must name a remedy."""
    refusal = _unavailable(stage)
    assert refusal.remedy, f"the error names no remedy: {refusal}"
    return str(refusal)


def _unavailable(stage: Stage) -> Unavailable:
    try:
        platform = stage.trial.platform()
    except Unavailable as refusal:
        return refusal
    except Exception as error:
        raise AssertionError(f"expected Unavailable, got {type(error).__name__}: {error}") from error
    platform.close()
    raise AssertionError("the platform started where it cannot work")
