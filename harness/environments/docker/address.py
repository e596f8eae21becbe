"""The engine that the user names, as docker's own command finds it: by ``DOCKER_HOST``, else by a Docker context."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env

from worldswitch.harness.errors import Unobtainable

HOST = "DOCKER_HOST"  #: the environment variable that names an engine
CONTEXT = "DOCKER_CONTEXT"  #: the environment variable that names a context
DEFAULT = "default"  #: the context that is none


@dataclass(frozen=True, slots=True)
class NamedEngine:
    """The address of the engine that the user named, and what names it."""

    url: str
    by: str  #: DOCKER_HOST, or a context
    tls: TLSConfig | None = None


def named() -> NamedEngine | None:
    """Return the engine that the user named; None if any may be used.  Raises `Unobtainable`."""
    context = "" if os.environ.get(HOST) else os.environ.get(CONTEXT) or get_current_context_name()
    by = f"the Docker context {context}" if context else HOST
    try:
        return _of_context(context, by) if context else _of_environment()
    except Exception as problem:  # a context's file that cannot be read is an Exception of no other class
        raise Unobtainable(
            f"{by} names the engine to use, and its settings cannot be read: {problem}",
            "correct it, see `docker context ls`, or choose another engine by DOCKER_HOST",
        ) from problem


def _of_environment() -> NamedEngine:
    found = kwargs_from_env()
    return NamedEngine(found["base_url"], HOST, found.get("tls"))


def _of_context(name: str, by: str) -> NamedEngine | None:
    if name == DEFAULT:
        return None
    found: Any = ContextAPI.get_context(name)  # None without such a context, which the stubs do not say
    if not (found and found.Host):
        raise LookupError(f"there is no context {name} with an address")
    return NamedEngine(found.Host, by, found.TLSConfig)
