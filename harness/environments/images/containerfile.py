"""Read the Containerfile, to build the image without an engine and to name it before it is built."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass
from typing import TypeAlias

from worldswitch.harness.environments.images import site_packages
from worldswitch.harness.environments.profiles.containers_data import folder

REPOSITORY = "worldswitch"
SITE = "opt/worldswitch"  #: the folder in the image with the suite and its packages
Command: TypeAlias = tuple[str, ...]


def containerfile(name: str = "Containerfile.cell") -> str:
    """Return the text of a Containerfile of the package."""
    return (folder(".") / name).read_text()


@dataclass(frozen=True, slots=True)
class BuildSteps:
    """The steps from a base and the packages in `SITE` to the image."""

    base: str  #: the default base
    commands: tuple[Command, ...]  #: run in the image, in this order
    environment: tuple[str, ...]  #: ``NAME=value``, added to the base's
    folder: str  #: working directory of processes


def read(text: str) -> BuildSteps:
    """Parse the subset of the Containerfile syntax that the package uses."""
    steps = [line.partition(" ") for line in text.splitlines()]
    arguments = {word: rest.strip() for word, _, rest in steps}
    return BuildSteps(
        base=arguments["ARG"].partition("=")[2],
        commands=tuple(tuple(json.loads(rest)) for word, _, rest in steps if word == "RUN"),
        environment=tuple(shlex.split(arguments["ENV"])),
        folder=arguments["WORKDIR"],
    )


def contents(base: str) -> str:
    """Return a digest of the inputs of the image on this base."""
    parts = (containerfile(), base, site_packages.key(), *site_packages.requirements())
    return hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]
