"""A user namespace is one that can be used; the reason for none, and its remedy, come from evidence."""

from __future__ import annotations

import errno

import confined
import msgspec
import pytest

from worldswitch.harness.cell.probes import table, user_namespaces
from worldswitch.harness.cell.probes.steps import Failure
from worldswitch.harness.cell.probes.user_namespaces import CREATE, USE, Evidence
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.cell.supervisor import supervise

EPERM, EACCES, ENOSPC = errno.EPERM, errno.EACCES, errno.ENOSPC
UBUNTU = Evidence(apparmor_restricts=1, unprivileged_clone=1, maximum=9000)

#: What failed, what is known, and words of the reason and of the remedy.
CASES: dict[str, tuple[Failure, Evidence, str, str]] = {
    "none are allowed": (Failure(CREATE, ENOSPC), Evidence(maximum=0), "max_user_namespaces is 0", "sysctl user.max"),
    "too many": (Failure(CREATE, ENOSPC), Evidence(maximum=9), "a limit", ""),
    "Debian": (Failure(CREATE, EPERM), Evidence(unprivileged_clone=0), "userns_clone is 0", "userns_clone=1"),
    "Debian, root": (Failure(CREATE, EPERM), Evidence(unprivileged_clone=0, privileged=True), "perhaps a chroot", ""),
    "Ubuntu, at the map": (Failure("uid_map", EPERM), UBUNTU, "AppArmor", "userns=0"),
    "Ubuntu, at the use": (Failure(USE, EPERM), UBUNTU, "AppArmor", "`userns,`"),
    "Ubuntu, at the start": (Failure(CREATE, EACCES), UBUNTU, "AppArmor", "userns=0"),
    "Ubuntu, switched off": (Failure(USE, EPERM), Evidence(apparmor_restricts=0), "", ""),
    "a container's filter": (Failure(CREATE, EPERM), Evidence(filter_answers=True), "seccomp", "allows unshare"),
    "a filter first": (Failure(CREATE, ENOSPC), Evidence(filter_answers=True, maximum=0), "seccomp", "allows unshare"),
    "perhaps a filter": (
        Failure(CREATE, EPERM),
        Evidence(filtered=True),
        "perhaps seccomp: filters are in force; or",
        "",
    ),
    "perhaps a module": (Failure(USE, EACCES), Evidence(label="u:r:httpd_t:s0"), "perhaps a security module", ""),
    "no such kernel": (
        Failure(CREATE, errno.EINVAL),
        Evidence(),
        "the kernel has no user namespaces",
        "CONFIG_USER_NS",
    ),
    "out of memory": (Failure("uid_map", errno.ENOMEM), UBUNTU, "", ""),
}


@pytest.mark.parametrize(("failed", "seen", "word", "remedy"), CASES.values(), ids=CASES)
def test_the_reason_and_the_remedy_have_their_evidence(failed: Failure, seen: Evidence, word: str, remedy: str) -> None:
    said, do = user_namespaces.reason(failed, seen)
    assert (word in said, bool(said)) == (True, bool(word))
    assert (remedy in do, bool(do)) == (True, bool(remedy))


def found_under(*restrictions: str) -> ProbeResult:
    def look() -> bytes:
        confined.confine(*restrictions)
        table.forget()
        return msgspec.json.encode(table.probe("userns"))

    payload = supervise(look, 30).payload
    assert payload is not None
    return msgspec.json.decode(payload, type=ProbeResult)


def test_a_filter_that_denies_them_is_named() -> None:
    found = found_under("errno:272:1")
    assert (found.state, found.remedy) == ("denied", "use a profile that allows unshare(CLONE_NEWUSER)")
    assert found.detail.endswith("seccomp: a filter answers")


def test_a_namespace_whose_capabilities_have_no_effect_is_none() -> None:
    """As where AppArmor restricts them: unshare succeeds, and nothing can be done inside."""
    found = found_under("errno:170:1")  # sethostname
    assert found.state == "denied"
    assert found_under().state != "yes" or found.detail.startswith(f"{USE}: EPERM")
