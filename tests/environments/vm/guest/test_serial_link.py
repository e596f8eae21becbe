"""Messages over the serial port arrive intact despite noise, and a lost message is detected."""

from __future__ import annotations

import pytest

from worldswitch.harness.cell.frames import LineTooLong
from worldswitch.harness.environments.vm.guest.serial_link import Broken, MessageSender, data, received, text


def sent(*messages: dict[str, object]) -> list[bytes]:
    chunks: list[bytes] = []
    sender = MessageSender(chunks.append)
    for message in messages:
        sender.send(message)
    return chunks


def test_messages_arrive_unchanged() -> None:
    everything = text(bytes(range(256)))
    (message,) = received(sent({"say": "out", "data": everything}))
    assert data(message["data"]) == bytes(range(256))


def test_messages_are_assembled_from_chunks() -> None:
    stream = b"".join(sent({"say": "a"}, {"say": "b"}))
    assert [one["say"] for one in received(bytes([byte]) for byte in stream)] == ["a", "b"]


def test_noise_is_not_a_message() -> None:
    noise: list[bytes] = []
    said = list(received([b"half a line", *sent({"say": "a"}), b"[    1.0] kernel\r\n"], noise.append))
    assert [one["say"] for one in said] == ["a"]
    assert noise == [b"half a line", b"[    1.0] kernel\r"]


def test_a_damaged_message_is_detected() -> None:
    first, second = sent({"say": "a"}, {"say": "b"})
    with pytest.raises(Broken, match="message 1 was lost, number 2 came"):
        list(received([first.replace(b"e", b"f"), second]))


def test_a_line_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldswitch.harness.cell.frames.LONGEST", 100)
    with pytest.raises(LineTooLong, match="more than 100 bytes"):
        list(received(b"x" * 60 for _ in range(10)))


def test_more_than_a_megabyte_is_transferred() -> None:
    chunk = text(bytes(range(256)) * 256)
    total = sum(len(one["data"]) for one in received(sent(*({"say": "out", "data": chunk} for _ in range(20)))))
    assert total == 20 * 65536
