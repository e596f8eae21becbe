"""The peers: one function each, which yields the peer's variants or raises `Unobtainable`."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from worldswitch.harness.environments import installation
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.peers import peer
from worldswitch.harness.peers.peer import SUITES, FoundProgram, Kit, Peer

Obtain = Callable[[Kit], Iterator[Peer]]

REFERENCE = "reference"

#: The programs that the reference's guest kernel can run.
SERVED = frozenset(("getpid", "clock", "compute", "files"))
NO_PROCESSES = "the reference's guest kernel has only one process"


def reference(kit: Kit) -> Iterator[Peer]:
    """The reference platform with resident vector registers."""
    yield _reference(REFERENCE, "--resident")


def reference_default(kit: Kit) -> Iterator[Peer]:
    """The reference platform with vector registers read back at each switch."""
    yield _reference("reference-default")


def native(kit: Kit) -> Iterator[Peer]:
    """The program alone, untraced."""
    yield Peer("native", "", lambda path, rounds: [str(path), str(rounds)])


def strace(kit: Kit) -> Iterator[Peer]:
    """strace: two stops per system call."""
    found = peer.find(kit, "strace", "strace", "libunwind8", "liblzma5")
    yield _simple("strace", found, "-f", "-o", "/dev/null")


def proot(kit: Kit) -> Iterator[Peer]:
    """proot: a path-rewriting tracer, whose seccomp filter does not stop getpid."""
    found = peer.find(kit, "proot", "proot", "libtalloc2", "libarchive13*")
    yield _simple("proot", found)


def python_ptrace(kit: Kit) -> Iterator[Peer]:
    """python-ptrace: a tracer in pure Python."""
    script = shutil.which("strace.py", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
    if not script or importlib.util.find_spec("ptrace") is None:
        raise Unobtainable("python-ptrace is not installed", installation.pip_install("python-ptrace"))
    command = [sys.executable, script, "--output=/dev/null"]
    yield Peer("python-ptrace", "", lambda path, rounds: [*command, str(path), str(rounds)])


def runsc(kit: Kit) -> Iterator[Peer]:
    """Google's gVisor on each of its platforms: the installed version, and each of the distribution's if fetched."""
    for found in _runscs(kit):
        date = re.search(r"\d{8}", found.source)
        suffix = f"-{date[0][:4]}" if date else ""
        for platform in ("ptrace", "systrap", "kvm"):
            options = (f"--platform={platform}", "--network=none", "--ignore-cgroups", "do")
            yield _simple(f"runsc-{platform}{suffix}", found, *options)


def user_mode_linux(kit: Kit) -> Iterator[Peer]:
    """User-Mode Linux: a kernel that traces its processes by ptrace."""
    found = peer.find(kit, "linux.uml", "user-mode-linux")
    root = kit.folder / "uml"
    root.mkdir(exist_ok=True)
    shutil.copy(peer.program("init"), root / "init")

    def command(path: Path, rounds: int) -> list[str]:
        shutil.copy(path, root / path.name)
        options = ("rootfstype=hostfs", f"rootflags={root}", "rw", "init=/init", "mem=128M", "quiet")
        return [str(found.path), *options, "con=null", "con0=null,fd:1", "--", f"/{path.name}", str(rounds)]

    yield Peer("user-mode-linux", found.source, command, {**found.environment, "TMPDIR": str(kit.folder)})


#: In the order of the results.
PEERS: tuple[Obtain, ...] = (native, reference_default, runsc, user_mode_linux, proot, strace, python_ptrace)


def _reference(name: str, *options: str) -> Peer:
    command = [sys.executable, "-P", "-m", "worldswitch.harness.guest_kernel", *options]
    return Peer(name, "", lambda path, rounds: [*command, str(path), str(rounds)], {}, SERVED, NO_PROCESSES)


def _simple(name: str, found: FoundProgram, *options: str) -> Peer:
    command = [str(found.path), *options]
    return Peer(name, found.source, lambda path, rounds: [*command, str(path), str(rounds)], found.environment)


def _runscs(kit: Kit) -> Iterator[FoundProgram]:
    if path := shutil.which("runsc"):
        yield FoundProgram(Path(path), "installed")
    if not kit.fetch:
        if not path:
            raise Unobtainable("runsc is not installed", "run again with --fetch-peers, or: apt-get install runsc")
        return
    known: set[str] = set()
    for suite in SUITES:
        for offer in deb_packages.offers("runsc", [suite], kit.say)[:1]:
            upstream = offer.version.rpartition("-")[0]  # several suites may build the same version
            if upstream not in known:
                known.add(upstream)
                yield peer.unpacked(kit, "runsc", deb_packages.download(offer, kit.say))
    if not known and not path:
        raise Unobtainable("no suite of the mirror has runsc", "install it as gVisor's documentation describes")
