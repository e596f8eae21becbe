"""Where this machine's apt gets packages from, with which keys, proxies and certificates."""

from __future__ import annotations

import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from debian.deb822 import Deb822

from worldswitch.harness.errors import Unobtainable

KEYRING = re.compile(r"/[^\s\],]+")  #: where a source's key is a file; a key may also stand in the entry itself


@dataclass(frozen=True, slots=True)
class Source:
    """One package source of this machine that has its release's main packages."""

    uri: str
    suite: str
    signed_by: str  #: a keyring's path, or empty for apt's trusted keys

    @property
    def line(self) -> str:
        """The source as sources.list spells it."""
        option = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {option}{self.uri} {self.suite} main"


def sources() -> list[Source]:
    """Return where this machine gets its own release's packages from, as apt understands its configuration."""
    try:
        codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        wanted = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SOURCESENTRY)"
        targets = _output("apt-get", "indextargets", "--format", wanted, "Created-By: Packages")
    except (OSError, subprocess.SubprocessError) as problem:
        raise Unobtainable(
            f"no registry has the base image, and there is no apt to make one with ({problem})",
            "give the engine access to a registry, or name a base image it has in WORLDSWITCH_BASE_IMAGE",
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
            "run apt-get update, or name a base image the engine has in WORLDSWITCH_BASE_IMAGE",
        )
    return list(dict.fromkeys(found))


def keyring(file: Path, uri: str) -> str:
    """Return the keyring that a sources file names for an address, if it names one by path."""
    text = file.read_text() if file.exists() else ""
    if file.suffix == ".sources":
        paragraphs = Deb822.iter_paragraphs(text, use_apt_pkg=False)
        entries = [(one.get("URIs", ""), one.get("Signed-By", "")) for one in paragraphs]
    else:
        entries = [(line, line.partition("signed-by=")[2]) for line in text.splitlines()]
    found = (KEYRING.match(keys) for uris, keys in entries if uri.rstrip("/") in re.split(r"/?(?:\s+|$)", uris))
    return next((path[0] for path in found if path), "")


def network_settings() -> list[str]:
    """Return apt's own proxies and certificates, which a fresh apt would not know of."""
    lines = _output("apt-config", "dump", "Acquire").splitlines()
    return [line for line in lines if any(word in line for word in ("::Proxy", "::CaInfo")) and '""' not in line]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
