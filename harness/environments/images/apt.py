"""The configuration of this machine's apt: sources, keys, proxies and certificates."""

from __future__ import annotations

import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from debian.deb822 import Deb822

from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.linux import regular_file

KEYRING = re.compile(r"/[^\s\],]+")  #: a key given as a file; an entry may also contain the key itself


@dataclass(frozen=True, slots=True)
class Source:
    """A package source with the main component of this machine's release."""

    uri: str
    suite: str
    signed_by: str  #: a keyring's path, or empty for apt's trusted keys

    @property
    def line(self) -> str:
        """The source as a line of sources.list."""
        option = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {option}{self.uri} {self.suite} main"


def sources() -> list[Source]:
    """Return the sources of this machine's release, as apt reads its configuration.  Raises `Unobtainable`."""
    try:
        codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        wanted = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SOURCESENTRY)"
        targets = _output("apt-get", "indextargets", "--format", wanted, "Created-By: Packages")
    except (OSError, subprocess.SubprocessError) as problem:
        raise Unobtainable(
            f"no registry has the base image, and apt, which could make one, failed ({problem})",
            "give the engine access to a registry, or set WORLDSWITCH_BASE_IMAGE to an image that it has",
        ) from problem
    rows = [line.split("|") for line in targets.splitlines() if line.count("|") == 3]
    found = [
        Source(uri, suite, keyring(Path(entry.rpartition(":")[0]), uri))
        for uri, suite, component, entry in rows
        if (suite, component) == (codename, "main")
    ]
    if not found:
        raise Unobtainable(
            f"no registry has the base image, and apt's sources name no main component of {codename or 'a release'}",
            "run apt-get update, or set WORLDSWITCH_BASE_IMAGE to an image that the engine has",
        )
    return list(dict.fromkeys(found))


def keyring(file: Path, uri: str) -> str:
    """Return the path of the keyring that a sources file names for an address; empty if it names none."""
    text = regular_file.read(file).decode(errors="replace") if file.exists() else ""
    if file.suffix == ".sources":
        paragraphs = Deb822.iter_paragraphs(text, use_apt_pkg=False)
        entries = [(one.get("URIs", ""), one.get("Signed-By", "")) for one in paragraphs]
    else:
        entries = [(line, line.partition("signed-by=")[2]) for line in text.splitlines()]
    found = (KEYRING.match(keys) for uris, keys in entries if uri.rstrip("/") in re.split(r"/?(?:\s+|$)", uris))
    return next((path[0] for path in found if path), "")


def network_settings() -> list[str]:
    """Return the lines of apt's configuration with proxies and certificates, for a private apt."""
    lines = _output("apt-config", "dump", "Acquire").splitlines()
    return [line for line in lines if any(word in line for word in ("::Proxy", "::CaInfo")) and '""' not in line]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
