"""A container's start is recorded as its filter sees it, and its necessary calls are found by denying them."""

from __future__ import annotations

import os
import shutil

import pytest
from msgspec.structs import replace

from containers import setup as setup
from worldswitch.harness.environments.oci.container import OciSetup
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.profile import Namespaces, Profile
from worldswitch.harness.environments.simulation import library
from worldswitch.harness.run.syscall_record import container_start

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers without a user namespace need root"),
    pytest.mark.skipif(not (shutil.which("runc") or shutil.which("crun")), reason="no runtime is installed"),
    pytest.mark.skipif(library.load() is None, reason="libseccomp is not installed"),
]


@pytest.fixture
def profile() -> Profile:
    return profiles.load(profiles.available()["docker-default"])


def test_a_denied_call_of_the_start_is_found(
    setup: OciSetup, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = container_start._calls(setup, profile, "x86_64")
    assert {"execve", "clone:0x1200011", "rt_sigtimedwait"} <= set(calls)  # the last by the init
    monkeypatch.setattr(container_start, "_calls", lambda *_: ["getrandom", "setpgid"])
    monkeypatch.setattr(container_start, "WRITE", "sync")  # nothing makes it
    found = container_start.observe(setup, profile, "x86_64", 2)
    assert found.effects == {
        "getrandom": {"kill": "fails"},
        "setpgid": {"EPERM": "fails", "ENOSYS": "fails", "kill": "fails"},
    }


def test_a_container_among_the_machines_processes_is_refused(setup: OciSetup, profile: Profile) -> None:
    shared = replace(profile, init=False, namespaces=Namespaces(pid="host"))
    with pytest.raises(ValueError, match="PID namespace of its own"):
        container_start.FilteredContainer(setup, shared, {})
