"""Complete an OCI bundle on the machine that runs it: the numbers of its devices, the folders of its volumes.

The specification may be made on another machine.  There a device is an object with the keys `DEVICE`, and the source of
a volume begins with `VOLUME`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

DEVICE = ("from", "path", "access")  #: path on the machine, path in the container, access
VOLUME = "volume-"
#: Folders that a container fills itself.
OWN_FILES = ("/dev", "/proc", "/sys")
#: Names in /dev that a container has of its own.
OWN = ("pts", "shm", "fd", "mqueue", "console")


def complete(specification: Json, bundle: Path, root: Path) -> None:
    """Make the volumes' folders and the mounts' targets, and describe the devices.

    Raises OSError for a device that is absent.

    A volume has the mode of the folder of the image in `root` that it replaces, as in engines.
    """
    linux = specification.get("linux", {})
    owner = [one[0]["hostID"] for kind in ("uid", "gid") if (one := linux.get(f"{kind}Mappings"))]
    for mount in specification.get("mounts", ()):
        if mount["source"].startswith(VOLUME):
            volume, replaced = bundle / mount["source"], root / mount["destination"].lstrip("/")
            volume.mkdir()
            volume.chmod(stat.S_IMODE(replaced.stat().st_mode) if replaced.is_dir() else 0o755)
            if owner and os.geteuid() == 0:
                os.chown(volume, *owner)
    for mount in specification.get("mounts", ()):
        if not mount["destination"].startswith(OWN_FILES):
            _make_target(root, mount["destination"], bundle / mount["source"])
    _describe_devices(specification, linux)


def _make_target(root: Path, destination: str, source: Path) -> None:
    """Make the target of a mount: a mapped root may not, because the image's files belong to another user."""
    target = root / destination.lstrip("/")
    if target.exists() or not target.parent.resolve().is_relative_to(root.resolve()):
        return  # behind an absolute link of the image
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        target.touch()
    else:
        target.mkdir()


def _describe_devices(specification: Json, linux: Json) -> None:
    """Replace the devices asked for by descriptions, and allow them.

    In a user namespace, where no device can be made, they are bind mounts: runtimes would mount the file of the
    machine that has the device's path in the container.
    """
    asked = linux.pop("devices", ())
    found = [(described, one["access"]) for one in asked for described in described_at(Path(one["from"]), one["path"])]
    if found and linux.get("uidMappings"):
        binds = ({"destination": one["path"], "type": "bind", "source": one["from"]} for one in asked)
        specification["mounts"] += [bind | {"options": ["bind", "rprivate"]} for bind in binds]
    elif found:
        linux["devices"] = [described for described, _ in found]
    if "resources" in linux:
        linux["resources"]["devices"] += [
            {"allow": True, "access": access, **{name: described[name] for name in ("type", "major", "minor")}}
            for described, access in found
        ]


def described_at(source: Path, target: str) -> Iterator[Json]:
    """Yield the descriptions of a device, or of every device in a folder."""
    found = source.stat()
    if stat.S_ISDIR(found.st_mode):
        for inner in sorted(source.iterdir()):
            if inner.name not in OWN and not inner.is_symlink() and (inner.is_dir() or _is_device(inner.stat())):
                yield from described_at(inner, f"{target}/{inner.name}")
        return
    if not _is_device(found):
        raise OSError(19, "not a device", str(source))  # ENODEV
    yield {
        "path": target,
        "type": "b" if stat.S_ISBLK(found.st_mode) else "c",
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def _is_device(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
