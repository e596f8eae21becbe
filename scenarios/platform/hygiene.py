"""Recycled stubs compared with new ones: neither a guest nor /proc can tell them apart."""

from __future__ import annotations

from pathlib import Path

from worldswitch.scenarios import guests
from worldswitch.scenarios.declare import scenario
from worldswitch.scenarios.stage.deaths import stub_of
from worldswitch.scenarios.stage.processes import threads_of
from worldswitch.scenarios.stage.stage import PAGE, Guest, Stage
from worldswitch.scenarios.stage.steady_guests import in_a_thread_that_ends

#: What a guest leaves in its registers, besides vectors: bases, flags, everything else.
MARKS = {
    **dict.fromkeys(("rax", "rcx", "rdx", "rsi", "rdi", "rbp", *(f"r{n}" for n in range(8, 16))), 0xBAD_BAD_BAD),
    "fs_base": 0x7000_0000,
    "gs_base": 0x7100_0000,
    "eflags": 0x4_0E97,  # AC, DF, OF, SF, ZF, AF, PF, CF
}

#: XSTATE_BV of an XSAVE image: Intel SDM 1, 13.4.2; that it may vary, 13.6.
IN_USE = slice(512, 520)

#: Fields of a thread's status that change from one guest to the next.
CHANGING = ("Name", "Tgid", "Pid", "NSpid", "NStgid", "TracerPid", "State", "Threads", "VmPeak", "VmSize", "VmHWM")
CHANGING_TOO = (
    "VmRSS",
    "RssAnon",
    "RssFile",
    "RssShmem",
    "VmData",
    "VmExe",
    "VmLib",
    "VmPTE",
    "Ngid",
    "NSpgid",
    "NSsid",
)
COUNTING = ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches", "SigQ", "FDSize")


@scenario("PO02", "K57", clauses=("seed.Release", "seed.I14"), normal=3, soak=100)
def a_guest_in_a_recycled_stub_begins_as_in_a_new_one(stage: Stage) -> None:
    """After a guest that changed every register it can, the next guest's first event equals that of a new stub."""
    new = _first_event(stage)
    for _ in range(stage.trial.repeat):
        pid = _leave_marks(stage)
        guest = _first_event(stage)
        assert stub_of(stage, guest.space) == pid
        assert guest.state.registers == new.state.registers
        assert _values(guest) == _values(new), "the last guest's extended state is left"
        guest.space.release()


@scenario("PO02", "K57", clauses=("seed.Release", "seed.W24", "kernel.M6"))
def a_recycled_stub_is_the_process_it_was(stage: Stage) -> None:
    """A recycled stub has the signal masks, dispositions, CPUs, limits and heap of a new one."""
    spaces = [stage.space() for _ in range(2)]
    (used, account), new = ((stub_of(stage, space), _account(stub_of(stage, space))) for space in spaces)
    spaces[0].release()
    in_a_thread_that_ends(stage, lambda: _pass_through(stage, used))
    again = stage.space()
    assert stub_of(stage, again) == used
    assert _account(used) == account == new[1]


# -------------------------------------------------------------------------------------------------------------- helpers


def _first_event(stage: Stage) -> Guest:
    guest = stage.guest(guests.getpid_loop)
    guest.syscalls(1)
    return guest


def _values(guest: Guest) -> bytes:
    """The guest's extended state, without the in-use bits, which may cover components in their initial state."""
    image = bytearray(guest.state.xstate)
    image[IN_USE] = bytes(8)
    return bytes(image)


def _leave_marks(stage: Stage) -> int:
    """Let a guest change what it can, and release its address space; its stub."""
    guest = stage.guest(guests.xmm_fill)
    for name, value in MARKS.items():
        guest.state[name] = value
    guest.data[0:PAGE] = b"\xbd" * PAGE
    guest.syscalls(2)
    pid = stub_of(stage, guest.space)
    guest.space.release()
    return pid


def _pass_through(stage: Stage, pid: int) -> None:
    assert _leave_marks(stage) == pid


def _account(pid: int) -> set[str]:
    """What /proc shows of a process and its threads, without the fields that change with every guest."""
    process = Path(f"/proc/{pid}")
    lines = {line for name in ("limits", "oom_score_adj", "coredump_filter") for line in _lines(process / name)}
    for tid in threads_of(pid):
        status = _lines(process / "task" / str(tid) / "status")
        lines |= {line for line in status if line.partition(":")[0] not in (*CHANGING, *CHANGING_TOO, *COUNTING)}
    stat = (process / "stat").read_text().rpartition(")")[2].split()
    return lines | {f"{what} {stat[field]}" for what, field in {"nice": 16, "brk": 44, "policy": 38}.items()}


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()
