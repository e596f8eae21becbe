"""What the Containerfile says, for whoever makes the image without an engine, or names it before it is made."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass
from typing import TypeAlias

from worldswitch.harness.environments.images import site_packages
from worldswitch.harness.environments.profiles.containers_data import folder

REPOSITORY = "worldswitch"
SITE = "opt/worldswitch"  #: the folder in the image that has the suite and its packages
Command: TypeAlias = tuple[str, ...]


def containerfile(name: str = "Containerfile") -> str:
    """Return its text."""
    return (folder(".") / name).read_text()


@dataclass(frozen=True, slots=True)
class BuildSteps:
    """The steps from a base and the packages in `SITE` to the image."""

    base: str  #: what the image is built on, unless somebody says otherwise
    commands: tuple[Command, ...]  #: are run in it, in this order
    environment: tuple[str, ...]  #: ``NAME=value``, beside what the base sets
    folder: str  #: where processes start


def read(text: str) -> BuildSteps:
    """Read what we use of the Containerfile's language."""
    steps = [line.partition(" ") for line in text.splitlines()]
    said = {word: rest.strip() for word, _, rest in steps}
    return BuildSteps(
        base=said["ARG"].partition("=")[2],
        commands=tuple(tuple(json.loads(rest)) for word, _, rest in steps if word == "RUN"),
        environment=tuple(shlex.split(said["ENV"])),
        folder=said["WORKDIR"],
    )


def contents(base: str) -> str:
    """Name the image on this base by all that it is made from: a name that exists is the right image."""
    parts = (containerfile(), base, site_packages.key(), *site_packages.requirements())
    return hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]
