"""What host and guest say to each other over a serial port: messages in JSON, compressed, each in a frame of its own.

A port has no notion of a message and an emulated one is slow, some 400 kB a second; what a suite says is text that
compresses well.  Messages are numbered, so that one that was lost or mangled on the way is noticed by the next.

    to the guest    do    run, kill, off
    to the host     say   boot, out, log, end, refused
"""

from __future__ import annotations

import base64
import json
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from worldswitch.harness.cell import frames

#: A received line beyond this is no message of ours; what a guest prints without end must not fill the memory.
LONGEST = 1 << 24

Message = dict[str, Any]


class Broken(Exception):
    """Something was lost on the way."""


class MessageSender:
    """One direction, at the end where messages are made; threads may share it."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """`write` takes all it is given."""
        self._write = write
        self._number = 0
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message."""
        with self._lock:
            self._number += 1
            text = json.dumps({**message, "n": self._number}, separators=(",", ":"))
            # The fastest compression: the guest's processor is emulated.
            self._write(frames.encode(base64.b64encode(zlib.compress(text.encode(), 1))))


def received(chunks: Iterable[bytes], noise: Callable[[bytes], object] = lambda _: None) -> Iterator[Message]:
    """Yield the messages among what came; `Broken` if one did not come."""
    number = 0
    for line in lines(chunks):
        payload = frames.decode(line)
        if payload is None:
            if line.strip():
                noise(line)
            continue
        message = json.loads(zlib.decompress(base64.b64decode(payload)))
        number += 1
        if message["n"] != number:
            raise Broken(f"message {number} was lost, number {message['n']} came")
        yield message


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines that chunks amount to, without their ends; half a line at the end is one too."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > LONGEST:
            raise Broken(f"a line of more than {LONGEST} bytes")
    if rest:
        yield rest


def text(data: bytes) -> str:
    """Any bytes as text that JSON can carry; `data` is the way back."""
    return data.decode("latin-1")


def data(text: str) -> bytes:
    """The bytes of what `text` made."""
    return text.encode("latin-1")
