"""Kernels by name: from the cache, from the mirror, or from a file; each fetched once, in the background if one likes.

6.12               the newest that there is of this entry of the list
6.12.94+deb13      exactly this version of it
path/to/bzImage    one's own
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.images.apt_mirror import Say
from worldswitch.harness.environments.images.deb_packages import Package
from worldswitch.harness.environments.kernels import image as kernel
from worldswitch.harness.environments.kernels import known
from worldswitch.harness.environments.kernels.image import KernelImage
from worldswitch.harness.environments.kernels.known import VERSION, Entry
from worldswitch.harness.errors import Unobtainable


def is_file(name: str) -> bool:
    """Whether somebody names a kernel by its image: by a path, that is."""
    return "/" in name


def argument_for(name: str, words: Iterable[str]) -> str:
    """The word among these by which one asks for the kernel called `name`: a file's path, if it is in a file."""
    return next((word for word in words if is_file(word) and _name_in(word) == name), name)


def _name_in(file: str) -> str:
    try:
        return kernel.from_file(Path(file)).name
    except Unobtainable:  # gone since
        return ""


def entry_of(name: str) -> Entry:
    """The entry of the list that a kernel's name means; `Unobtainable` if there is none."""
    entries = known.load()
    for entry in entries:
        if name == entry.name or name.startswith(f"{entry.name}."):
            return entry
    raise Unobtainable(
        f"no kernel is called {name}: there are {', '.join(entry.name for entry in entries)}",
        "name one of them, a version of one (6.12.94+deb13), or a path to a bzImage (./bzImage)",
    )


def obtain(name: str, say: Say) -> KernelImage:
    """The kernel called `name`; raises `Unobtainable`."""
    if is_file(name):
        return kernel.from_file(Path(name))
    entry = entry_of(name)
    pattern = entry.pattern if name == entry.name else entry.package.replace(VERSION, name)
    return unpacked(deb_packages.fetch(pattern, entry.suites, say), entry, name)


def unpacked(package: Package, entry: Entry, name: str) -> KernelImage:
    """The kernel in a package, unpacked once."""
    about = f"{package.name} {package.version} from {package.suite}, sha256 {package.sha256}"
    image = cache("kernels") / f"{package.sha256}.vmlinuz"
    if not image.exists():
        with tempfile.TemporaryDirectory(prefix=".", dir=image.parent) as work:
            deb_packages.unpack(package, Path(work))
            shutil.move(_image_in(Path(work), package, entry), Path(work, "image"))
            Path(work, "image").rename(image)
    return kernel.from_file(image, name, about)


def _image_in(tree: Path, package: Package, entry: Entry) -> Path:
    found = list(tree.glob(entry.layout))
    if len(found) == 1:
        return found[0]
    has = ", ".join(str(path.relative_to(tree)) for path in tree.rglob("vmlinu*")) or "nothing like an image"
    raise Unobtainable(
        f"{package.name} {package.version} has {len(found)} files {entry.layout}, and one is wanted; it has {has}",
        f"Debian's packages have changed once more: correct `layout` of {entry.name} in kernels.toml",
    )


@dataclass(frozen=True, slots=True)
class UnavailableKernel:
    """A kernel that cannot be had, and why."""

    name: str
    problem: Unobtainable


class KernelFetcher:
    """Kernels that are on their way: all are fetched behind one's back, in the order of their names as given."""

    def __init__(self, names: Iterable[str], say: Say) -> None:
        """Begin to fetch these."""
        self._say = say
        self._coming: dict[str, Future[KernelImage]] = {}
        for word in dict.fromkeys(names):
            self._add(word)
        # No thread that one would wait for at the end: a download that nobody wants any more ends with this process.
        threading.Thread(target=self._fetch, daemon=True).start()

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called: a file's kernel by its release."""
        return tuple(self._coming)

    def get(self, name: str) -> KernelImage:
        """The kernel called so, as soon as it is there; raises `Unobtainable`.

        The wait has the deadlines of the fetch: for an index, for a download, for unpacking; `close` ends it.
        """
        return self._coming[name].result()

    def all(self) -> list[KernelImage | UnavailableKernel]:
        """Every one of them, or why not."""
        return [self._one(name) for name in self._coming]

    def close(self) -> None:
        """Nobody waits any more."""
        for name, coming in self._coming.items():
            with suppress(InvalidStateError):
                coming.set_exception(Unobtainable(f"the kernel {name} is not waited for any more", "run again"))

    def __enter__(self) -> KernelFetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, word: str) -> None:
        """Have it on its way; a file is here already."""
        coming: Future[KernelImage] = Future()
        name = word
        if is_file(word):
            try:
                found = kernel.from_file(Path(word))
                name = found.name
                coming.set_result(found)
            except Unobtainable as problem:
                name = Path(word).name
                coming.set_exception(problem)
        if name in self._coming:
            coming, name = Future(), f"{name} in {word.replace('/', '-')}"
            coming.set_exception(Unobtainable(f"there are two kernels of the name {name}", "run them one by one"))
        self._coming[name] = coming

    def _fetch(self) -> None:
        for name, coming in self._coming.items():
            if coming.done():
                continue
            with suppress(InvalidStateError):
                try:
                    coming.set_result(obtain(name, self._say))
                except Exception as problem:  # raised again by the thread that waits
                    coming.set_exception(problem)

    def _one(self, name: str) -> KernelImage | UnavailableKernel:
        try:
            return self.get(name)
        except Unobtainable as problem:
            return UnavailableKernel(name, problem)
