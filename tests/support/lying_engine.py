"""A fake container engine on a Unix socket: answers as Docker does, except for one request, whose answer is a lie."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ID = "0123456789ab" * 5 + "0123"
SLOW = 0.2  #: seconds between two bytes of a slow answer
LONG = 1 << 30

Send = Callable[[bytes], None]
Lie = Callable[[Send], None]  #: sends a whole answer, status line included

HONEST: dict[str, object] = {
    "version": {"ApiVersion": "1.41", "Version": "20.10.24", "Platform": {"Name": "Docker Engine"}},
    "info": {"SecurityOptions": ["name=seccomp,profile=default"]},
    "list": [],
    "image": {"Id": f"sha256:{ID}", "RepoTags": []},
    "create": {"Id": ID, "Warnings": []},
    "inspect": {"Id": ID, "State": {"Pid": 0, "Status": "created"}, "Config": {"Tty": False}},
    "wait": {"StatusCode": 0},
}

#: The name of each request, and what its method and path match.
REQUESTS = {
    "version": r"GET .*/version$",
    "info": r"GET .*/info$",
    "list": r"GET .*/containers/json$",
    "image": r"GET .*/images/.*/json$",
    "create": r"POST .*/containers/create$",
    "inspect": r"GET .*/containers/[^/]+/json$",
    "attach": r"POST .*/attach$",
    "start": r"POST .*/start$",
    "wait": r"POST .*/wait$",
    "remove": r"DELETE .*/containers/[^/]+$",
}


def answer(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def says(body: bytes, status: str = "200 OK", kind: str = "application/json") -> Lie:
    """The lie that is this answer."""
    return lambda send: send(answer(body, status, kind))


def hangs(send: Send) -> None:
    """Answer nothing until the client gives up."""
    time.sleep(120)


def closes(send: Send) -> None:
    """Close in the middle of the answer."""
    send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"Id": "')


def trickles(send: Send) -> None:
    """Send an endless header, a byte at a time, so that no two bytes are far apart."""
    send(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        send(b"x")
        time.sleep(SLOW)


def floods(send: Send) -> None:
    """Send an endless body in chunks."""
    send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    while True:
        send(chunk)


def redirects(send: Send) -> None:
    """Redirect to this same engine for ever."""
    send(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v1.41/again\r\nContent-Length: 0\r\n\r\n")


UPGRADE = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


def stream(*frames: tuple[int, int, bytes], again: bool = False) -> Lie:
    """A stream of frames: number, claimed length, content; the last one is repeated for ever if `again`."""

    def send_all(send: Send) -> None:
        send(UPGRADE)
        time.sleep(0.2)  # so that no frame is in the client's buffer of the header
        for number, length, content in frames:
            send(struct.pack(">BxxxL", number, length) + content)
        while again:
            send(struct.pack(">BxxxL", number, length) + content)

    return send_all


LIES: dict[str, Lie] = {
    "hangs": hangs,
    "closes": closes,
    "trickles": trickles,
    "floods": floods,
    "redirects": redirects,
    "truncated": says(b'{"Id": "0123'),
    "html": says(b"<html>Welcome to the wireless network</html>", kind="text/html"),
    "a list": says(b"[]"),
    "a number": says(b"17"),
    "null": says(b"null"),
    "wrong types": says(b'{"Id": 7, "State": [], "Config": 1, "StatusCode": "x", "Version": {}, "SecurityOptions": 3}'),
    "deep": says(b"[" * 100_000),
    "not utf-8": says(b'{"Id": "\xff\xfe"}'),
    "a path": says(b'{"Id": "../../etc", "State": {"Pid": 1}, "Config": {}, "Version": "\\u001b[2J"}'),
    "a huge number": says(b'{"Id": "%s", "State": {"Pid": 1e400}, "Config": {}}' % ID.encode()),
    "500": says(b'{"message": "out of \\u001b]0;luck"}', "500 Internal Server Error"),
    "500 in html": says(b"<html>" + b"x" * 100_000, "500 Internal Server Error", "text/html"),
    "500 in a list": says(b"[1, 2]", "500 Internal Server Error"),
    "404": says(b'{"message": "No such container"}', "404 Not Found"),
    "404 with a number": says(b'{"message": 7}', "404 Not Found"),
    "no http": lambda send: send(b"SSH-2.0-OpenSSH_9.2\r\n"),
}


class LyingEngine:
    """The engine: `asked` lists the requests that came."""

    def __init__(self, request: str, lie: Lie) -> None:
        self.request = request
        self.lie = lie
        self.asked: list[str] = []
        self.containers = 0  #: created and not removed

    def answer(self, line: str, send: Send) -> bool:
        """Answer a request; True if the connection can be used again."""
        name = next((name for name, match in REQUESTS.items() if re.match(match, line)), line)
        self.asked.append(name)
        self.containers += {"create": 1, "remove": -1}.get(name, 0)
        if name == self.request:
            self.lie(send)
            return False
        if name == "attach":
            stream()(send)
            return False
        if name in ("start", "remove"):
            send(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif name in HONEST:
            send(answer(json.dumps(HONEST[name]).encode()))
        else:
            send(answer(b'{"message": "not here"}', "404 Not Found"))
        return True


@contextmanager
def serving(folder: Path, request: str, lie: Lie) -> Iterator[tuple[str, LyingEngine]]:
    """Serve on a socket in `folder`; yields the address and the engine."""
    engine = LyingEngine(request, lie)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while self._one():
                    pass

        def _one(self) -> bool:
            if not (line := self.rfile.readline()):
                return False
            length = 0
            while (header := self.rfile.readline().strip().lower()) != b"":
                if header.startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            self.rfile.read(length)
            words = line.decode().split()
            return engine.answer(f"{words[0]} {words[1].partition('?')[0]}", self.request.sendall)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        block_on_close = False  # a lie may never end

        def handle_error(self, request: socket.socket, client_address: object) -> None: ...

    path = folder / "engine.sock"
    with Server(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"unix://{path}", engine
        finally:
            server.shutdown()
