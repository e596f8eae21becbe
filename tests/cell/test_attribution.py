"""The verdict on an exception depends on the owner of the code that raised it, and on nothing else."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from typing import Any

import pytest

from worldswitch.harness.cell.attribution import Owners, Phase, judge
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.contract import Cause, Death, StubDied
from worldswitch.harness.verdict import Verdict, in_time

SCENARIOS, PLATFORM, OTHER = "claims", "mine.platform", "somebody"


def function(module: str, body: str, **names: Any) -> Callable[[], None]:
    """A function that belongs to `module`."""
    space: dict[str, Any] = {"__name__": module, "pytest": pytest, **names}
    exec(f"def go():\n    {body}\n", space)
    made = space["go"]
    assert isinstance(made, types.FunctionType)
    return made


def raised(call: Callable[[], object]) -> BaseException:
    """The exception of a call, with its traceback."""
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def through(*modules: str, body: str) -> BaseException:
    """The exception that `body` raises in the last module, called from the one before, and so on."""
    inner = function(modules[-1], body, StubDied=StubDied, Cause=Cause, Death=Death)
    for module in reversed(modules[:-1]):
        inner = function(module, "inner()", inner=inner)
    return raised(inner)


def owners() -> Owners:
    made = Owners(SCENARIOS)
    made.learn_module(f"{PLATFORM}.context")
    return made


def verdict(error: BaseException, name: str = "call") -> Result:
    return judge([Phase(name, error, "pytest's report")], owners())


FAILS = "raise AssertionError('1 is not 2')"
DIES = "raise StubDied(Cause(Death.BROKEN))"

#: The modules on the stack, the body of the last, the verdict, whether by an assertion, and the reason.
TABLE = (
    ((f"{SCENARIOS}.basics",), FAILS, Verdict.FAIL, True, "AssertionError: 1 is not 2"),
    ((f"{SCENARIOS}.basics", f"{SCENARIOS}.tools"), FAILS, Verdict.FAIL, True, "AssertionError: 1 is not 2"),
    ((f"{SCENARIOS}.basics", OTHER), FAILS, Verdict.FAIL, True, "AssertionError: 1 is not 2"),
    ((f"{SCENARIOS}.basics",), "pytest.fail('DID NOT RAISE')", Verdict.FAIL, True, "Failed: DID NOT RAISE"),
    ((f"{SCENARIOS}.basics",), "raise KeyError(7)", Verdict.ERROR, False, "call: KeyError: 7"),
    ((f"{SCENARIOS}.basics",), DIES, Verdict.FAIL, False, "the platform raised .*StubDied"),
    ((f"{SCENARIOS}.basics", PLATFORM), FAILS, Verdict.FAIL, False, "the platform raised AssertionError: 1 is not 2"),
    (
        (f"{SCENARIOS}.basics", f"{PLATFORM}.sub"),
        "raise KeyError(7)",
        Verdict.FAIL,
        False,
        "the platform raised KeyError",
    ),
    (
        (f"{SCENARIOS}.basics", PLATFORM, OTHER),
        "raise KeyError(7)",
        Verdict.FAIL,
        False,
        "the platform raised KeyError",
    ),
    ((f"{SCENARIOS}.basics", PLATFORM, f"{SCENARIOS}.basics"), FAILS, Verdict.FAIL, True, "AssertionError"),
    ((f"{SCENARIOS}.basics", "mine.platforms"), "raise KeyError(7)", Verdict.ERROR, False, "call: KeyError: 7"),
    ((f"{SCENARIOS}like",), FAILS, Verdict.ERROR, False, "call: AssertionError"),
    ((OTHER,), DIES, Verdict.FAIL, False, "the platform raised .*StubDied"),
    ((OTHER,), FAILS, Verdict.ERROR, False, "call: AssertionError"),
    ((f"{SCENARIOS}.stage",), "pytest.skip('no such part')", Verdict.UNSUPPORTED, False, "^no such part$"),
    ((f"{SCENARIOS}.basics", f"{SCENARIOS}.stage"), "pytest.skip('none')", Verdict.UNSUPPORTED, False, "^none$"),
    ((f"{SCENARIOS}.basics",), "pytest.skip('lazy')", Verdict.ERROR, False, r"claims\.basics skipped \(lazy\)"),
    ((f"{SCENARIOS}.basics", PLATFORM), "pytest.skip('lazy')", Verdict.FAIL, False, "the platform raised Skipped"),
    ((OTHER,), "pytest.skip('lazy')", Verdict.ERROR, False, r"somebody skipped \(lazy\)"),
    ((f"{SCENARIOS}.basics",), "raise AssertionError('one\\ntwo')", Verdict.FAIL, True, "^AssertionError: one$"),
)


@pytest.mark.parametrize(("modules", "body", "expected", "assertion", "reason"), TABLE)
def test_the_owner_of_the_frame_decides(
    modules: tuple[str, ...], body: str, expected: Verdict, assertion: bool, reason: str
) -> None:
    result = verdict(through(*modules, body=body))
    assert (result.verdict, result.assertion) == (expected, assertion), result
    assert re.search(reason, result.reason), result.reason
    if expected not in (Verdict.UNSUPPORTED,) and "skipped" not in result.reason:
        assert result.detail == "pytest's report"


def test_no_exception_is_a_pass() -> None:
    assert judge([], owners()) == Result(verdict=Verdict.PASS)


def test_the_first_phase_that_failed_decides() -> None:
    skip = Phase("setup", through(f"{SCENARIOS}.stage", body="pytest.skip('none')"), "")
    first = Phase("call", through(f"{SCENARIOS}.basics", body=FAILS), "")
    last = Phase("teardown", through(PLATFORM, body="raise OSError(5)"), "")
    assert judge([skip], owners()).verdict is Verdict.UNSUPPORTED
    assert judge([skip, first, last], owners()).reason == "AssertionError: 1 is not 2"
    assert judge([skip, last], owners()).reason.startswith("the platform raised OSError")


def test_the_reason_of_an_error_names_the_phase() -> None:
    error = through(OTHER, body="raise ValueError('x')")
    assert verdict(error, "setup").reason == "setup: ValueError: x"


def test_a_syntax_error_gives_its_message() -> None:
    error = through(OTHER, body="exec('a b')")
    assert verdict(error).reason == "call: SyntaxError: invalid syntax"


LAZY = "skipped (lazy); scenarios declare needs instead"


def test_code_without_a_module_has_no_owner() -> None:
    nameless: dict[str, Any] = {"pytest": pytest}
    exec("def fail():\n    raise AssertionError('1 is not 2')\ndef skip():\n    pytest.skip('lazy')\n", nameless)
    assert verdict(raised(nameless["fail"])).reason == "call: AssertionError: 1 is not 2"
    assert verdict(raised(nameless["skip"])) == Result(verdict=Verdict.ERROR, reason=f" {LAZY}")


def test_a_skip_without_a_traceback_is_an_error() -> None:
    assert verdict(pytest.skip.Exception("lazy")) == Result(verdict=Verdict.ERROR, reason=f" {LAZY}")


def test_an_assertion_inside_pytest_belongs_to_its_caller() -> None:
    """`pytest.raises` fails inside pytest, but its scenario is the owner."""
    error = raised(function(f"{SCENARIOS}.basics", "pytest.raises(KeyError).__exit__(None, None, None)"))
    result = verdict(error)
    assert (result.verdict, result.assertion) == (Verdict.FAIL, True)


def test_a_module_without_a_package_has_no_siblings() -> None:
    made = Owners(SCENARIOS)
    made.learn_module("fakes")
    assert (made.of("fakes"), made.of("fakes.sub"), made.of("fakesome")) == ("platform", "platform", "")


def test_the_modules_of_a_package_are_siblings() -> None:
    made = Owners(SCENARIOS)
    made.learn_module("mine.platform")
    assert (made.of("mine"), made.of("mine.tracee"), made.of("other")) == ("platform", "platform", "")


def test_shared_modules_have_no_owner() -> None:
    made = Owners(SCENARIOS)
    for module in ("builtins", "typing", "abc", "worldswitch.harness.contract"):
        made.learn_module(module)
    assert made.platform == set()


def test_the_modules_of_base_classes_are_the_platforms() -> None:
    base = type("Base", (), {"__module__": "lib.base"})
    derived = type("Derived", (base,), {"__module__": "mine.derived"})
    made = Owners(SCENARIOS)
    made.learn(derived())
    assert made.platform == {"lib", "mine"}


def test_the_scenarios_have_precedence() -> None:
    made = Owners(SCENARIOS)
    made.learn_module(f"{SCENARIOS}.platform")
    assert made.of(f"{SCENARIOS}.basics") == "scenarios"


def test_the_innermost_owned_module_counts() -> None:
    made = owners()
    assert made.innermost([SCENARIOS, PLATFORM, OTHER]) == "platform"
    assert made.innermost([PLATFORM, SCENARIOS]) == "scenarios"
    assert made.innermost([OTHER]) == ""
    assert made.innermost([]) == ""


def test_a_bound_of_time_is_told_from_other_assertions() -> None:
    waits = function(SCENARIOS, "in_time(False, 'not within 2 s: it ends\\nor not')", in_time=in_time)
    result = verdict(raised(waits))
    assert (result.verdict, result.assertion, result.out_of_time) == (Verdict.FAIL, True, True)
    assert result.reason == "OutOfTime: not within 2 s: it ends"
    assert not verdict(through(SCENARIOS, body=FAILS)).out_of_time


def test_what_happened_in_time_raises_nothing() -> None:
    in_time([1], "it ends")
