"""How a scenario is declared: its catalogue ids, the clauses it stands on, what it needs, how often it repeats.

    @scenario("IN03", clauses="seed.switchToApp", normal=10, soak=1000)
    def an_interrupt_ends_a_running_switch(stage: Stage) -> None:
        \"\"\"A guest that computes for ever comes back when it is interrupted.\"\"\"

The function's name is a sentence, its docstring the claim.  The decorator makes one pytest mark, which the harness's
plugin reads; nothing else is attached to the function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import pytest

Function = TypeVar("Function", bound=Callable[..., object])


def scenario(
    *ids: str,
    clauses: str | Sequence[str],
    needs: str = "",
    quick: int = 1,
    normal: int = 1,
    soak: int = 1,
    deadline: float = 20.0,
    subject: Literal["platform", "kernel"] = "platform",
    alone: bool = False,
) -> Callable[[Function], Function]:
    """Declare a scenario.

    `ids` are catalogue ids (``TT01``), the first names the scenario.  `clauses` say what it stands on: a function or
    weakness of the seed (``seed.W1``), a kernel clause (``kernel.W2``), a man page section, a kernel commit;
    ``clauses.toml`` lists them.  `needs` are names of the harness's probes, separated by spaces; ``ptrace`` is implied,
    but where ptrace is to be denied.  `quick`, `normal` and `soak` are
    repetitions, read as ``trial.repeat``.  `deadline` is in seconds for the slowest of the three on a quiet machine.
    `subject` is what the claim is about: of a claim about the kernel alone no mutant of a platform is asked for.
    `alone` is for what changes something that all of the machine shares: nothing else of the run goes on meanwhile.
    """
    return pytest.mark.scenario(
        *ids,
        clauses=(clauses,) if isinstance(clauses, str) else tuple(clauses),
        needs=tuple(needs.split()),
        repeat={"quick": quick, "normal": normal, "soak": soak},
        deadline=deadline,
        subject=subject,
        alone=alone,
    )
