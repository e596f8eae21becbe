"""Install container engines by apt without starting their services."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldswitch.harness.environments import distribution, guardian
from worldswitch.harness.errors import Unobtainable

INSTALL_SECONDS = 300.0
POLICY = Path("/usr/sbin/policy-rc.d")
#: Forbids the start of services while the installing process lives, so a leftover file is harmless.
POLICY_TEXT = "#!/bin/sh\nkill -0 {pid} 2>/dev/null && exit 101\nexit 0\n"


def install_engine(package: str) -> None:
    """Install an engine's package without starting its service.  Raises `Unobtainable`."""
    if os.getuid() != 0 or not shutil.which("apt-get"):
        raise Unobtainable(
            "--install-engine needs root and a system with apt-get",
            f"as root: {distribution.install(package)}",
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    install = [*apt, "install", "--no-install-recommends", package]
    with services_disabled():
        try:
            guardian.run(install, INSTALL_SECONDS, env=environment)
        except subprocess.SubprocessError:
            # The usual cause: the package lists are missing or old.
            _apt([*apt, "update"], environment)
            _apt(install, environment)


def _apt(command: list[str], environment: dict[str, str]) -> None:
    try:
        guardian.run(command, INSTALL_SECONDS, env=environment)
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"`{' '.join(command)}` failed: {guardian.error_lines(problem)}",
            "repair the package system, then run again",
        ) from problem


@contextmanager
def services_disabled() -> Iterator[None]:
    """Stop Debian's maintainer scripts from starting services; an existing policy is left in place."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text(POLICY_TEXT.format(pid=os.getpid()))
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
