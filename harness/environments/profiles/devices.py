"""A profile's devices: device files of the machine that runs the container."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

ACCESS = "rwm"  #: read, write, mknod


def split(written: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the path on the machine, the path in the container and the access of devices such as ``/dev/kvm:rw``."""
    for device in written:
        source, *rest = device.split(":")
        target = rest.pop(0) if rest and rest[0].startswith("/") else source
        yield source, target, rest[0] if rest else ACCESS
