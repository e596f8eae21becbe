"""Fetch kernels by name from the cache, the mirror or a file, optionally in the background.

6.12               the newest version of this entry of the list
6.12.94+deb13      exactly this version of it
path/to/bzImage    a file
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worldswitch.harness.environments.cache import cache, working_folder
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.images.deb_packages import Package
from worldswitch.harness.environments.kernels import image as kernel
from worldswitch.harness.environments.kernels import known
from worldswitch.harness.environments.kernels.image import KernelImage
from worldswitch.harness.environments.kernels.known import VERSION, Entry
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.nearest import hint


def is_file(name: str) -> bool:
    """True if a kernel is named by the path of its image."""
    return "/" in name


def argument_for(name: str, words: Iterable[str]) -> str:
    """Return the argument among `words` that selects the kernel called `name`: the path, if it is a file's kernel."""
    return next((word for word in words if is_file(word) and _name_in(word) == name), name)


def name_of(word: str) -> str:
    """Return the kernel's name in results: that of the list, or the release of an image.  Raises `Unobtainable`."""
    return kernel.from_file(Path(word)).name if is_file(word) else word


def _name_in(file: str) -> str:
    try:
        return name_of(file)
    except Unobtainable:  # the file is gone
        return ""


def entry_of(name: str) -> Entry:
    """Return the entry of the list that a kernel's name selects.  Raises `Unobtainable`."""
    entries = known.load()
    for entry in entries:
        version = name.removeprefix(entry.name)
        if name == entry.name or (version != name and _VERSION.fullmatch(version)):
            return entry
    names = [entry.name for entry in entries]
    raise Unobtainable(
        f"no kernel is called {name}{hint(name, names)}; the list has {', '.join(names)}",
        "choose one of them, a version of one (6.12.94+deb13), or the path of a bzImage (./bzImage)",
    )


_VERSION = re.compile(r"\.\d[\w.+~-]*")  #: what follows the name of an entry in the name of a version


def obtain(name: str, say: Say) -> KernelImage:
    """Return the kernel called `name`.  Raises `Unobtainable`."""
    if is_file(name):
        return kernel.from_file(Path(name))
    entry = entry_of(name)
    pattern = entry.pattern if name == entry.name else entry.package.replace(VERSION, name)
    return unpacked(deb_packages.fetch(pattern, entry.suites, say), entry, name)


def unpacked(package: Package, entry: Entry, name: str) -> KernelImage:
    """Return the kernel in a package, unpacked once.  Raises `Unobtainable`."""
    about = f"{package.name} {package.version} from {package.suite}, sha256 {package.sha256}"
    image = cache("kernels") / f"{package.sha256}.vmlinuz"
    if not image.exists():
        with working_folder(image.parent) as work:
            deb_packages.unpack(package.path, work)
            shutil.move(_image_in(work, package, entry), work / "image")
            (work / "image").rename(image)
    return kernel.from_file(image, name, about)


def _image_in(tree: Path, package: Package, entry: Entry) -> Path:
    found = list(tree.glob(entry.layout))
    if len(found) == 1:
        return found[0]
    has = ", ".join(str(path.relative_to(tree)) for path in tree.rglob("vmlinu*")) or "no image"
    raise Unobtainable(
        f"{package.name} {package.version} has {len(found)} files {entry.layout}, expected 1; its images: {has}",
        f"the layout of Debian's packages changed: correct `layout` of {entry.name} in kernels.toml",
    )


@dataclass(frozen=True, slots=True)
class UnavailableKernel:
    """A kernel that is unavailable, and why."""

    name: str
    problem: Unobtainable


class KernelFetcher:
    """Fetches kernels in the background, in the given order."""

    def __init__(self, names: Iterable[str], say: Say) -> None:
        """Start fetching these kernels."""
        self._say = say
        self._coming: dict[str, Future[KernelImage]] = {}
        for word in dict.fromkeys(names):
            self._add(word)
        # A daemon thread: an unneeded download ends with this process.
        threading.Thread(target=self._fetch, daemon=True).start()

    @property
    def names(self) -> tuple[str, ...]:
        """The kernels' names; a file's kernel is named by its release."""
        return tuple(self._coming)

    def get(self, name: str) -> KernelImage:
        """Wait for the kernel called `name`.  Raises `Unobtainable`.

        The wait is bounded by the timeouts of the fetch (index, download, unpacking); `close` ends it.
        """
        return self._coming[name].result()

    def all(self) -> list[KernelImage | UnavailableKernel]:
        """Wait for all kernels; an unavailable one is returned as such."""
        return [self._one(name) for name in self._coming]

    def close(self) -> None:
        """Cancel what is pending."""
        for name, coming in self._coming.items():
            with suppress(InvalidStateError):
                coming.set_exception(Unobtainable(f"the fetch of the kernel {name} was cancelled", "run again"))

    def __enter__(self) -> KernelFetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, word: str) -> None:
        """Add a pending kernel; a file's kernel is read at once."""
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
            coming.set_exception(Unobtainable(f"two kernels have the name {name}", "run them one at a time"))
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
