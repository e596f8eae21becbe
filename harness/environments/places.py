"""The places of a request, named before any of them is prepared, so that a run can be split among machines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from worldswitch.harness.environments.kernels import fetch
from worldswitch.harness.environments.kernels.image import environment_of
from worldswitch.harness.environments.profiles import kernel_settings
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.protocol import EngineChoice


@dataclass(frozen=True, slots=True)
class Place:
    """One environment of a request, and the words that select it."""

    name: str  #: of the environment: `host`, `docker:hardened`, `linux-6.12:hardened`
    profile: str = ""  #: its name or file; empty without a container
    kernel: str = ""  #: its name or image; empty for the running kernel


def places(engine: EngineChoice, names: Sequence[str], kernels: Sequence[str]) -> list[Place]:
    """Return the places of `plan.plan` with these arguments, in its order; kernels vary slowest."""
    chosen = [] if engine == "host" else list(_profiles(names, own_kernel=not kernels))
    if not kernels:
        kind = "oci" if engine == "oci" else "docker"
        host = [Place("host")] if engine in ("auto", "host") else []
        return [*host, *(Place(f"{kind}:{name}", profile) for name, profile in chosen)]
    inside = [("", ""), *chosen] if engine in ("auto", "host") else chosen
    return [
        Place(":".join(filter(None, (environment_of(fetch.name_of(kernel)), name))), profile, kernel)
        for kernel in dict.fromkeys(kernels)
        for name, profile in inside
    ]


def narrowed(engine: EngineChoice, chosen: Collection[Place]) -> tuple[EngineChoice, tuple[str, ...], tuple[str, ...]]:
    """Return the engine, profiles and kernels that select at least these places, and as few others as possible."""
    whole = [place for place in chosen if not place.profile]  # the host, or the whole of a virtual machine
    named = _unique(place.profile for place in chosen)
    if not named:
        engine = "host"
    elif not whole and engine == "auto":
        engine = "docker"
    return engine, named, _unique(place.kernel for place in chosen)


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, words)))


def _profiles(names: Sequence[str], *, own_kernel: bool) -> Iterable[tuple[str, str]]:
    """Yield name and argument of each profile; `all` omits those that the running kernel cannot have."""
    every, shipped = profiles.ALL in names, profiles.available()
    files = {path.stem: path for path in profiles.files(names)}
    for profile in profiles.select(names):
        if not (every and own_kernel and kernel_settings.unavailable(profile)):
            file = files[profile.name]
            yield profile.name, profile.name if file == shipped.get(profile.name) else str(file)
