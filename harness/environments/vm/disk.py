"""A machine's root disk: the image's tree, the folders that booting needs, and the OCI runtime.

    /image        the image's tree, the root of containers
    /bin ...      links into it, for the image's Python; visible to cells without a container
    /runtime      the OCI runtime with its own libraries

Machines write to private copies in memory (QEMU's snapshots), so all machines on this host share one disk file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import filelock

from worldswitch.harness.environments import guardian
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images.tree import Tree
from worldswitch.harness.environments.protocol import Say
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.environments.vm.toolbox import QemuTools
from worldswitch.harness.errors import Unobtainable

LAYOUT = 1  #: increment when the same tree and tools make a different disk
KEPT = 3  #: disks to keep
SECONDS = 300.0
BLOCK = 4096
ROOM = 64 << 20  #: free bytes for cells to write outside of /tmp

#: Mount points that the kernel does not create.
FOLDERS = ("dev", "proc", "run", "runtime/lib", "sys", "tmp")
#: Top folders that are mount points, instead of links into the image.
OWN = frozenset(("boot", "dev", "media", "mnt", "proc", "run", "sys", "tmp"))


def obtain(tree: Tree, tools: QemuTools, run: RunResources, say: Say) -> Path:
    """Return the disk with this tree, made once.  Raises `Unobtainable`."""
    name = hashlib.sha256(f"{LAYOUT} {tree.id} {tools.id}".encode()).hexdigest()[:16]
    made = cache("disks") / f"{name}.ext4"
    with filelock.FileLock(cache("disks") / "lock", timeout=SECONDS):
        if not made.exists():
            say("making a disk from the image")
            _make(tree, tools, run).rename(made)
        os.utime(made)
        _forget_old(made)
    return made


def _make(tree: Tree, tools: QemuTools, run: RunResources) -> Path:
    work = run.scratch()
    root = work / "root"
    lay_out(root, tree.path, tools.runtime())
    disk = work / "disk.ext4"
    with disk.open("wb") as file:
        file.truncate(_size(root))
    # No journal and no reserved blocks: writes are discarded with the machine.
    command = [*tools.command("usr/sbin/mke2fs"), "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", str(root)]
    as_root = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--"]
    try:
        guardian.run([*as_root, *command, "-F", str(disk)], SECONDS, env={**os.environ, "MKE2FS_CONFIG": os.devnull})
    except subprocess.SubprocessError as problem:
        raise Unobtainable(
            f"making the machines' disk failed: {guardian.error_lines(problem)}",
            f"check the free space in {work.parent}",
        ) from problem
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return disk


def lay_out(root: Path, image: Path, runtime: dict[str, Path]) -> None:
    """Lay out the disk's files in the new folder `root`; the image's files are hard links."""
    root.mkdir(parents=True)
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    shutil.copytree(image, root / "image", symlinks=True, copy_function=os.link)
    for entry in sorted(image.iterdir()):
        if entry.name not in OWN and not (root / entry.name).exists():
            (root / entry.name).symlink_to(f"image/{entry.name}")
    for name, path in runtime.items():
        shutil.copy(path, root / "runtime" / name)


def _size(root: Path) -> int:
    """Return the disk's size in bytes: whole blocks and an inode per file, 5 % more, and `ROOM`."""
    entries = [path.lstat().st_size for path in root.rglob("*")]
    content = sum((size + BLOCK - 1) // BLOCK * BLOCK + 512 for size in entries)
    return (content * 21 // 20 + ROOM) // BLOCK * BLOCK


def _forget_old(used: Path) -> None:
    """Remove old disks; a running machine has its disk open and is unaffected."""
    disks = sorted(cache("disks").glob("*.ext4"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in disks[KEPT:]:
        if old != used:
            old.unlink(missing_ok=True)
