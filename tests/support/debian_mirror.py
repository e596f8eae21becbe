"""A Debian mirror in a folder, signed with a key of its own."""

from __future__ import annotations

import hashlib
import subprocess
import time
from email.utils import formatdate
from pathlib import Path

TOOLS = ("apt-get", "dpkg-deb", "gpg", "gpgv")


class Debian:
    """A mirror of two suites in a folder, signed with its own key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "gnupg"
        self.home.mkdir(mode=0o700)
        self.ring = folder / "ring.gpg"
        key = ("--quick-generate-key", "nobody", "ed25519", "sign", "never")
        self._gpg("--pinentry-mode", "loopback", "--passphrase", "", *key)
        self._gpg("--export", "--output", str(self.ring))

    def has(self, suite: str, *wanted: tuple[str, str], valid: float = 3600) -> None:
        """Make a suite with these packages (name, version) that is valid for some seconds."""
        index = "".join(self._package(name, version) for name, version in wanted)
        place = self.folder / "dists" / suite / "main" / "binary-amd64"
        place.mkdir(parents=True, exist_ok=True)
        (place / "Packages").write_text(index)
        digest = hashlib.sha256(index.encode()).hexdigest()
        (place.parents[1] / "Release").write_text(
            f"Suite: {suite}\nCodename: {suite}\nDate: {_date(-86400)}\nValid-Until: {_date(valid)}\n"
            f"Architectures: amd64\nComponents: main\n"
            f"SHA256:\n {digest} {len(index)} main/binary-amd64/Packages\n"
        )
        self.sign(suite)

    def sign(self, suite: str) -> None:
        """Sign a suite's index."""
        folder = self.folder / "dists" / suite
        self._gpg("--clearsign", "--output", str(folder / "InRelease"), str(folder / "Release"))

    def close(self) -> None:
        """End the agent that gpg leaves."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)

    def _package(self, name: str, version: str) -> str:
        tree = self.folder / "tree" / name
        (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
        (tree / "boot").mkdir(exist_ok=True)
        (tree / "boot" / "what").write_text(f"{name} {version}")
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody\nDescription: a test\n"
        (tree / "DEBIAN" / "control").write_text(control)
        (tree / "DEBIAN" / "postinst").write_text(f"#!/bin/sh\ntouch {self.folder}/installed\n")
        (tree / "DEBIAN" / "postinst").chmod(0o755)
        place = f"pool/{name}_{version}_amd64.deb"
        (self.folder / "pool").mkdir(exist_ok=True)
        subprocess.run(["dpkg-deb", "-Znone", "--build", tree, self.folder / place], check=True, capture_output=True)
        data = (self.folder / place).read_bytes()
        return f"{control}Filename: {place}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"

    def _gpg(self, *words: str) -> None:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--quiet", *words]
        subprocess.run(command, check=True, capture_output=True)


def _date(after: float) -> str:
    return formatdate(time.time() + after, usegmt=True).replace("GMT", "UTC")
