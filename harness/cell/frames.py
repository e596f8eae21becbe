r"""Lines that are distinguishable from noise: ``@ws <crc32 of the rest, in hex> <rest>``.

Results share their stream with output of platforms, runtimes and consoles.  A frame begins with a line break, so that
an unfinished line before it does not damage it.
"""

import zlib

MARK = b"@ws "


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
