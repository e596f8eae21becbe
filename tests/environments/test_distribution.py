"""The command that installs a package fits the distribution."""

from __future__ import annotations

import platform

import pytest

from worldswitch.harness.environments import distribution


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ({"ID": "debian"}, "apt-get install docker.io"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "apt-get install docker.io"),
        ({"ID": "fedora"}, "dnf install moby-engine"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install moby-engine"),
        ({"ID": "arch"}, "pacman -S docker"),
        ({"ID": "manjaro", "ID_LIKE": "arch"}, "pacman -S docker"),
        ({"ID": "nixos"}, "apt-get install docker.io, dnf install moby-engine or pacman -S docker"),
    ],
)
def test_the_command_is_that_of_the_distribution(
    release: dict[str, str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    assert distribution.install("docker.io") == command


def test_without_os_release_all_commands_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, str]:
        raise FileNotFoundError("/etc/os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert distribution.install("runc") == "apt-get install runc, dnf install runc or pacman -S runc"
