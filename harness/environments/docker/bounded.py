"""A client of Docker's interface that trusts no answer: each is bounded in time and size, and has the right types.

The SDK's own limit is the time between two bytes, and it passes on whatever JSON an engine sends.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Annotated, Any, TypeVar

import docker
import msgspec
import requests
from docker.errors import APIError, DockerException
from docker.utils.socket import demux_adaptor, next_frame_header, read
from msgspec import Meta

from worldswitch.harness.environments.docker import address

CALL_SECONDS = 60
LONG_SECONDS = 600.0  #: for a build, a pull, and any request for which the SDK would wait for ever
REMOVE_SECONDS = 3.0  #: for a request to an engine that may be dying
LARGEST = 1 << 26  #: bytes of an answer
CHUNK = 1 << 16
MOST_WORDS = 400  #: characters of an engine's own words in an error

T = TypeVar("T")

#: Errors of the SDK, and of the libraries whose errors it passes on; ValueError for an address that is none.
ERRORS = (DockerException, requests.RequestException, OSError, ValueError)


class BadAnswer(DockerException):
    """The engine's answer is not what Docker's interface promises."""


class _Platform(msgspec.Struct):
    Name: str = ""


class _Version(msgspec.Struct):
    ApiVersion: Annotated[str, Meta(pattern=r"^\d{1,3}\.\d{1,3}$")]
    Version: Annotated[str, Meta(pattern=r"^[ -~]{1,80}$")]
    Platform: _Platform | None = None


class _Info(msgspec.Struct):
    SecurityOptions: list[str] | None = None


class _Image(msgspec.Struct):
    Id: Annotated[str, Meta(pattern="^(sha256:)?[0-9a-f]{12,64}$")]


class _Created(msgspec.Struct):
    Id: Annotated[str, Meta(pattern="^[0-9a-f]{12,64}$")]


class _State(msgspec.Struct):
    Pid: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0


class _Config(msgspec.Struct):
    Tty: bool = False


class _Container(_Created):
    State: _State
    Config: _Config


class _Listed(_Created):
    Labels: dict[str, str] | None = None
    Names: list[str] | None = None


class _Exit(msgspec.Struct):
    StatusCode: int


class _Progress(msgspec.Struct):
    stream: str = ""
    error: str = ""
    status: str = ""


#: The end of a request's path, and the type of its answer.
_ANSWERS: dict[str, Any] = {
    r"/version": _Version,
    r"/info": _Info,
    r"/images/.+/json": _Image,
    r"/containers/create": _Created,
    r"/containers/json": list[_Listed],
    r"/containers/[^/]+/json": _Container,
    r"/containers/[^/]+/wait": _Exit,
}


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns, or raise what it raises.  Raises TimeoutError after `seconds`.

    A late call goes on in its daemon thread, which ends with the process.
    """
    outcome: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except BaseException as problem:  # raised again in the thread that waits
            outcome.put((None, problem))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, problem = outcome.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"the engine did not answer within {seconds:g} s") from None
    if problem:
        raise problem
    return result  # type: ignore[return-value]  # the call's own


def limited(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `chunks`.  Raises `BadAnswer` beyond `LARGEST` bytes."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST:
            raise BadAnswer(f"the engine's answer has more than {LARGEST} bytes")
        yield chunk


class BoundedClient(docker.APIClient):
    """The SDK's client with bounds on each answer."""

    def __init__(self, url: str, seconds: float = 0.0) -> None:
        """Connect to the engine at `url`, with TLS if the user named it so; each request may take `seconds`.

        Raises one of `ERRORS`, or `Unobtainable`.
        """
        named = address.named()
        tls = named.tls if named and named.url == url else None
        # Without TLS the SDK takes no configuration at all, and its type says bool.
        super().__init__(base_url=url, version="auto", timeout=seconds or CALL_SECONDS, tls=tls or False)  # type: ignore[arg-type]

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request; the answer, unless it is a stream, has arrived when this returns."""
        seconds = options.get("timeout") or LONG_SECONDS
        is_stream = options.get("stream")
        options |= {"stream": True, "allow_redirects": False}

        def exchange() -> requests.Response:
            response = super(BoundedClient, self).send(request, **options)
            if not is_stream:
                with closing(response):
                    response._content = b"".join(limited(response.iter_content(CHUNK)))
            return response

        return within(seconds, exchange)

    def _raise_for_status(self, response: requests.Response) -> None:
        if response.is_redirect:
            raise BadAnswer(f"the engine redirects {_path(response)} to another address, which is not followed")
        try:
            super()._raise_for_status(response)  # type: ignore[misc]  # the stubs lack it
        except (LookupError, TypeError, AttributeError, RecursionError) as problem:
            said = f"the engine answers {_path(response)} with {response.status_code} and no message"
            raise BadAnswer(said) from problem

    def _result(self, response: requests.Response, json: bool = False, binary: bool = False) -> Any:
        if not json:
            return super()._result(response, json, binary)  # type: ignore[misc]
        self._raise_for_status(response)
        return checked(response.content, _path(response))

    def _stream_helper(self, response: requests.Response, decode: bool = False) -> Iterator[Any]:
        """Yield what a build or a pull says; each line of JSON if `decode`."""
        self._raise_for_status(response)
        chunks = limited(response.iter_content(CHUNK))
        if not decode:
            yield from chunks
            return
        rest = b""
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(bytes.strip, lines):
                yield checked(line, _path(response), _Progress)
        if rest.strip():
            yield checked(rest, _path(response), _Progress)

    def _read_from_socket(
        self, response: requests.Response, stream: bool, tty: bool = True, demux: bool = False
    ) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Yield output and log of a container without terminal, in pieces, whatever length its frames claim."""
        socket = self._get_raw_response_socket(response)
        while (head := next_frame_header(socket))[1] >= 0:
            number, left = head
            while left > 0:
                piece = read(socket, min(left, CHUNK))
                if piece == b"":
                    return
                if piece:  # None after an interrupted call
                    left -= len(piece)
                    yield demux_adaptor(number, piece)

    def _get_raw_response_socket(self, response: requests.Response) -> Any:
        try:
            return super()._get_raw_response_socket(response)  # type: ignore[misc]
        except AttributeError as problem:  # the answer is no stream, and has been read to its end
            raise BadAnswer(f"the engine's answer to {_path(response)} is not a stream") from problem


class BoundedDocker(docker.DockerClient):
    """The SDK's client of objects, on a `BoundedClient`."""

    def __init__(self, url: str, seconds: float = 0.0) -> None:
        """Connect to the engine at `url`."""
        self.api = BoundedClient(url, seconds)


def remove(url: str, container: str) -> None:
    """Remove a container; errors are ignored, since the run's guardian tries again at the end."""
    with suppress(*ERRORS), BoundedClient(url, REMOVE_SECONDS) as client:
        client.remove_container(container, force=True, v=True)


def checked(content: bytes, path: str, kind: Any = None) -> Any:
    """Return the JSON of an answer.  Raises `BadAnswer` unless it has the type that the interface promises."""
    kind = kind or next((one for end, one in _ANSWERS.items() if re.search(end + "$", path)), Any)
    try:
        msgspec.json.decode(content, type=kind)
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise BadAnswer(f"the engine's answer to {path} is invalid: {problem}: {brief(content[:80])}") from problem


def _path(response: requests.Response) -> str:
    return (response.request.path_url or "").partition("?")[0]


def brief(said: object) -> str:
    """Return an engine's words, as text on one line, at most `MOST_WORDS` characters."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    text = " ".join(text.split())
    return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]}…"


def explanation(problem: BaseException) -> str:
    """Return what the engine said of an error, else the error's message."""
    said = problem.explanation if isinstance(problem, APIError) else None
    return brief(said or problem)
