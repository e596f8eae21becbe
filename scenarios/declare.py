"""The decorator that declares a scenario: its ids, the clauses it rests on, its needs and its repetitions.

    @scenario("IN03", clauses="seed.switchToApp", normal=10, soak=1000)
    def an_interrupt_ends_a_running_switch(stage: Stage) -> None:
        \"\"\"An interrupt ends the switch of a guest that never returns by itself.\"\"\"

The function's name is a sentence and its docstring is the claim.  The decorator adds one pytest mark, which the
harness's plugin reads, and nothing else.
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

    `ids` are catalogue ids (``TT01``); the first one is the main one.  `clauses` are what the claim rests on: a
    function or weakness of the seed (``seed.W1``), a kernel clause (``kernel.W2``), a man page section, a kernel
    commit; see ``clauses.toml``.  `needs` are names of the harness's probes, separated by spaces; ``ptrace`` is implied
    unless a need denies it.  `quick`, `normal` and `soak` are repetitions, read as ``trial.repeat``.  `deadline` is in
    seconds, for the slowest of the three on an idle machine.  `subject` is what the claim is about; a claim about the
    kernel needs no mutant.  `alone` marks a scenario that changes machine-wide state, so that nothing else of the run
    overlaps it.
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
