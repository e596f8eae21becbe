"""The decorator that declares a fact about the kernel: an experiment, and the observations known for it.

    @fact("KS1", clauses="kernel.S1", needs="sysemu", known={"rax -38": "since 2.6.14"})
    def a_sysemu_stop_shows_minus_enosys() -> str:
        \"\"\"At a stop of PTRACE_SYSEMU, rax is -ENOSYS.\"\"\"

The experiment uses no platform and returns a short observation, the same each time on the same kernel.  As a scenario
it fails on a kernel whose observation is not known.  In the machine's fingerprint
(`worldswitch.harness.cell.probes.fingerprint`) it records which of the known observations this kernel gives.
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

    `known` maps each observation, made or read in a kernel's source, to where or since when it holds.  The other
    arguments are those of `worldswitch.scenarios.declare.scenario`.
    """

    def declare(experiment: Experiment) -> Any:
        observe = _unbroken(experiment)

        def holds(trial: Repeating) -> None:
            observations = {observe() for _ in range(trial.repeat)}
            assert len(observations) == 1, f"the observations differ between repetitions: {sorted(observations)}"
            (observation,) = observations
            assert observation in known, _surprise(observation, known)

        functools.update_wrapper(holds, experiment)
        del holds.__wrapped__  # type: ignore[attr-defined]  # pytest would look there for fixtures
        holds.observe = observe  # type: ignore[attr-defined]
        return scenario(*ids, clauses=clauses, needs=needs, soak=20, deadline=60.0, subject="kernel")(holds)

    return declare


class Repeating(Protocol):
    """The part of the fixture ``trial`` that a fact uses."""

    @property
    def repeat(self) -> int:
        """The number of repetitions."""


def _unbroken(experiment: Experiment) -> Experiment:
    """Turn an experiment that raises into one that returns ``broke off: ...``, which is an observation too."""

    @functools.wraps(experiment)
    def observe() -> str:
        try:
            return experiment()
        except (OSError, AssertionError) as broken:
            traceback.print_exc()  # shown in the trial's output
            said = broken.strerror if isinstance(broken, OSError) else str(broken)
            return f"broke off: {said or broken}"

    return observe


def _surprise(observation: str, known: Mapping[str, str]) -> str:
    lines = (f"  {seen!r}: {where}" for seen, where in known.items())
    return "\n".join([f"this kernel gives {observation!r}; known are:", *lines])
