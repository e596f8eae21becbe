"""The messages of a guest, checked: a guest that was broken into, or whose memory is damaged, may send anything."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from worldswitch.harness.environments.vm.guest.serial_link import Broken, Message

Natural = Annotated[int, Meta(ge=0, le=1 << 62)]


class _Said(msgspec.Struct, tag_field="say"):
    n: Natural


class _Boot(_Said, tag="boot"):
    kernel: Annotated[str, Meta(max_length=256)]
    version: Annotated[str, Meta(max_length=256)]
    taint: Natural
    cpus: Natural


class _OfCell(_Said):
    cell: Natural


class _Out(_OfCell, tag="out"):
    data: str


class _Log(_OfCell, tag="log"):
    data: str


class _Refused(_OfCell, tag="refused"):
    reason: Annotated[str, Meta(max_length=4096)]


class _End(_OfCell, tag="end"):
    status: Annotated[int, Meta(ge=0, le=255)]
    kernel: list[str]
    taint: tuple[Natural, Natural]


def check(message: Message) -> None:
    """Raise `Broken` unless a guest may send the message."""
    try:
        msgspec.convert(message, _Boot | _Out | _Log | _Refused | _End)
    except msgspec.ValidationError as problem:
        raise Broken(str(problem)) from problem
