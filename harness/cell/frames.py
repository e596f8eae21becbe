r"""Lines that are distinguishable from noise: ``@ws <crc32 of the rest, in hex> <rest>``.

Results share their stream with output of platforms, runtimes and consoles.  A frame begins with a line break, so that
an unfinished line before it does not damage it.
"""

import zlib
from collections.abc import Iterable, Iterator

MARK = b"@ws "

#: Bytes of the longest line: endless output must not fill the memory.
LONGEST = 1 << 24


class LineTooLong(ValueError):
    """A line has more than `LONGEST` bytes."""


def encode(payload: bytes) -> bytes:
    """Return `payload`, which must contain no line break, as a frame."""
    return b"\n%s%08x %s\n" % (MARK, zlib.crc32(payload), payload)


def decode(line: bytes) -> bytes | None:
    """Return the payload if `line` is a complete frame, None if it is noise."""
    line = line.rstrip(b"\r\n")  # a console turns line breaks into two characters
    checksum, space, payload = line.removeprefix(MARK).partition(b" ")
    if not (line.startswith(MARK) and space and checksum == b"%08x" % zlib.crc32(payload)):
        return None
    return payload


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines in a stream without line ends; an incomplete last line is included.  Raises `LineTooLong`."""
    rest = bytearray()
    for chunk in chunks:
        first, found, more = chunk.partition(b"\n")
        rest += first
        if len(rest) > LONGEST:
            raise LineTooLong(f"a line has more than {LONGEST} bytes")
        if found:
            yield bytes(rest)
            *whole, last = more.split(b"\n")
            yield from whole
            rest = bytearray(last)
    if rest:
        yield bytes(rest)
