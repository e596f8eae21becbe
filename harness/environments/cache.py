"""The cache folder, shared by all runs of this user, and its id, a label on its containers in shared engines."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import regular_file

LABEL = "worldswitch.run"  #: label of every container: the id of its run
SETTLED_SECONDS = 60.0  #: the age from which an unlocked working folder has no process
PLACE_LABEL = "worldswitch.place"  #: label of every container: the id of the cache that knows the run


def cache(*parts: str) -> Path:
    """Return a folder below the cache, created if missing.  Raises `Unobtainable`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    except RuntimeError as problem:  # neither HOME nor an entry in /etc/passwd
        raise Unobtainable(
            f"user {os.getuid()} has no home for the cache folder", "set HOME or XDG_CACHE_HOME"
        ) from problem
    folder = root.joinpath("worldswitch", *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Unobtainable(
            f"the cache folder {folder} cannot be created: {problem.strerror}",
            "set XDG_CACHE_HOME to a writable folder",
        ) from problem
    return folder


def place() -> str:
    """Return the id of this cache, drawn at random on first use."""
    file = cache() / "place"
    if not file.exists():
        with tempfile.NamedTemporaryFile("w", dir=file.parent) as drawn, suppress(FileExistsError):
            drawn.write(uuid.uuid4().hex)
            drawn.flush()
            os.link(drawn.name, file)  # atomic: of two concurrent runs the first wins
    return regular_file.read(file).decode(errors="replace")


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """Make a hidden folder in a folder of the cache, removed at the end; first remove those that were left behind."""
    remove_left_folders(parent)
    made = Path(tempfile.mkdtemp(prefix=".", dir=parent))
    lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield made
    finally:
        os.close(lock)
        shutil.rmtree(made, ignore_errors=True)


def remove_left_folders(parent: Path) -> None:
    """Remove the working folders of processes that were killed: the kernel has released their locks."""
    for folder in parent.glob(".*"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _remove_if_left(folder, lock)
            finally:
                os.close(lock)


def _remove_if_left(folder: Path, lock: int) -> None:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if time.time() - os.fstat(lock).st_ctime > SETTLED_SECONDS:  # a younger one may be about to be locked
        shutil.rmtree(folder, ignore_errors=True)
