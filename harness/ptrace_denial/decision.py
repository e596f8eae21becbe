"""The cause of a denied ptrace request: the mechanism that denies it, or the candidates."""

from __future__ import annotations

from worldswitch.harness.ptrace_denial import mechanisms, modules
from worldswitch.harness.ptrace_denial.confinement import Confinement
from worldswitch.harness.ptrace_denial.mechanisms import Denial, Mechanism, MechanismCheck

#: The mechanisms that can deny any request, in the order in which they see it.
ANY_REQUEST = (mechanisms.seccomp, mechanisms.kernel)

#: The checks when tracing begins, in about the kernel's order, each with the mechanism that it is about.
BEGINNING = {
    Mechanism.ALREADY_TRACED: mechanisms.already_traced,
    Mechanism.YAMA: mechanisms.yama,
    Mechanism.CAPABILITY: mechanisms.capability,
    Mechanism.SELINUX: modules.selinux,
    Mechanism.APPARMOR: modules.apparmor,
    Mechanism.LANDLOCK: modules.landlock,
    Mechanism.BPF: modules.bpf,
    Mechanism.MODULE: modules.other_modules,
}


def checks(
    known: Confinement,
    request: str = "PTRACE_SEIZE",
    error: str = "",
    *,
    own_child: bool = True,
    own_thread: bool = True,
) -> list[MechanismCheck]:
    """Return a check of each mechanism for a request that failed with `error`, an errno's name; by default as known.

    The target is an own child or another process; `own_thread` is false if another thread forked it.
    """
    error = error or (known.errors.get(request, "") if own_child else "")
    one = Denial(known, request, error, own_child, own_thread)
    first = [check(one) for check in ANY_REQUEST]
    if not one.begins:
        late = f"it is checked when tracing begins, not at {request}"
        return [*first, *(MechanismCheck(mechanism, False, late) for mechanism in BEGINNING)]
    if any(check.denies for check in first) or one.answer not in (None, "ESRCH"):
        before = "the request does not reach its check"
        return [*first, *(MechanismCheck(mechanism, False, before) for mechanism in BEGINNING)]
    return [*first, *(check(one) for check in BEGINNING.values())]


def cause(
    known: Confinement,
    request: str = "PTRACE_SEIZE",
    error: str = "",
    *,
    own_child: bool = True,
    own_thread: bool = True,
) -> MechanismCheck | None:
    """Return the mechanism that denied the request, else those that may have, as one; None if none does."""
    found = checks(known, request, error, own_child=own_child, own_thread=own_thread)
    certain = next((one for one in found if one.denies), None)
    return certain or _undecided([one for one in found if one.denies is None])


def _undecided(candidates: list[MechanismCheck]) -> MechanismCheck | None:
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    evidence = "; or ".join(f"{one.mechanism.value}: {one.evidence}" for one in candidates)
    remedies = "; ".join(
        dict.fromkeys(f"if it is {one.mechanism.value}, {one.remedy}" for one in candidates if one.remedy)
    )
    return MechanismCheck(Mechanism.UNDECIDED, None, f"perhaps {evidence}", remedies)
