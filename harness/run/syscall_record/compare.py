"""Compares the system calls of real trials with what a seccomp filter answers to them."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.environments.filters import answers
from worldswitch.harness.environments.filters.filter_file import Filter
from worldswitch.harness.environments.filters.resolution import SeccompTarget, resolve
from worldswitch.harness.environments.filters.seccomp_values import ALLOWING
from worldswitch.harness.environments.oci.capabilities import USUAL
from worldswitch.harness.environments.profiles import seccomp_filter
from worldswitch.harness.environments.profiles.containers_data import folder
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run.request import select
from worldswitch.harness.run.syscall_record import unotify

SYS_PTRACE = "CAP_SYS_PTRACE"
#: Calls, and the answer after which the C library does without.
REPLACED = frozenset((name, "ENOSYS") for name in ("clone3", "rseq", "set_robust_list"))
#: How much slower trials are while every call waits for the recorder.
SLOWER = 20.0
PASSED, SOME_FAILED = 0, 1  #: exit statuses of pytest
LINES = 20  #: of the log in an error
#: `--noconftest`: pytest would load `tests/conftest.py` of the current folder.
PLAIN = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "-W", "ignore", "--noconftest")


@dataclass(frozen=True, slots=True)
class SyscallComparison:
    """The recorded system calls, compared with a filter."""

    filter: str
    scenarios: int
    by_traced: tuple[str, ...]  #: by stubs and other tracees
    by_others: tuple[str, ...]
    denied: dict[str, str]  #: called, and not allowed in a container with the usual capabilities: the answer
    partly: dict[str, str]  #: called, and allowed with some arguments only
    replaced: dict[str, str]  #: called, and denied so that the C library makes another call
    unused: tuple[str, ...]  #: allowed by name, but not called

    @property
    def status(self) -> Status:
        """`UNEXPECTED` if a recorded call is not allowed."""
        return Status.UNEXPECTED if self.denied else Status.AS_EXPECTED

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report."""
        yield f"{self.scenarios} scenarios make {len({*self.by_traced, *self.by_others})} different system calls"
        yield f"by stubs and other tracees: {' '.join(self.by_traced)}"
        yield f"by other processes: {' '.join(self.by_others)}"
        yield f"{self.filter} {'denies' if self.denied else 'denies none that trials need'}{_told(self.denied)}"
        if self.replaced:
            yield f"it denies calls that the C library replaces by others{_told(self.replaced)}"
        if self.partly:
            yield f"it does not always allow{_told(self.partly)}"
        if self.unused:
            yield f"it allows by name, but none was made here: {' '.join(self.unused)}"


def _told(calls: dict[str, str]) -> str:
    return ": " + ", ".join(f"{name} ({answer})" for name, answer in calls.items()) if calls else ""


def show(ids: Sequence[str], against: str, *, as_json: bool, say: Say) -> Status:
    """Record, compare and print.  Raises `CouldNotRun`."""
    found = compare(ids, against, say)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        print("\n".join(found.lines()))
    return found.status


def compare(ids: Sequence[str], against: str, say: Say) -> SyscallComparison:
    """Run scenarios here, record their calls, and compare them with a filter: a name, or a path with a slash."""
    path = Path(against) if "/" in against else folder("seccomp") / against
    content = seccomp_filter.load(path)  # before minutes of recording
    scenarios = [one.name for one in select(catalogue.scenarios(), ids, chaos=False) if ids or _is_plain(one)]
    names = unotify.names()
    say(f"recording the calls of {len(scenarios)} scenarios")
    calls = _record(scenarios, say)
    called = _named(calls.all, names)
    allowed = {name for rule in content["syscalls"] if rule["action"] in ALLOWING for name in rule["names"]}
    return SyscallComparison(
        filter=path.name,
        scenarios=len(scenarios),
        by_traced=_named(calls.of_tracees, names),
        by_others=_named(calls.of_others, names),
        **_answers(called, content),
        unused=tuple(sorted(allowed.difference(called))),
    )


def _answers(called: Iterable[str], content: Filter) -> dict[str, dict[str, str]]:
    """The calls that a filter does not allow, by how it denies them, each with its answer."""
    machine = SeccompTarget.here()
    without, with_it = (resolve(content, (*USUAL, *more), machine) for more in ((), (SYS_PTRACE,)))
    found: dict[str, dict[str, str]] = {"denied": {}, "partly": {}, "replaced": {}}
    for name in called:
        plain, privileged = answers.answer(without, name), answers.answer(with_it, name)
        if plain.allowed:
            continue
        kind = "replaced" if (name, str(plain)) in REPLACED else "partly" if plain.some_allowed else "denied"
        more = f"; with SYS_PTRACE: {privileged}" if privileged != plain else ""
        found[kind][name] = f"{plain}{more}"
    return found


def _is_plain(scenario: catalogue.Scenario) -> bool:
    """True if the scenario tests a platform and has no needs of its own, such as namespaces or root."""
    return scenario.subject == "platform" and not scenario.needs


def _record(scenarios: Iterable[str], say: Say) -> unotify.Calls:
    ids = [word for name in scenarios for word in ("--id", name)]
    options = ("--no-chaos", "--repeat", "quick", "--time-scale", f"{SLOWER:g}")
    # By pytest alone: a cell would also run its probes.
    command = [sys.executable, "-m", "pytest", *PLAIN, "--pyargs", catalogue.SCENARIOS, *options, *ids]
    with tempfile.TemporaryFile() as log:
        calls, status = unotify.record(command, dict(os.environ), log.fileno(), say)
        if status not in (PASSED, SOME_FAILED):  # a trial may fail because its calls are slow
            log.seek(0)
            end = "\n".join(log.read().decode(errors="replace").splitlines()[-LINES:])
            raise unotify.Unrecordable(
                f"the recorded scenarios ended with status {status}; the end of their log:\n{end}"
            )
    return calls


def _named(numbers: Iterable[int], names: dict[int, str]) -> tuple[str, ...]:
    return tuple(sorted(names.get(number, f"call {number}") for number in numbers))
