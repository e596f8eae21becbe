"""The peers: each a function that finds it, or says why there is none."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.peers import peer
from worldswitch.harness.peers.peer import SUITES, Found, Kit, Ready

Obtain = Callable[[Kit], Iterator[Ready]]

REFERENCE = "reference"

#: What the reference's little Linux serves.
SERVED = frozenset(("getpid", "clock", "compute", "files"))
NO_PROCESSES = "one process is all that its little Linux has"


def reference(kit: Kit) -> Iterator[Ready]:
    """The platform of this package, with vector registers left in place."""
    yield _reference(REFERENCE, "--resident")


def reference_default(kit: Kit) -> Iterator[Ready]:
    """The same, with vector registers fetched at each switch."""
    yield _reference("reference-default")


def native(kit: Kit) -> Iterator[Ready]:
    """Nobody stands between the program and the kernel."""
    yield Ready("native", "", lambda path, rounds: [str(path), str(rounds)])


def strace(kit: Kit) -> Iterator[Ready]:
    """A tracer that stops a program twice for each system call."""
    found = peer.find(kit, "strace", "strace", "libunwind8", "liblzma5")
    yield _simple("strace", found, "-f", "-o", "/dev/null")


def proot(kit: Kit) -> Iterator[Ready]:
    """A tracer that changes paths; with a filter that stops few calls, which getpid is not of."""
    found = peer.find(kit, "proot", "proot", "libtalloc2", "libarchive13*")
    yield _simple("proot", found)


def python_ptrace(kit: Kit) -> Iterator[Ready]:
    """A tracer in Python, without a C core."""
    script = shutil.which("strace.py", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
    if not script or importlib.util.find_spec("ptrace") is None:
        raise Unobtainable("python-ptrace is not installed", "python3 -m pip install python-ptrace")
    command = [sys.executable, script, "--output=/dev/null"]
    yield Ready("python-ptrace", "", lambda path, rounds: [*command, str(path), str(rounds)])


def runsc(kit: Kit) -> Iterator[Ready]:
    """gVisor: the installed one, and each version that the distribution has; on each of its platforms."""
    for found in _runscs(kit):
        year = next((word[:4] for word in _digits(found.source) if len(word) >= 8), "")
        for platform in ("ptrace", "systrap", "kvm"):
            yield _runsc(f"runsc-{platform}{'-' if year else ''}{year}", found, platform)


def user_mode_linux(kit: Kit) -> Iterator[Ready]:
    """A Linux kernel as a process, whose own processes are traced."""
    found = peer.find(kit, "linux.uml", "user-mode-linux")
    root = kit.folder / "uml"
    root.mkdir(exist_ok=True)
    shutil.copy(peer.program("init"), root / "init")

    def command(path: Path, rounds: int) -> list[str]:
        shutil.copy(path, root / path.name)
        options = ("rootfstype=hostfs", f"rootflags={root}", "rw", "init=/init", "mem=128M", "quiet")
        return [str(found.path), *options, "con=null", "con0=null,fd:1", "--", f"/{path.name}", str(rounds)]

    yield Ready("user-mode-linux", found.source, command, {**found.environment, "TMPDIR": str(kit.folder)})


#: In the order in which they are shown.
PEERS: tuple[Obtain, ...] = (native, reference_default, runsc, user_mode_linux, proot, strace, python_ptrace)


def _reference(name: str, *options: str) -> Ready:
    command = [sys.executable, "-P", "-m", "worldswitch.harness.guest_kernel", *options]
    return Ready(name, "", lambda path, rounds: [*command, str(path), str(rounds)], {}, SERVED, NO_PROCESSES)


def _simple(name: str, found: Found, *options: str) -> Ready:
    command = [str(found.path), *options]
    return Ready(name, found.source, lambda path, rounds: [*command, str(path), str(rounds)], found.environment)


def _runscs(kit: Kit) -> Iterator[Found]:
    if path := shutil.which("runsc"):
        yield Found(Path(path), "installed")
    if not kit.fetch:
        if not path:
            raise Unobtainable("runsc is not installed", "run again with --fetch-peers, or: apt-get install runsc")
        return
    known: set[str] = set()
    for suite in SUITES:
        for offer in deb_packages.offers("runsc", [suite], kit.say)[:1]:
            upstream = offer.version.rpartition("-")[0]  # a version that several suites have was built anew in each
            if upstream not in known:
                known.add(upstream)
                yield peer.unpacked(kit, "runsc", deb_packages.download(offer, kit.say))
    if not known and not path:
        raise Unobtainable("no suite of the mirror has runsc", "install it as gVisor's own documentation says")


def _runsc(name: str, found: Found, platform: str) -> Ready:
    options = (f"--platform={platform}", "--network=none", "--ignore-cgroups", "do")
    return Ready(name, found.source, lambda path, rounds: [str(found.path), *options, str(path), str(rounds)])


def _digits(text: str) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in text).split()
