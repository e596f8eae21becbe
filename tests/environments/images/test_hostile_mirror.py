"""A mirror that sends too little, too much, too slowly or something else costs a bounded time and leaves nothing."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from debian_mirror import Debian

from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.images import apt_mirror, deb_packages
from worldswitch.harness.environments.images.apt import Source
from worldswitch.harness.errors import Unobtainable

SECONDS = 10.0  #: of a test on a busy machine; apt's own limits here are far below
BLOCK = b"x" * (1 << 16)
MOST_SENT = 64 << 20  #: of an endless answer; apt must hang up long before


class Handler(BaseHTTPRequestHandler):
    """Serves the mirror's folder; paths that end with `server.where` get the answer `server.answer`."""

    server: Mirror

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        try:
            file = self.server.folder / self.path.lstrip("/")
            if self.server.where and self.server.where in self.path:
                self.server.answer(self, file.read_bytes() if file.is_file() else b"")
            elif file.is_file():
                whole(self, file.read_bytes())
            else:
                self.send_error(404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


Answer = Callable[[Handler, bytes], None]


class Mirror(ThreadingHTTPServer):
    """The server of a mirror."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.where = ""
        self.answer: Answer = whole
        self.sent = 0
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def start(to: Handler, length: int | None) -> None:
    to.send_response(200)
    if length is not None:
        to.send_header("Content-Length", str(length))
    to.end_headers()


def whole(to: Handler, data: bytes) -> None:
    start(to, len(data))
    to.wfile.write(data)


def truncated(to: Handler, data: bytes) -> None:
    start(to, len(data))
    to.wfile.write(data[: len(data) // 2])
    to.close_connection = True


def cut_short(to: Handler, data: bytes) -> None:
    whole(to, data[: len(data) // 2])


def endless(to: Handler, _: bytes) -> None:
    start(to, None)
    while to.server.sent < MOST_SENT:
        to.wfile.write(BLOCK)
        to.server.sent += len(BLOCK)


def slow(to: Handler, data: bytes) -> None:
    start(to, len(data))
    for byte in data:
        to.wfile.write(bytes([byte]))
        if to.server.over.wait(0.1):
            return


def silent(to: Handler, data: bytes) -> None:
    start(to, len(data))
    to.server.over.wait(SECONDS)


def other_bytes(to: Handler, data: bytes) -> None:
    whole(to, data[:-1] + bytes([data[-1] ^ 1]))


def longer(to: Handler, data: bytes) -> None:
    whole(to, data + b"x")


def html(to: Handler, _: bytes) -> None:
    whole(to, b"<html><body>Please log in to the network of the hotel.</body></html>")


def loop(to: Handler, _: bytes) -> None:
    to.send_response(302)
    to.send_header("Location", to.path)
    to.send_header("Content-Length", "0")
    to.end_headers()


ANSWERS = (truncated, cut_short, endless, slow, silent, other_bytes, longer, html, loop)


@pytest.fixture
def mirror(key: Debian, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    for folder in ("dists", "pool", "tree"):
        shutil.rmtree(key.folder / folder, ignore_errors=True)
    key.has("first", ("linux-6.9", "6.9-1"))
    with Mirror(key.folder) as server:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setenv(apt_mirror.MIRROR, server.url)
        monkeypatch.delenv("http_proxy", raising=False)
        monkeypatch.setattr(apt_mirror, "network_settings", list)
        monkeypatch.setattr(apt_mirror, "KEYRING", key.ring)
        for name, value in {"RETRIES": 0, "SILENCE_SECONDS": 1, "INDEX_BYTES": 100_000}.items():
            monkeypatch.setattr(apt_mirror, name, value)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join(SECONDS)


def ignore(line: str) -> None:
    """Drop the message."""


def left() -> list[str]:
    """The names of what a failure left in the cache: packages, and parts of files."""
    return [str(path) for folder in ("packages", "apt") for path in cache(folder).rglob("*") if _is_content(path)]


def _is_content(path: Path) -> bool:
    own = ("apt.conf", "sources.list", "lock", "updated")
    return path.is_file() and path.name not in own


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda it: it.__name__)
def test_a_hostile_answer_for_a_package(mirror: Mirror, monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    (offer,) = deb_packages.offers("linux-*", ["first"], ignore)
    lists = left()
    monkeypatch.setattr(apt_mirror, "DOWNLOAD_SECONDS", 1.0)
    mirror.where, mirror.answer = ".deb", answer
    started = time.monotonic()
    with pytest.raises(Unobtainable) as raised:
        deb_packages.download(offer, ignore)
    assert time.monotonic() - started < SECONDS
    assert f"{mirror.url}/{offer.place} cannot be downloaded: " in raised.value.reason
    assert "Command" not in raised.value.reason
    assert mirror.sent < MOST_SENT
    assert left() == lists


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda it: it.__name__)
@pytest.mark.parametrize("where", ["InRelease", "Packages"])
def test_a_hostile_answer_for_the_index(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, where: str, answer: Answer
) -> None:
    monkeypatch.setattr(apt_mirror, "UPDATE_SECONDS", 1.0)
    mirror.where, mirror.answer = where, answer
    started = time.monotonic()
    with pytest.raises(Unobtainable) as raised:
        deb_packages.fetch("linux-*", ["first"], ignore)
    assert time.monotonic() - started < SECONDS
    assert raised.value.reason.startswith(f"the index of first cannot be fetched from {mirror.url}: ")
    assert "Command" not in raised.value.reason
    assert mirror.sent < MOST_SENT
    assert left() == []


@pytest.mark.parametrize("answer", [endless, slow, html], ids=lambda it: it.__name__)
def test_a_hostile_answer_for_one_of_many(
    mirror: Mirror, key: Debian, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Answer
) -> None:
    suite = apt_mirror.MirrorSuite("first", ignore, [Source(mirror.url, "first", str(key.ring))])
    assert suite.offers("linux-*")
    monkeypatch.setattr(apt_mirror, "DOWNLOAD_SECONDS", 1.0)
    mirror.where, mirror.answer = ".deb", answer
    with pytest.raises(Unobtainable, match=r"linux-6\.9 of first cannot be downloaded from http://127"):
        suite.gather(["linux-6.9"], tmp_path / "files")
    assert mirror.sent < MOST_SENT
    assert not [path for path in (tmp_path / "files").rglob("*") if path.is_file() and path.name != "lock"]


def test_a_mirror_that_is_too_slow_is_named_with_the_limit(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt_mirror, "UPDATE_SECONDS", 0.5)
    mirror.where, mirror.answer = "InRelease", slow
    with pytest.raises(Unobtainable, match=r"from http://127\.0\.0\.1:\d+: it is not complete after 0\.5 s"):
        deb_packages.fetch("linux-*", ["first"], ignore)
