"""The user and group ids of a container outside of its user namespace."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import TypedDict

from worldswitch.harness.environments import distribution
from worldswitch.harness.environments.oci import bundle
from worldswitch.harness.environments.oci.spec import FIRST_MAPPED, MAPPED, IdMapping
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import regular_file

TOOLS = ("newuidmap", "newgidmap")  #: let an ordinary user map more ids than one


class Mapped(TypedDict, total=False):
    """The fields of `ContainerContext` that describe the mapping."""

    users: tuple[IdMapping, ...]
    groups: tuple[IdMapping, ...]
    rootless: bool


def mapped(profile: Profile) -> Mapped:
    """Return the mapping of a container under this profile on this machine.  Raises `Unobtainable`.

    An ordinary user's containers always have a user namespace, whose root is that user.
    """
    if bundle.is_root():
        whole = (IdMapping(0, FIRST_MAPPED, MAPPED),)
        return {"users": whole, "groups": whole} if profile.namespaces.user == "mapped" else {}
    if profile.namespaces.pid != "private":
        raise Unobtainable(
            f"the profile {profile.name} shares a PID namespace, which needs root without an engine",
            "run as root, or use an engine: --engine docker",
        )
    users, groups = (IdMapping(0, os.geteuid(), 1),), (IdMapping(0, os.getegid(), 1),)
    more_users, more_groups = subordinate("/etc/subuid"), subordinate("/etc/subgid")
    if more_users and more_groups and all(map(shutil.which, TOOLS)):
        return {"users": users + more_users, "groups": groups + more_groups, "rootless": True}
    if profile.user != "0:0":
        raise Unobtainable(
            f"the profile {profile.name} runs as user {profile.user}, and without root only one id can be mapped",
            f"run as root; or {distribution.install('uidmap')}, and add a range of ids to /etc/subuid and /etc/subgid",
        )
    return {"users": users, "groups": groups, "rootless": True}


def subordinate(file: str) -> tuple[IdMapping, ...]:
    """Return this user's first range in /etc/subuid or /etc/subgid, mapped to the ids from 1 on; empty if none."""
    try:
        names = {pwd.getpwuid(os.geteuid()).pw_name, str(os.geteuid())}
        lines = regular_file.read(Path(file)).decode(errors="replace").splitlines()
    except (KeyError, OSError):
        return ()
    for line in lines:
        name, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if name in names and first.isdecimal() and count.isdecimal():
            return (IdMapping(1, int(first), int(count)),)
    return ()
