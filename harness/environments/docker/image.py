"""The image of the cells: built once for each state of the package and cached.

Its name is a digest of its inputs, so an existing name is the right image.  A private engine starts empty; the built
image is saved as a file for the next one.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from docker.errors import ImageNotFound

from worldswitch.harness.environments import installation
from worldswitch.harness.environments.cache import LABEL, PLACE_LABEL, cache, place
from worldswitch.harness.environments.docker.bounded import (
    CALL_SECONDS,
    ERRORS,
    LONG_SECONDS,
    BadAnswer,
    BoundedClient,
    BoundedDocker,
    brief,
    limited,
    remove,
    within,
)
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.images import containerfile, rootfs, site_packages
from worldswitch.harness.environments.images.apt import Source, sources
from worldswitch.harness.environments.images.containerfile import REPOSITORY
from worldswitch.harness.environments.images.site_packages import ImageTarget, dotted
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable

REGISTRY_SECONDS = 10  #: for a registry to answer whether it has an image
KEPT = 3  #: saved images


@dataclass(frozen=True, slots=True)
class Base:
    """A base that the image can be built on, and how to get it into the engine."""

    name: str  #: its name in the engine
    image: str  #: the name of the image built on it, computed first: sources may change during a build
    fetch: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Image:
    """An image with the suite in it."""

    name: str
    id: str
    base: str


def obtain(engine: Engine, run: RunResources, say: Say) -> Image:
    """Find, load or build the image.  Raises `Unobtainable`."""
    try:
        for base in (bases := list(_bases(engine, run, say))):
            if found := _existing(engine, base):
                return found
        return _build_on_first(engine, bases, run, say)
    except ERRORS as problem:
        raise Unobtainable(
            f"the engine could not build the image: {_cause(problem)}",
            "read the engine's log, then run again, or name another engine by DOCKER_HOST",
        ) from problem


def _cause(problem: BaseException) -> str:
    lines = [str(problem), *(str(entry.get("stream", "")) for entry in getattr(problem, "build_log", ()))]
    return brief(" / ".join(line.strip() for line in lines[-4:] if line.strip()))


# ------------------------------------------------------------------------------------------------------------ bases


def _bases(engine: Engine, run: RunResources, say: Say) -> Iterator[Base]:
    """Yield the possible bases in order of preference."""
    given = os.environ.get("WORLDSWITCH_BASE_IMAGE")
    name = given or containerfile.read(containerfile.containerfile()).base
    yield Base(name, _image_name(name), lambda: _pull(engine, name, say))
    if not given:
        where = sources()
        made = f"{REPOSITORY}-base:{rootfs.key(where)}"
        yield Base(made, _image_name(made), lambda: _import(engine, made, where, run, say))


def _pull(engine: Engine, name: str, say: Say) -> None:
    try:
        engine.client.images.get(name)
        return
    except ImageNotFound:
        pass
    try:
        with BoundedClient(engine.url, REGISTRY_SECONDS) as client:
            client.inspect_distribution(name)  # type: ignore[no-untyped-call]  # the stubs lack it
        say(f"pulling {name}")
        within(LONG_SECONDS, lambda: engine.client.images.pull(name))
    except ERRORS as problem:
        raise Unobtainable(
            f"the engine could not pull {name}: {brief(problem)}",
            "give the engine access to a registry, or set WORLDSWITCH_BASE_IMAGE to an image that it has",
        ) from problem


def _import(engine: Engine, name: str, where: list[Source], run: RunResources, say: Say) -> None:
    repository, tag = name.split(":")
    tar = rootfs.obtain(where, run, say)
    with tar.open("rb") as content, BoundedClient(engine.url, LONG_SECONDS) as client:
        client.import_image_from_data(content, repository=repository, tag=tag)


def _inspect(engine: Engine, base: Base, run: RunResources) -> ImageTarget:
    container = engine.client.containers.run(
        base.name,
        ["python3", "-c", site_packages.QUESTIONS],
        labels={LABEL: run.id, PLACE_LABEL: place()},
        cgroup_parent=engine.cgroup_parent,
        network_mode="none",
        detach=True,
    )
    try:
        container.wait(timeout=CALL_SECONDS)
        return site_packages.target(container.logs(stderr=False), base.name)
    finally:
        remove(engine.url, str(container.id))


# ----------------------------------------------------------------------------------------------------- the image


def _image_name(base: str) -> str:
    return f"{REPOSITORY}:{containerfile.contents(base)}"


def _file(name: str) -> Path:
    return cache("image") / f"{name.partition(':')[2]}.tar"


def _existing(engine: Engine, base: Base) -> Image | None:
    name, file = base.image, _file(base.image)
    try:
        return Image(name, str(engine.client.images.get(name).id), base.name)
    except ImageNotFound:
        if not file.exists():
            return None
    with file.open("rb") as content, closing(BoundedDocker(engine.url, LONG_SECONDS)) as client:
        client.images.load(content)
    file.touch()
    return Image(name, str(engine.client.images.get(name).id), base.name)


def _build_on_first(engine: Engine, bases: list[Base], run: RunResources, say: Say) -> Image:
    """Build on the first base that can be fetched; if none can, raises the error of the last."""
    for number, base in enumerate(bases, 1):
        try:
            base.fetch()
        except Unobtainable:
            if number == len(bases):
                raise
            continue
        return _build(engine, base, run, say)
    raise AssertionError("there is always a base")


def _build(engine: Engine, base: Base, run: RunResources, say: Say) -> Image:
    target = _inspect(engine, base, run)
    say(f"building the image on {base.name}: Python {dotted(target.python)}, glibc {dotted(target.glibc)}")
    context = run.scratch()
    shutil.move(_site(engine, target, run, say), context / "site")
    (context / "Containerfile").write_text(containerfile.containerfile())
    name = base.image
    _run_build(engine, context, name, network="none", BASE_IMAGE=base.name)
    if engine.private:
        _keep(engine, name, run)
    return Image(name, str(engine.client.images.get(name).id), base.name)


def _run_build(engine: Engine, context: Path, name: str, *, network: str | None, **arguments: str) -> None:
    with _tar(context) as content, closing(BoundedDocker(engine.url, LONG_SECONDS)) as client:
        build = partial(
            client.images.build,
            fileobj=content,
            custom_context=True,
            dockerfile="Containerfile",
            tag=name,
            buildargs=arguments,
            network_mode=network,
            labels={PLACE_LABEL: place()},
            rm=True,
            forcerm=True,
        )
        within(LONG_SECONDS, build)


def _tar(context: Path) -> io.BufferedReader:
    """Return a reproducible build context: owners and modes do not depend on this user."""
    file = context / "context.tar"
    with tarfile.open(file, "w") as tar:
        for path in (context / "Containerfile", *(entry for entry in context.iterdir() if entry.is_dir())):
            tar.add(path, path.name, filter=_plain)
    return file.open("rb")


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _keep(engine: Engine, name: str, run: RunResources) -> None:
    """Save the image for the next private engine and delete all but the newest saved ones."""
    fresh = run.scratch() / "image.tar"
    with fresh.open("wb") as output:
        for chunk in engine.client.images.get(name).save(named=True):
            output.write(chunk)
    fresh.rename(_file(name))
    files = sorted(cache("image").glob("*.tar"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in files[KEPT:]:
        old.unlink(missing_ok=True)


# --------------------------------------------------------------------------------------------------------- contents


def _site(engine: Engine, target: ImageTarget, run: RunResources, say: Say) -> Path:
    """Return the site folder, built here, or in a container if this machine's glibc is newer than the image's."""
    root = installation.checkout()
    site = site_packages.assemble(run, target, site_packages.wheel(run, root) if root else None)
    needed = site_packages.highest_glibc(site)
    if needed <= target.glibc:
        return site
    if not root:
        raise Unobtainable(
            f"the installed package needs glibc {dotted(needed)}, the image has {dotted(target.glibc)}",
            "run from a checkout, or set WORLDSWITCH_BASE_IMAGE to a newer image",
        )
    return site_packages.assemble(run, target, _wheel_from_builder(engine, target, root, run, say))


def _wheel_from_builder(engine: Engine, target: ImageTarget, root: Path, run: RunResources, say: Say) -> Path:
    """Build the wheel in a container with the image's Python."""
    builder = f"python:{dotted(target.python)}"
    say(f"building the wheel in {builder}: this machine's glibc is too new for the image")
    _pull(engine, builder, say)
    context = run.scratch()
    site_packages.copy_source(root, context / "source")
    (context / "Containerfile").write_text(containerfile.containerfile("Containerfile.builder"))
    name = f"{REPOSITORY}-builder:{site_packages.key()}"
    _run_build(engine, context, name, network=None, BUILDER_IMAGE=builder)
    container = engine.client.containers.create(name, labels={LABEL: run.id, PLACE_LABEL: place()})
    chunks, _ = container.get_archive("/wheel")
    archive = io.BytesIO(b"".join(limited(chunks)))
    remove(engine.url, str(container.id))
    return _wheel_in(archive, run.scratch())


def _wheel_in(archive: io.BytesIO, folder: Path) -> Path:
    """Write the wheel of an archive into `folder`; returns it.  Raises one of `ERRORS`."""
    try:
        with tarfile.open(fileobj=archive) as tar:
            for entry in filter(tarfile.TarInfo.isfile, tar):
                if entry.name.endswith(".whl") and (content := tar.extractfile(entry)):
                    made = folder / Path(entry.name).name
                    made.write_bytes(content.read())
                    return made
    except tarfile.TarError as problem:
        raise BadAnswer(f"the engine's archive of the wheel cannot be read: {problem}") from problem
    raise BadAnswer("the engine's archive has no wheel")
