"""Files are looked at before they are read, are read up to a bound, and are read in no other way."""

from __future__ import annotations

import ast
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paths import ROOT

from worldswitch.harness.linux import regular_file

#: Places below harness that read in another way, and why: what they read is no file that a user or another run gives.
ELSEWHERE = {
    "linux/": "/proc and /sys; and this module",
    "cell/": "/proc and /sys, inside the cell",
    "ptrace_denial/": "/proc and /sys",
    "guest_kernel/": "the guest's program, by the rules of open(2)",
    "bench/suite/": "/proc",
    "bench/kernel_calls/": "/proc, and a file of the package",
    "bench/native/build.py": "a source of the checkout",
    "bench/machine_load.py": "/proc and /sys",
    "bench/report/figures.py": "a picture made a moment before",
    "bench/report/page.py": "a file of the package",
    "report/doctor/surroundings.py": "/proc and /sys",
    "report/matrix/page.py": "a file of the package",
    "report/mutants/page.py": "a file of the package",
    "report/export/database.py": "a file of the package",
    "catalogue/reason_lists.py": "a file of the package",
    "environments/installation.py": "the checkout's own project file",
    "environments/simulation/record.py": "a file of the package",
    "environments/images/containerfile.py": "a file of the package",
    "environments/images/site_packages.py": "files of the package",
    "environments/images/deb_packages.py": "the stream of a package, for its digest",
    "environments/images/apt_mirror.py": "an index that apt has just written and verified",
    "environments/profiles/kernel_settings.py": "/proc",
    "environments/oci/default_filter.py": "the specification of this run's own container",
    "environments/oci/container.py": "the pid file of this run's own runtime",
    "environments/oci/seccomp.py": "a file of the package",
    "environments/docker/container.py": "/proc",
    "environments/docker/engine.py": "/proc, and the log of this run's own engine",
    "environments/docker/image.py": "archives that this run makes",
    "environments/run_resources.py": "/proc and /sys",
    "environments/vm/": "/proc, in a guest too; files of the image; a machine's own disk",
    "run/syscall_record/": "/proc; headers of the compiler; what this run made",
    "run/shard_task.py": "the log of its own child",
}


def readers(text: str) -> Iterator[int]:
    """Yield the lines of a module's text that open or read a file."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(attr="read_text" | "read_bytes" | "fdopen")):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr="open", value=owner), args=arguments):
                if not (ast.unparse(owner).endswith(("os", "tarfile", "lane")) or _writes(arguments[:1])):
                    yield node.lineno
            case ast.Call(func=ast.Name(id="open"), args=[_, *mode]) if not _writes(mode):
                yield node.lineno


def _writes(mode: list[ast.expr]) -> bool:
    return any(isinstance(one, ast.Constant) and str(one.value)[:1] in "wax" for one in mode)


def test_files_are_read_in_no_other_way() -> None:
    harness = ROOT / "harness"
    found = {
        f"{path.relative_to(harness)}": [*readers(path.read_text(encoding="utf-8"))] for path in harness.rglob("*.py")
    }
    others = {name for name, lines in found.items() if lines}
    allowed = {name: prefix for name in others for prefix in ELSEWHERE if name.startswith(prefix)}
    assert sorted(others - allowed.keys()) == [], "read by worldswitch.harness.linux.regular_file"
    assert sorted(ELSEWHERE.keys() - {*allowed.values()}) == [], "these need no exception"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("x.read_text()\nx.read_bytes()", [1, 2]),
        ("x.open('w')\nx.open('rb')\nx.open()", [2, 3]),
        ("open(x, 'a')\nopen(x)\nopen(x, 'rb')", [2, 3]),
        ("os.open(x, 0)\ntarfile.open(x)\nplace.lane.open()", []),
    ],
)
def test_the_search_finds_what_reads(text: str, lines: list[int]) -> None:
    assert sorted(readers(text)) == lines


# ------------------------------------------------------------------------------------------------------------ reading


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "No such file or directory"),
    "a folder": (Path.mkdir, "it is a directory, and a regular file is needed"),
    "a pipe": (pipe, "it is a pipe, and a regular file is needed"),
    "a socket": (listening, "it is a socket, and a regular file is needed"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, and a regular file is needed"),
    "a terminal": (lambda path: path.symlink_to("/dev/ptmx"), "it is a device, and a regular file is needed"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "No such file or directory"),
    "a circle of links": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "a terabyte": (sparse, "it is larger than 1 MiB"),
    "a byte too much": (
        lambda path: path.write_bytes(b"x" * (regular_file.MOST_BYTES + 1)),
        "it is larger than 1 MiB",
    ),
}


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_regular_file_or_too_large_is_refused(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    descriptors = sorted(Path("/proc/self/fd").iterdir())
    make(tmp_path / "x")
    with pytest.raises(OSError) as caught:  # noqa: PT011
        regular_file.read(tmp_path / "x")
    assert caught.value.strerror == reason
    assert sorted(Path("/proc/self/fd").iterdir()) == descriptors


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000])
def test_a_name_that_no_file_has_is_refused(name: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        regular_file.read(Path(name))


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\0\r\n", b"x" * regular_file.MOST_BYTES])
def test_the_content_is_returned(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert regular_file.read(tmp_path / "x") == content


def test_a_file_without_a_size_is_read_up_to_the_bound() -> None:
    assert b"Linux" in regular_file.read(Path("/proc/version"))
    with pytest.raises(OSError, match="larger than") as caught:
        regular_file.read(Path("/proc/kallsyms"), 100)
    assert caught.value.errno == errno.EINVAL
