"""The protocol between host and guest over a serial port: compressed JSON messages, one per frame.

A serial port is a byte stream, and an emulated one carries only some 400 kB/s; a suite's output compresses well.
Messages are numbered, so that the receiver detects a lost or damaged one when the next arrives.

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

Message = dict[str, Any]


class Broken(Exception):
    """A message was lost or damaged."""


class MessageSender:
    """Sends numbered messages; thread-safe."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """`write` must write all of its argument."""
        self._write = write
        self._number = 0
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message."""
        with self._lock:
            self._number += 1
            text = json.dumps({**message, "n": self._number}, separators=(",", ":"))
            # The fastest level: the guest's CPU may be emulated.
            self._write(frames.encode(base64.b64encode(zlib.compress(text.encode(), 1))))


def received(chunks: Iterable[bytes], noise: Callable[[bytes], object] = lambda _: None) -> Iterator[Message]:
    """Yield the messages in a stream; other lines go to `noise`.  Raises `Broken`."""
    number = 0
    for line in frames.lines(chunks):
        payload = frames.decode(line)
        if payload is None:
            if line.strip():
                noise(line)
            continue
        number += 1
        message = _decoded(payload)
        if message.get("n") != number:
            raise Broken(f"message {number} was lost, number {message.get('n')!r:.80} came")
        yield message


def _decoded(payload: bytes) -> Message:
    """Return the message in a frame: a table of at most `frames.LONGEST` bytes.  Raises `Broken`."""
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(base64.b64decode(payload), frames.LONGEST)
        message = json.loads(text)
    except (ValueError, zlib.error, RecursionError) as problem:
        raise Broken(f"{type(problem).__name__}: {problem}") from problem
    if not isinstance(message, dict):
        raise Broken(f"it is no table, but {type(message).__name__}")
    return message


def text(data: bytes) -> str:
    """Encode any bytes as text for JSON; `data` is the inverse."""
    return data.decode("latin-1")


def data(text: str) -> bytes:
    """Decode text made by `text`."""
    return text.encode("latin-1")
