"""Answers of an engine are bounded in time and size, and have the types that its interface promises."""

from __future__ import annotations

import threading
import time

import pytest

from worldswitch.harness.environments.docker import bounded
from worldswitch.harness.environments.docker.bounded import MOST_WORDS, BadAnswer, brief, checked, limited, within

ID = "0123456789ab" * 5 + "0123"


def test_a_late_call_is_not_waited_for() -> None:
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match=r"the engine did not answer within 0\.1 s"):
        within(0.1, threading.Event().wait)
    assert time.monotonic() - begin < 5


def test_the_error_of_a_call_is_raised_where_it_is_waited_for() -> None:
    with pytest.raises(LookupError, match="mine"):
        within(5, lambda: {}["mine"])
    assert within(5, lambda: 7) == 7


def test_an_answer_may_have_its_greatest_size_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST", 10)
    assert list(limited([b"12345", b"67890"])) == [b"12345", b"67890"]
    with pytest.raises(BadAnswer, match="more than 10 bytes"):
        list(limited([b"12345", b"67890", b"1"]))


@pytest.mark.parametrize(
    ("path", "answer"),
    {
        "/v1.41/containers/create": b'{"Id": "%s"}' % ID.encode(),
        "/v1.41/images/a/b:c/json": b'{"Id": "sha256:%s"}' % ID.encode(),
        "/v1.41/containers/x/wait": b'{"StatusCode": 137}',
        "/v1.41/containers/json": b"[]",
        "/v1.41/anything": b'{"of": ["any", "type"]}',
    }.items(),
)
def test_what_the_interface_promises_is_accepted(path: str, answer: bytes) -> None:
    checked(answer, path)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1.41/containers/create", b'{"Id": "../../etc"}'),
        ("/v1.41/containers/create", b'{"Id": "\\u001b[2J0123456789"}'),
        ("/v1.41/containers/create", b'{"Id": ""}'),
        ("/v1.41/containers/x/json", b'{"Id": "%s", "State": {"Pid": -1}, "Config": {}}' % ID.encode()),
        ("/v1.41/containers/x/wait", b'{"StatusCode": "0"}'),
        ("/v1.41/containers/json", b"{}"),
        ("/version", b'{"ApiVersion": "latest", "Version": "1"}'),
        ("/v1.41/anything", b"[" * 100_000),
    ],
)
def test_anything_else_is_refused_with_the_path_that_was_asked(path: str, answer: bytes) -> None:
    with pytest.raises(BadAnswer, match=f"the engine's answer to {path} is invalid"):
        checked(answer, path)


def test_the_words_of_an_engine_are_one_line_with_a_bound() -> None:
    assert brief("no\n  such\tcontainer") == "no such container"
    assert len(brief("x" * 1_000_000)) == MOST_WORDS + 1
