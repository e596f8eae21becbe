"""Whose ids a container's users have outside of it, where they are not the machine's own."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import TypedDict

from worldswitch.harness.environments.oci import bundle
from worldswitch.harness.environments.oci.spec import IdMapping
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.subordinate_ids import FIRST_MAPPED, MAPPED
from worldswitch.harness.errors import Unobtainable

TOOLS = ("newuidmap", "newgidmap")  #: by which an ordinary user maps more ids than his own


class Mapped(TypedDict, total=False):
    """The fields of `Surroundings` that say it."""

    users: tuple[IdMapping, ...]
    groups: tuple[IdMapping, ...]
    rootless: bool


def mapped(profile: Profile) -> Mapped:
    """Return what a container under this profile needs here; raises `Unobtainable`.

    An ordinary user's containers are always in a user namespace: its root is that user.
    """
    if bundle.is_root():
        whole = (IdMapping(0, FIRST_MAPPED, MAPPED),)
        return {"users": whole, "groups": whole} if profile.namespaces.user == "mapped" else {}
    if profile.namespaces.pid != "private":
        raise Unobtainable(
            f"the profile {profile.name} shares processes with others, which takes root without an engine",
            "run as root, or use an engine: --engine docker",
        )
    users, groups = (IdMapping(0, os.geteuid(), 1),), (IdMapping(0, os.getegid(), 1),)
    more_users, more_groups = subordinate("/etc/subuid"), subordinate("/etc/subgid")
    if more_users and more_groups and all(map(shutil.which, TOOLS)):
        return {"users": users + more_users, "groups": groups + more_groups, "rootless": True}
    if profile.user != "0:0":
        raise Unobtainable(
            f"the profile {profile.name} runs as user {profile.user}, and without root this user has one id to give",
            "run as root; or apt-get install uidmap, and have a range of ids in /etc/subuid and /etc/subgid",
        )
    return {"users": users, "groups": groups, "rootless": True}


def subordinate(file: str) -> tuple[IdMapping, ...]:
    """Return the first range that this file gives to the user, as the ids from 1 on."""
    try:
        names = {pwd.getpwuid(os.geteuid()).pw_name, str(os.geteuid())}
        lines = Path(file).read_text().splitlines()
    except (KeyError, OSError):
        return ()
    for line in lines:
        name, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if name in names and first.isdecimal() and count.isdecimal():
            return (IdMapping(1, int(first), int(count)),)
    return ()
