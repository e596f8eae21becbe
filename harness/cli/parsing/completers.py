"""Completion of values in a shell, by argcomplete: names of scenarios, profiles, kernels, platforms, mutants and runs.

A completer returns nothing rather than an error, because its output would garble the user's command line.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

Completer = Callable[..., Iterable[str]]
Argument = TypeVar("Argument", bound=argparse.Action)


def completed_by(completer: Completer, argument: Argument) -> Argument:
    """Return `argument`, whose values `completer` suggests."""
    argument.completer = completer  # type: ignore[attr-defined]
    return argument


def scenarios(**_: object) -> Iterable[str]:
    """Return the ids and names of scenarios."""
    from worldswitch.harness.catalogue import scenarios as catalogue

    every = catalogue.scenarios()
    return [*dict.fromkeys(own for one in every for own in one.ids), *(one.name for one in every)]


def profiles(**_: object) -> Iterable[str]:
    """Return the names of profiles."""
    from worldswitch.harness.environments.profiles import profile

    return [*profile.available(), profile.ALL]


def filters(**_: object) -> Iterable[str]:
    """Return the names of the package's filters."""
    from worldswitch.harness.environments.profiles.containers_data import folder

    return [path.name for path in folder("seccomp").glob("*.json")]


def kernels(**_: object) -> Iterable[str]:
    """Return the names of kernels."""
    from worldswitch.harness.environments.kernels import known

    return [entry.name for entry in known.load()]


def platforms(**_: object) -> Iterable[str]:
    """Return the names of installed platforms, and of the mutants among them."""
    from worldswitch.harness.catalogue import mutants as catalogue
    from worldswitch.harness.catalogue import platforms as installed

    return [*installed.platforms(), *(f"{catalogue.MUTANT}{name}" for name in catalogue.mutants())]


def mutants(**_: object) -> Iterable[str]:
    """Return the names of mutants."""
    from worldswitch.harness.catalogue import mutants as catalogue

    return list(catalogue.mutants())


def benchmarks(**_: object) -> Iterable[str]:
    """Return the subjects and names of benchmarks."""
    from worldswitch.harness.bench import catalogue

    return [*catalogue.SUBJECTS, *catalogue.benchmarks()]


def runs(**_: object) -> Iterable[str]:
    """Return the names of the runs in `results`, and `last`."""
    return ["last", *(path.parent.name for path in Path("results").glob("*/run.json"))]
