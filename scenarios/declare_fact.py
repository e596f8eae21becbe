"""How a fact about the kernel is declared: an experiment that says what it saw, and what is known to be seen where.

    @fact("KS1", clauses="kernel.S1", needs="sysemu", known={"rax -38": "since 2.6.14"})
    def a_sysemu_stop_shows_minus_enosys() -> str:
        \"\"\"At a stop of PTRACE_SYSEMU, rax is -ENOSYS.\"\"\"

The experiment uses no platform and answers with a short observation, the same each time on the same kernel.  As a
scenario, it holds that this kernel is one of those that are known: a kernel that changes a fact is seen at once.  As a
part of the machine's fingerprint (`worldswitch.harness.fingerprint`), it tells which of them this one is.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from worldswitch.scenarios.declare import scenario

Experiment = Callable[[], str]


def fact(
    *ids: str, clauses: str | Sequence[str], known: Mapping[str, str], needs: str = ""
) -> Callable[[Experiment], Any]:
    """Declare a fact.

    `known` has each observation that was ever made, or read out of a kernel's source, and since when or where it is
    so.  It must be the same each time.  The rest is as with `worldswitch.scenarios.declare.scenario`.
    """

    def declare(experiment: Experiment) -> Any:
        observe = _unbroken(experiment)

        def holds(trial: Repeating) -> None:
            observations = {observe() for _ in range(trial.repeat)}
            assert len(observations) == 1, f"this kernel does not say the same each time: {sorted(observations)}"
            (observation,) = observations
            assert observation in known, _surprise(observation, known)

        functools.update_wrapper(holds, experiment)
        del holds.__wrapped__  # type: ignore[attr-defined]  # pytest would look there for the fixtures
        holds.observe = observe  # type: ignore[attr-defined]
        return scenario(*ids, clauses=clauses, needs=needs, soak=20, deadline=60.0, subject="kernel")(holds)

    return declare


class Repeating(Protocol):
    """What is wanted of the fixture ``trial``."""

    @property
    def repeat(self) -> int:
        """How often to repeat what the scenario repeats."""


def _unbroken(experiment: Experiment) -> Experiment:
    """An experiment that the kernel breaks off has shown something, too."""

    @functools.wraps(experiment)
    def observe() -> str:
        try:
            return experiment()
        except (OSError, AssertionError) as broken:
            traceback.print_exc()  # to a trial's output, for people
            said = broken.strerror if isinstance(broken, OSError) else str(broken)
            return f"broke off: {said or broken}"

    return observe


def _surprise(observation: str, known: Mapping[str, str]) -> str:
    lines = (f"  {seen!r}: {where}" for seen, where in known.items())
    return "\n".join([f"this kernel says {observation!r}, and known are:", *lines])
