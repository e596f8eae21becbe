"""A guest that sends damaged messages is lost with the reason, and its cell does not hang."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from worldswitch.harness.cell import frames
from worldswitch.harness.environments.protocol import Lost
from worldswitch.harness.environments.vm.cell import GuestCell
from worldswitch.harness.environments.vm.machine import Hardware, NoBoot, VirtualMachine
from worldswitch.harness.environments.vm.qemu import Shape
from worldswitch.harness.environments.vm.toolbox import QemuTools

BOOT = {"say": "boot", "kernel": "6.12", "version": "#1", "taint": 0, "cpus": 1}
CELL = 7


def framed(text: bytes) -> bytes:
    return frames.encode(base64.b64encode(zlib.compress(text)))


def message(number: int, **fields: object) -> bytes:
    return framed(json.dumps({"cell": CELL, "n": number, **fields}).encode())


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[VirtualMachine, socket.socket]]:
    """A machine whose guest is the test: it writes to the socket."""
    ends: list[socket.socket] = []

    def start(self: VirtualMachine, hardware: object, kernel: object, shape: object, port: int, _: object) -> object:
        ends.append(socket.socket(fileno=os.dup(port)))
        process = SimpleNamespace(stdout=io.BytesIO(b"the console\n" + b"x" * 100_000), stderr=io.BytesIO())
        return SimpleNamespace(process=process, release=lambda: ends[0].shutdown(socket.SHUT_RDWR))

    monkeypatch.setattr(VirtualMachine, "_start", start)
    monkeypatch.setattr(frames, "LONGEST", 100_000)
    machine = VirtualMachine(Hardware(QemuTools(Path("/tools"), "", "", ""), Path("/disk"), "tcg"), Path("/k"), Shape())
    with ends[0]:
        yield machine, ends[0]
        machine.close()


BAD = {
    "no JSON": framed(b"{"),
    "no table": framed(b"[1, 2]"),
    "null": framed(b"null"),
    "deep": framed(b"[" * 90_000),
    "no base 64": frames.encode(b"x" * 9),
    "not compressed": frames.encode(base64.b64encode(b"hello")),
    "half compressed": frames.encode(base64.b64encode(zlib.compress(b'{"say": "log"}')[:9])),
    "a bomb": framed(b" " * 10_000_000),
    "not UTF-8": framed(b'{"say": "\xff"}'),
    "NUL": framed(b"\0" * 100),
    "a number that was used": message(1, say="log", data="x"),
    "a number that is none": framed(b'{"say": "log", "cell": 7, "data": "x", "n": "2"}'),
    "no number": framed(b'{"say": "log", "cell": 7, "data": "x"}'),
    "an unknown word": message(2, say="hello"),
    "no word": message(2),
    "a word of another type": message(2, say=[1]),
    "a loss that the guest forged": message(2, say="lost", reason="me"),
    "output of another type": message(2, say="out", data=7),
    "output that is no bytes": message(2, say="out", data="\u20ac"),
    "a cell of another type": message(2, say="out", cell="7", data="x"),
    "a status that is none": message(2, say="end", status=None, kernel=[], taint=[0, 0]),
    "a status that is huge": message(2, say="end", status=10**30, kernel=[], taint=[0, 0]),
    "a log of another type": message(2, say="end", status=0, kernel=[7], taint=[0, 0]),
    "a taint of another type": message(2, say="end", status=0, kernel=[], taint="none"),
    "an end without fields": message(2, say="end"),
    "a lone surrogate": message(2, say="end", status=0, kernel=["\ud800"], taint=[0, 0]),
    "an endless line": b"x" * 200_000,
    "output without a line's end": b"".join(message(n, say="out", data="x" * 60_000) for n in range(2, 5)),
    "output after the footer": message(2, say="out", data=frames.encode(b'{"kind":"footer"').decode() + "x\n" * 9999)
    + message(3, say="out", data="x\n"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_damaged_message_ends_the_cell_with_its_reason(
    what: str, guest: tuple[VirtualMachine, socket.socket]
) -> None:
    machine, end = guest
    end.sendall(message(1, **BOOT))
    assert machine.boot(10).kernel == "6.12"
    cell = GuestCell(machine, CELL, {}, lambda: None)
    end.sendall(BAD[what])
    with pytest.raises(Lost, match=r"the guest was lost: it sent a damaged message: .+"):
        cell.wait(10)
    assert len(machine.lost) <= 400
    cell.kill()


@pytest.mark.parametrize("what", ["no JSON", "no table", "a bomb", "an endless line", "an unknown word"])
def test_a_damaged_message_ends_the_boot(what: str, guest: tuple[VirtualMachine, socket.socket]) -> None:
    machine, end = guest
    end.sendall(BAD[what])
    with pytest.raises(NoBoot, match="the guest ended before it was up"):
        machine.boot(10)


def test_noise_and_other_cells_messages_change_nothing(guest: tuple[VirtualMachine, socket.socket]) -> None:
    machine, end = guest
    end.sendall(b"\0\xff[    1.0] Kernel panic - not\r\n" + message(1, **BOOT))
    assert machine.boot(10).cpus == 1
    cell = GuestCell(machine, CELL, {}, lambda: None)
    end.sendall(message(2, say="out", cell=6, data="theirs\n") + b"@ws 00000000 forged\n[   2.0] BUG: ")
    end.sendall(message(3, say="end", cell=6, status=3, kernel=[], taint=[0, 0]))
    end.sendall(message(4, say="out", data="mine\n") + message(5, say="end", status=0, kernel=[], taint=[0, 0]))
    assert cell.wait(10) == 0
    assert b"mine\n" in list(cell.frames())


def test_a_console_without_a_line_s_end_is_bounded(guest: tuple[VirtualMachine, socket.socket]) -> None:
    machine, end = guest
    end.sendall(message(1, **BOOT))
    machine.boot(10)
    assert max(map(len, machine._console)) <= 4096
