"""Simulates a filter in the OCI format: the answer to a call, and the rule that decided it.

With libseccomp it interprets the very program that the runtime installs; without, it evaluates the rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from worldswitch.harness.environments.simulation import bpf, call_numbers, enosys_stub, library, rule_match
from worldswitch.harness.environments.simulation.answer import KILL_THREAD, Answer
from worldswitch.harness.environments.simulation.call_numbers import AUDIT, NATIVE
from worldswitch.harness.environments.simulation.library import Library
from worldswitch.harness.environments.simulation.runtime_rules import RuntimeRule, default_value, rules

UNKNOWN: tuple[int | None, ...] = (None,) * 6
#: Architectures of whose arguments libseccomp compares the lower 32 bits alone.
BITS_32 = ("SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM")


@dataclass(frozen=True, slots=True)
class Call:
    """A system call; None is an unknown argument."""

    name: str
    arguments: tuple[int | None, ...] = UNKNOWN
    architecture: str = ""  #: that of the machine if empty
    number: int | None = None  #: that of the name if None


class FilterSimulator:
    """The filter that a runtime makes of an OCI filter on a machine.  Raises `library.Rejected`."""

    def __init__(
        self,
        content: Mapping[str, Any],
        *,
        machine: str = "x86_64",
        runtime: str = "runc",
        compiler: Library | None = None,
        places: Mapping[int, int] | None = None,
    ) -> None:
        self._content = content
        self._places = places or {}  #: of OCI rules in the file that the user wrote
        self.native = NATIVE[machine]
        self.architectures = tuple(dict.fromkeys((self.native, *(content.get("architectures") or ()))))
        self.default = default_value(content)
        self._rules = list(rules(content))
        self._newest = enosys_stub.newest(content) if runtime.startswith("runc") else {}
        self._compiler = compiler or library.load()
        if self._compiler:
            self.program  # noqa: B018 - raises what the runtime would

    @cached_property
    def program(self) -> bpf.Program | None:
        """The program that the runtime installs; None without libseccomp."""
        if not self._compiler:
            return None
        made = self._compiler.program(self.default, self.native, self.architectures[1:], self._rules)
        return (*enosys_stub.instructions(self._newest), *made)

    @property
    def denies_by_default(self) -> bool:
        """True if the default action is not to allow."""
        return not Answer(self.default).allowed

    def answers(self, call: Call) -> list[Answer]:
        """Return every answer that the call may get; several only if it depends on an unknown argument.

        Raises KeyError if the architecture has no such call.
        """
        architecture = call.architecture or self.native
        number = call.number if call.number is not None else call_numbers.number(call.name, architecture)
        if number is None:
            raise KeyError(f"{architecture} has no system call {call.name}")
        if self.program is not None:
            words = bpf.call_words(number, AUDIT[architecture], call.arguments)
            values = bpf.results(self.program, words)
        else:
            values = self._evaluate(call, architecture, number)
        return [Answer(value, self._why(value, call, architecture, number)) for value in sorted(values)]

    def with_ranges(self, call: Call, ranges: Sequence[tuple[int, int]]) -> Call:
        """Return the call with observed values for unknown arguments, if no rule tells these from the others seen."""
        rules = self._of(call, call.architecture or self.native)
        if not all(rule_match.is_settled(rule, call.arguments, ranges) for rule in rules):
            return call
        known = (low if one is None else one for one, (low, _) in zip(call.arguments, ranges, strict=True))
        return replace(call, arguments=tuple(known))

    def _evaluate(self, call: Call, architecture: str, number: int) -> frozenset[int]:
        if not self._listed(architecture):
            return frozenset((KILL_THREAD,))
        if number > self._newest.get(architecture, number):
            return frozenset((enosys_stub.ENOSYS,))
        return rule_match.results(self._of(call, architecture), self.default, call.arguments, _mask(architecture))

    def _listed(self, architecture: str) -> bool:
        return architecture in self.architectures

    def _of(self, call: Call, architecture: str) -> Iterator[RuntimeRule]:
        for rule in self._rules:
            if rule.name == call.name and call_numbers.named(rule.name, architecture) is not None:
                yield rule

    def _why(self, value: int, call: Call, architecture: str, number: int) -> str:
        if not self._listed(architecture):
            return f"`architectures`, which lacks {architecture}"
        if number > self._newest.get(architecture, number):
            return "runc, to which it is newer than every call that the filter names"
        mask = _mask(architecture)
        named = [one for one in self._of(call, architecture) if one.value == value]
        for rule in sorted(named, key=lambda one: bool(one.conditions)):
            if rule_match.matches(rule, call.arguments, mask) is not False:
                return f"syscalls[{self._places.get(rule.place, rule.place)}]"
        return "defaultAction"


def _mask(architecture: str) -> int:
    return bpf.WORD if architecture in BITS_32 else (1 << 64) - 1
