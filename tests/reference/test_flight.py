"""The flight recorder: events in shared memory are read complete, in order, and decoded to text."""

from __future__ import annotations

import errno
import os
import signal
import struct
import threading
from typing import Any

import pytest

from worldswitch.harness.arch import registers
from worldswitch.harness.cell.diagnosis.events import decode, line
from worldswitch.harness.cell.diagnosis.model import Event
from worldswitch.harness.contract import Access, Options
from worldswitch.harness.flight import CAPACITY, EVENT, HEADER, WAIT, WRITING, Noted, Recorder
from worldswitch.reference import flight as reference_flight
from worldswitch.reference.ptrace import PtracePlatform

SYSEMU, GETSIGINFO = 31, 0x4202


def core() -> tuple[Any, Any]:
    module = pytest.importorskip("worldswitch.reference._core")
    return module.lib, module.ffi


def c_note(lib: Any, ffi: Any, recorder: Recorder) -> None:
    """Have the C core note one event."""
    reference_flight.record(recorder)
    lib.tracee_request(SYSEMU, 1 << 30, 0, ffi.NULL)
    lib.flight_record(ffi.NULL)


def values(**named: int) -> bytes:
    words = [0] * len(registers.NAMES)
    for name, value in named.items():
        words[registers.INDEX[name]] = value
    return struct.pack(f"={len(words)}Q", *words)


def event(request: int, result: int, **more: object) -> Noted:
    return Noted(number=1, nanoseconds=3_500_000_000, tracer=7, tid=8, request=request, result=result, **more)  # type: ignore[arg-type]


def decode_all(*noted: Noted) -> list[Event]:
    return list(decode(noted, begin=1.0))


def test_recorded_events_are_read() -> None:
    recorder = Recorder()
    recorder.note(8, SYSEMU, 0, values(rax=7))
    recorder.note(8, WAIT, 0x857F, about=b"x" * 60)
    (first, second), forgotten = recorder.read()
    assert (first.tid, first.request, first.result, first.registers) == (8, SYSEMU, 0, values(rax=7))
    assert (first.number, first.tracer, first.about) == (1, threading.get_native_id(), b"")
    assert (second.number, second.registers, second.about) == (2, None, b"x" * 48)
    assert first.nanoseconds <= second.nanoseconds
    assert forgotten == 0


def test_the_last_events_are_stored_and_the_others_counted() -> None:
    recorder = Recorder()
    for result in range(CAPACITY + 5):
        recorder.note(8, SYSEMU, result)
    events, forgotten = recorder.read()
    assert [one.result for one in events] == list(range(5, CAPACITY + 5))
    assert forgotten == 5


def test_saved_events_do_not_change() -> None:
    recorder = Recorder()
    recorder.note(8, SYSEMU, 1)
    recorder.keep()
    recorder.note(8, SYSEMU, 2)
    recorder.keep()
    assert [noted.result for noted in recorder.read()[0]] == [1]


def test_a_paused_recorder_records_nothing() -> None:
    recorder = Recorder()
    recorder.pause()
    recorder.note(8, SYSEMU, 1)
    recorder.resume()
    recorder.note(8, SYSEMU, 2)
    assert [noted.result for noted in recorder.read()[0]] == [2]


@pytest.mark.parametrize("number", [0, 1 | WRITING, 2, 1 + CAPACITY, 1 - CAPACITY & WRITING - 1])
def test_an_event_that_is_not_whole_or_not_of_its_place_is_not_read(number: int) -> None:
    recorder = Recorder()
    recorder.note(8, SYSEMU, 1)
    recorder.note(8, SYSEMU, 2)
    struct.pack_into("=Q", recorder.memory, HEADER.size, number)
    assert [one.result for one in recorder.read()[0]] == [2]
    assert recorder.read()[1] == 1


def test_an_event_of_the_round_before_is_not_read() -> None:
    """Its writer was held up while the others went once round."""
    recorder = Recorder()
    for result in range(CAPACITY + 5):
        recorder.note(8, SYSEMU, result)
    struct.pack_into("=Q", recorder.memory, HEADER.size, 1)
    events, forgotten = recorder.read()
    assert [one.result for one in events] == [*range(5, CAPACITY), *range(CAPACITY + 1, CAPACITY + 5)]
    assert forgotten == 6


@pytest.mark.parametrize("number", [1 | WRITING, 1 + CAPACITY])
def test_a_place_that_is_taken_is_left_alone(number: int) -> None:
    """Also by the C core, whose events are counted all the same."""
    lib, ffi = core()
    for note in (lambda recorder: recorder.note(8, SYSEMU, 1), lambda recorder: c_note(lib, ffi, recorder)):
        recorder = Recorder()
        struct.pack_into("=Q", recorder.memory, HEADER.size, number)
        before = bytes(recorder.memory[HEADER.size :])
        note(recorder)
        assert bytes(recorder.memory[HEADER.size :]) == before
        assert recorder.read() == ([], 1)


class Overtaken(Recorder):
    """Another thread notes an event after each look at the numbers."""

    def _written(self) -> list[int]:
        seen = super()._written()
        self.note(8, SYSEMU, -1)
        return seen


def test_an_event_that_is_written_while_the_memory_is_copied_is_not_read() -> None:
    recorder = Overtaken()
    for result in range(CAPACITY):
        recorder.note(8, SYSEMU, result)
    events, forgotten = recorder.read()
    assert [one.result for one in events] == list(range(2, CAPACITY))
    assert forgotten == 4


def test_a_recorder_that_was_written_to_stays() -> None:
    """Threads may be in the middle of an event when the next recorder comes."""
    core()
    first, second = Recorder(), Recorder()
    for recorder in (first, second, first, second):
        reference_flight.record(recorder)
    with pytest.raises(BufferError):
        first.memory.close()


def test_another_process_reads_the_events_of_a_dead_one() -> None:
    recorder = Recorder()
    pid = os.fork()
    if pid == 0:
        recorder.note(8, SYSEMU, 3)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    ((noted,), _) = recorder.read()
    assert (noted.tracer, noted.result) == (pid, 3)


def test_the_reference_has_the_same_layout() -> None:
    core = pytest.importorskip("worldswitch.reference._core")
    assert core.ffi.sizeof("struct flight_event") == EVENT.size
    assert core.ffi.sizeof("struct flight_ring") == HEADER.size
    recorder = Recorder()
    recorder.memory[:8] = struct.pack("=Q", EVENT.size + 8)
    assert core.lib.flight_record(core.ffi.from_buffer("struct flight_ring *", recorder.memory)) == -errno.EINVAL


def test_a_result_that_was_loaded_by_itself_is_recorded() -> None:
    lib, ffi = core()
    recorder = Recorder()
    platform = PtracePlatform(Options(recorder=recorder))
    try:
        space, context, state = platform.new_address_space(), platform.new_context(), platform.new_state()
        file = os.memfd_create("guest")
        os.write(file, bytes.fromhex("b827000000 0f05 ebf7"))  # 1: mov $39, %eax; syscall; jmp 1b
        space.map_file(0x40_0000, file, 0, 1, Access.READ | Access.EXECUTE)
        os.close(file)
        state.pc = 0x40_0000
        for result in (0x1234, 0x5678):
            context.switch(space, state)
            state.result = result
        context.switch(space, state)
        noted, _ = recorder.read()
        resumed = [one for one in noted if one.request == SYSEMU]
        assert [one.result_register for one in resumed[-2:]] == [0x1234, 0x5678]
    finally:
        platform.close()
        lib.flight_record(ffi.NULL)


def test_changed_registers_are_decoded() -> None:
    decoded = decode_all(
        event(SYSEMU, 0, registers=values(rip=16, rax=7)),
        event(WAIT, 0x857F, registers=values(rip=18, rax=7, orig_rax=39)),
        event(SYSEMU, 0, result_register=9),
        event(WAIT, 0x857F, registers=values(rip=18, rax=9, orig_rax=39)),
    )
    assert [found.registers for found in decoded] == [
        {"rax": "0x7", "rip": "0x10"},
        {"orig_rax": "0x27", "rip": "0x12"},
        {"rax": "0x9"},
        {},
    ]
    assert decoded[0].seconds == 2.5


def test_requests_and_errors_are_decoded_to_names() -> None:
    decoded = decode_all(event(SYSEMU, 0), event(0x4206, -3), event(0x7777, 5), event(WAIT, -10))
    assert [(found.request, found.result, found.status) for found in decoded] == [
        ("PTRACE_SYSEMU", "0", None),
        ("PTRACE_SEIZE", "ESRCH", None),
        ("0x7777", "5", None),
        ("wait4", "ECHILD", None),
    ]


def test_wait_statuses_are_decoded() -> None:
    statuses = (0x857F, 0x137F, 0x80137F, 0x6057F, 9, 0x300, 0x227F)
    assert [(found.result, found.status) for found in decode_all(*(event(WAIT, value) for value in statuses))] == [
        ("stopped at a system call", 0x857F),
        ("stopped by SIGSTOP", 0x137F),
        ("stopped at PTRACE_EVENT_STOP by SIGSTOP", 0x80137F),
        ("stopped at PTRACE_EVENT_EXIT", 0x6057F),
        ("killed by SIGKILL", 9),
        ("exited with status 3", 0x300),
        ("stopped by SIGRTMIN", 0x227F),
    ]


def test_a_siginfo_is_decoded() -> None:
    fault = struct.pack("=iiiiQ", signal.SIGSEGV, 0, 1, 0, 0x10).ljust(48, b"\0")
    sent = struct.pack("=iiiiiiQ", signal.SIGUSR1, 0, -1, 0, 12, 1000, 5).ljust(48, b"\0")
    general = struct.pack("=iiiiQ", signal.SIGSEGV, 0, 0x80, 0, 0).ljust(48, b"\0")
    assert [
        found.siginfo for found in decode_all(*(event(GETSIGINFO, 0, about=raw) for raw in (fault, sent, general)))
    ] == [
        "SIGSEGV, code 1 (SEGV_MAPERR), at 0x10",
        "SIGUSR1, code -1 (SI_QUEUE), from process 12 of user 1000, value 0x5",
        "SIGSEGV, code 128 (SI_KERNEL)",
    ]


def test_a_system_call_info_is_decoded() -> None:
    raw = struct.pack("=BxxxI", 1, 0xC000003E).ljust(48, b"\0")
    (decoded,) = decode_all(event(0x420E, 88, about=raw))
    assert decoded.result == "entry, architecture 0xc000003e"


def test_an_event_is_one_line() -> None:
    (decoded,) = decode_all(event(SYSEMU, 0, registers=values(rax=7)))
    assert line(decoded) == "  2.500000  7 PTRACE_SYSEMU 8 -> 0  rax=0x7"


def test_a_recorder_for_events_of_another_size_is_refused() -> None:
    core()
    recorder = Recorder()
    HEADER.pack_into(recorder.memory, 0, EVENT.size + 8, CAPACITY, 0)
    with pytest.raises(ValueError, match="another size"):
        reference_flight.record(recorder)
