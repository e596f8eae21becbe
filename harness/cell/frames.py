r"""Lines that can be told from noise: ``@ws <crc32 of the rest, in hex> <rest>``.

Results share their stream with whatever a platform, a runtime or a console prints there.  A frame begins with a line
break of its own, so that half a line of noise before it costs nothing.
"""

import zlib

MARK = b"@ws "


def encode(payload: bytes) -> bytes:
    """`payload`, which has no line break in it, as a frame."""
    return b"\n%s%08x %s\n" % (MARK, zlib.crc32(payload), payload)


def decode(line: bytes) -> bytes | None:
    """The payload if `line` is a whole frame, None if it is noise."""
    line = line.rstrip(b"\r\n")  # a console turns line breaks into two characters
    checksum, space, payload = line.removeprefix(MARK).partition(b" ")
    if not (line.startswith(MARK) and space and checksum == b"%08x" % zlib.crc32(payload)):
        return None
    return payload
