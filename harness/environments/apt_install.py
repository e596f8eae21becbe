"""Container engines installed by apt, without starting their services."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worldswitch.harness.environments import guardian
from worldswitch.harness.errors import Unobtainable

INSTALL_SECONDS = 300.0


PACKAGES = ("docker.io", "mmdebstrap")  #: what --install-engine brings; the second makes root file systems


POLICY = Path("/usr/sbin/policy-rc.d")


#: Forbids the start of services for as long as the installing process lives, so one left behind does no harm.
POLICY_TEXT = "#!/bin/sh\nkill -0 {pid} 2>/dev/null && exit 101\nexit 0\n"


def install_engine(packages: Sequence[str] = PACKAGES) -> None:
    """Install an engine's packages without having its service started."""
    if os.getuid() != 0 or not shutil.which("apt-get"):
        raise Unobtainable(
            "--install-engine takes root and a system with apt-get",
            "install a Docker engine with your system's own tools",
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    install = [*apt, "install", "--no-install-recommends", *packages]
    with services_disabled():
        try:
            guardian.run(install, INSTALL_SECONDS, env=environment)
        except subprocess.SubprocessError:
            # Most often the package lists are missing or old.
            _apt([*apt, "update"], environment)
            _apt(install, environment)


def _apt(command: list[str], environment: dict[str, str]) -> None:
    try:
        guardian.run(command, INSTALL_SECONDS, env=environment)
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"`{' '.join(command)}` failed: {guardian.error_lines(problem)}", "mend the package system, then run again"
        ) from problem


@contextmanager
def services_disabled() -> Iterator[None]:
    """Have Debian's maintainer scripts start nothing; a policy that is there already is its owner's decision."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text(POLICY_TEXT.format(pid=os.getpid()))
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
