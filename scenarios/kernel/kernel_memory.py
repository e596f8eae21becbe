"""How the kernel unmaps and maps a tracee's memory, writes into it by itself, and what a fork inherits."""

from __future__ import annotations

import os
import resource
import signal
import struct
from pathlib import Path

from worldswitch.scenarios import guests, raw_ptrace
from worldswitch.scenarios.declare_fact import fact
from worldswitch.scenarios.raw_ptrace import lib
from worldswitch.scenarios.raw_ptrace.arena import PAGE

#: The end of user addresses, with five levels of page tables and with four (arch/x86/include/asm/page_64_types.h).
ENDS = ((1 << 56) - PAGE, (1 << 47) - PAGE)
ANONYMOUS = lib.MAP_PRIVATE | lib.MAP_ANONYMOUS


def _munmap(tracee: raw_ptrace.Thread, address: int, length: int) -> str:
    return raw_ptrace.answer(tracee.call(lib.SYS_munmap, address, length))


def _end(tracee: raw_ptrace.Thread) -> int:
    """TASK_SIZE_MAX, from which munmap refuses addresses."""
    return next(end for end in ENDS if _munmap(tracee, end - PAGE, PAGE) == "0")


# --------------------------------------------------------------------------------------------------------------- munmap


@fact(
    "KM1",
    clauses="kernel.M1",
    known={"0x7ffffffff000": "four levels", "0xfffffffffff000": "five levels (LA57)"},
)
def user_addresses_end() -> str:
    """The last page that munmap accepts ends at TASK_SIZE_MAX."""
    with raw_ptrace.tracee() as tracee:
        return f"{_end(tracee):#x}"


@fact("KM1", clauses="kernel.M1", known={"nothing EINVAL, unaligned EINVAL, all EINVAL": "5.10 to 7.3"})
def munmap_refuses_what_is_no_range() -> str:
    """``munmap`` refuses an empty length, an unaligned address and a length of all addresses with EINVAL."""
    with raw_ptrace.tracee() as tracee:
        hole = tracee.call(lib.SYS_mmap, 0, PAGE, lib.PROT_NONE, ANONYMOUS, -1)
        said = [_munmap(tracee, *what) for what in ((hole, 0), (hole + 1, PAGE), (hole, 2**64 - PAGE))]
        return f"nothing {said[0]}, unaligned {said[1]}, all {said[2]}"


@fact("KM1", clauses="kernel.M1", known={"at it EINVAL, up to it 0, a byte beyond EINVAL": "5.10 to 7.3"})
def munmap_refuses_what_ends_beyond() -> str:
    """``munmap`` compares the length with the end of user addresses before rounding it up to pages."""
    with raw_ptrace.tracee() as tracee:
        end = _end(tracee)
        said = [_munmap(tracee, *what) for what in ((end, PAGE), (end - PAGE, PAGE), (end - PAGE, PAGE + 1))]
        return f"at it {said[0]}, up to it {said[1]}, a byte beyond {said[2]}"


@fact("KM1", clauses="kernel.M1", known={"0, again 0": "5.10 to 7.3"})
def munmap_of_a_hole_is_a_success() -> str:
    """``munmap`` succeeds where nothing is mapped."""
    with raw_ptrace.tracee() as tracee:
        page = tracee.call(lib.SYS_mmap, 0, PAGE, lib.PROT_NONE, ANONYMOUS, -1)
        return f"{_munmap(tracee, page, PAGE)}, again {_munmap(tracee, page, PAGE)}"


@fact("KM1", clauses="kernel.M1", known={"EINVAL": "5.10 to 7.3"})
def munmap_refuses_the_vsyscall_page() -> str:
    """``munmap`` refuses the vsyscall page."""
    with raw_ptrace.tracee() as tracee:
        return _munmap(tracee, 0xFFFFFFFFFF600000, PAGE)


@fact("KM2", clauses="kernel.M2", known={"exit with 0, then SIGSEGV code 1 at rip": "5.10 to 7.3"})
def a_tracee_may_unmap_all_of_itself() -> str:
    """``munmap`` of all addresses succeeds, its exit is reported, and the next instruction faults."""
    with raw_ptrace.tracee() as tracee:
        end = _end(tracee)
        tracee.enter(lib.SYS_munmap, 0, end)
        tracee.go("SYSCALL")
        result = tracee.register("rax")
        tracee.go("CONT")
        info, rip = tracee.siginfo(), tracee.registers()["rip"]
        return f"exit with {result}, then {info}{' at rip' if info and info.address == rip else ''}"


@fact("KM3", clauses=("kernel.M3", "fact.G6"), known={"0, then SIGSEGV code 2 of the new page": "5.10 to 7.3"})
def a_tracee_may_map_over_its_code() -> str:
    """MAP_FIXED over the executing page succeeds, and the next instruction is the new page's."""
    with raw_ptrace.tracee() as tracee:
        here = tracee.process.arena.code
        readable = lib.PROT_READ | lib.PROT_EXEC
        tracee.enter(lib.SYS_mmap, here, PAGE, readable, ANONYMOUS | lib.MAP_FIXED, -1)
        tracee.go("SYSCALL")
        result = tracee.register("rax")
        tracee.go("CONT")  # zeros: add %al, (%rax), with rax at the page
        info = tracee.siginfo()
        whose = "of the new page" if info and info.address == here else "of another place"
        return f"{0 if result == here else raw_ptrace.answer(result)}, then {info} {whose}"


@fact(
    "KM4",
    clauses="kernel.M4",
    known={"EPERM": "5.10 to 7.3", "0": "vm.mmap_min_addr is 0, or CAP_SYS_RAWIO in spite of the user"},
)
def nobody_maps_the_first_page() -> str:
    """``mmap`` at address 0 fails with EPERM for an unprivileged user."""
    with raw_ptrace.tracee() as tracee:
        tracee.call(lib.SYS_setresuid, 65534, 65534, 65534)
        mapped = tracee.call(lib.SYS_mmap, 0, PAGE, lib.PROT_NONE, ANONYMOUS | lib.MAP_FIXED, -1)
        return raw_ptrace.answer(mapped)


@fact("KM4", clauses="kernel.M4", known={"ENOMEM": "5.10 to 7.3"})
def nothing_is_mapped_beyond_the_end() -> str:
    """``mmap`` at the end of user addresses fails with ENOMEM."""
    with raw_ptrace.tracee() as tracee:
        end = _end(tracee)
        return raw_ptrace.answer(tracee.call(lib.SYS_mmap, end, PAGE, lib.PROT_NONE, ANONYMOUS | lib.MAP_FIXED, -1))


#: Where distributions raised it, the experiment would take a million mappings.
USUAL_LIMIT = 65530


@fact(
    "KM5",
    clauses="kernel.M5",
    known={"a hole ENOMEM, an end 0": "5.10 to 7.3", "not tried: vm.max_map_count is raised": "Ubuntu 24.04, Fedora"},
)
def a_hole_takes_one_mapping_more() -> str:
    """At vm.max_map_count munmap fails if it has to split a mapping, and only then."""
    if int(Path("/proc/sys/vm/max_map_count").read_text()) > USUAL_LIMIT:
        return "not tried: vm.max_map_count is raised"
    with raw_ptrace.tracee() as tracee:
        length = 2 * PAGE * USUAL_LIMIT
        begin = tracee.call(lib.SYS_mmap, 0, length + 8 * PAGE, lib.PROT_READ, ANONYMOUS, -1)
        tracee.put(guests.stripes.code, rdi=begin + 8 * PAGE, r12=0, r13=begin + length)
        tracee.go("CONT")
        return f"a hole {_munmap(tracee, begin + 2 * PAGE, PAGE)}, an end {_munmap(tracee, begin, PAGE)}"


# ---------------------------------------------------------------------------------------------- what a fork takes along


@fact("KM6", clauses="kernel.M6", needs="rseq", known={"registered": "since 4.18"})
def a_fork_inherits_rseq() -> str:
    """A forked process keeps the rseq registration of the thread that forked it."""
    with raw_ptrace.tracee(keep_rseq=True) as tracee:
        return "registered" if _rseq_area(tracee) else "not registered"


@fact("KM6", clauses="kernel.M6", needs="rseq", known={"not registered": "since 4.18"})
def a_thread_does_not_inherit_rseq() -> str:
    """A new thread has no rseq registration."""
    with raw_ptrace.tracee(keep_rseq=True) as tracee:
        sibling = tracee.clone()
        sibling.wait()
        return "registered" if _rseq_area(sibling) else "not registered"


def _rseq_area(tracee: raw_ptrace.Thread) -> int:
    configuration = bytearray(24)
    tracee.ask("GET_RSEQ_CONFIGURATION", len(configuration), raw_ptrace.address_of(configuration))
    return int(struct.unpack_from("<Q", configuration)[0])


@fact(
    "KM6",
    clauses=("kernel.M6", "fact.D8"),
    needs="rseq",
    known={
        "SIGSEGV SI_KERNEL, SIGSEGV SI_KERNEL": "since 4.18",
        "SIGTRAP SI_KERNEL, SIGTRAP SI_KERNEL": "unless moved: 7.1, V2",
        "SIGTRAP SI_KERNEL, SIGSEGV SI_KERNEL": "6.19, where it was preempted or moved only then",
        "SIGSEGV SI_KERNEL, SIGTRAP SI_KERNEL": "likewise",
    },
)
def an_unmapped_rseq_area_kills_at_every_resumption() -> str:
    """A thread whose rseq area is unmapped gets a SIGSEGV at each resumption, before any instruction."""
    with raw_ptrace.tracee(keep_rseq=True) as tracee:
        area = _rseq_area(tracee)
        tracee.call(lib.SYS_munmap, area // PAGE * PAGE, PAGE)
        said = []
        for _ in range(2):
            tracee.put(raw_ptrace.TRAP)
            tracee.go("CONT")
            said.append(str(tracee.siginfo()))
        return ", ".join(said)


@fact("KM6", clauses="kernel.M6", known={"0x200 in the parent, 0x200 in its child": "5.10 to 7.3"})
def a_fork_inherits_the_signal_mask() -> str:
    """A fork inherits the signal mask."""
    with raw_ptrace.tracee() as parent:
        mask = bytearray(struct.pack("<Q", 1 << signal.SIGUSR1 - 1))
        parent.ask("SETSIGMASK", 8, raw_ptrace.address_of(mask))
        child = parent.clone(signal.SIGCHLD)
        child.wait()
        masks = []
        for thread in (parent, child):
            thread.ask("GETSIGMASK", 8, raw_ptrace.address_of(mask))
            masks.append(f"{struct.unpack('<Q', mask)[0]:#x}")
        return f"{masks[0]} in the parent, {masks[1]} in its child"


@fact("KM6", clauses="kernel.M6", known={"kept": "5.10 to 7.3"})
def a_fork_inherits_the_signal_stack() -> str:
    """A fork inherits the alternate signal stack."""
    with raw_ptrace.tracee() as parent:
        arena = parent.process.arena
        stack = arena.code + 4 * PAGE
        parent.call(lib.SYS_sigaltstack, arena.write_words(stack, 0, 4 * PAGE), 0)
        child = parent.clone(signal.SIGCHLD)
        child.wait()
        child.call(lib.SYS_sigaltstack, 0, arena.data + 256)
        return "kept" if arena.word(256) == stack else f"{arena.word(256):#x}"


@fact("KM6", clauses="kernel.M6", known={"7 in the parent, 7 in its child": "5.10 to 7.3"})
def a_fork_inherits_limits() -> str:
    """A fork inherits resource limits."""
    with raw_ptrace.tracee() as parent:
        resource.prlimit(parent.tid, resource.RLIMIT_NOFILE, (7, 7))
        child = parent.clone(signal.SIGCHLD)
        child.wait()
        limits = [resource.prlimit(thread.tid, resource.RLIMIT_NOFILE)[0] for thread in (parent, child)]
        return f"{limits[0]} in the parent, {limits[1]} in its child"


@fact("KM6", clauses="kernel.M6", known={"1 CPU in the parent, 1 CPU in its child": "5.10 to 7.3"})
def a_fork_inherits_the_affinity() -> str:
    """A fork inherits the CPU affinity."""
    with raw_ptrace.tracee() as parent:
        os.sched_setaffinity(parent.tid, [min(os.sched_getaffinity(parent.tid))])
        child = parent.clone(signal.SIGCHLD)
        child.wait()
        counts = [len(os.sched_getaffinity(thread.tid)) for thread in (parent, child)]
        return f"{counts[0]} CPU in the parent, {counts[1]} CPU in its child"


@fact("KM6", clauses="kernel.M6", known={"set in the parent, 0 in its child": "5.10 to 7.3"})
def a_fork_forgets_the_robust_list() -> str:
    """A fork does not inherit the list of robust futexes."""
    with raw_ptrace.tracee() as parent:
        arena = parent.process.arena
        parent.call(lib.SYS_set_robust_list, arena.data + 512, 24)
        child = parent.clone(signal.SIGCHLD)
        child.wait()
        heads = []
        for thread in (parent, child):
            thread.call(lib.SYS_get_robust_list, 0, arena.data, arena.data + 8)
            heads.append("set" if arena.word() == arena.data + 512 else str(arena.word()))
        return f"{heads[0]} in the parent, {heads[1]} in its child"


# ---------------------------------------------------------------------------------------- what the kernel itself writes


@fact("KM6", clauses="kernel.M6", known={"0x1111111100000000": "5.10 to 7.3"})
def the_end_of_a_thread_clears_a_word() -> str:
    """The end of a thread clears four bytes at its set_tid_address, whatever is mapped there by then."""
    with raw_ptrace.tracee() as tracee:
        arena = tracee.process.arena
        sibling = tracee.clone()
        sibling.wait()
        sibling.call(lib.SYS_set_tid_address, arena.write_words(0x1111_1111_1111_1111))
        sibling.enter(lib.SYS_exit)
        sibling.go("CONT")
        return f"{arena.word():#x}"


@fact("KM6", clauses="kernel.M6", known={"FUTEX_OWNER_DIED": "5.10 to 7.3"})
def the_end_of_a_thread_marks_robust_futexes() -> str:
    """The end of a thread marks its locks in the list of robust futexes, whatever is mapped there by then."""
    with raw_ptrace.tracee() as tracee:
        arena = tracee.process.arena
        sibling = tracee.clone()
        sibling.wait()
        head = arena.data + 512
        entry = head + 64
        arena.write_words(entry, 32, 0, offset=512)  # struct robust_list_head: list, futex_offset, list_op_pending
        arena.write_words(head, offset=576)
        arena.write_words(sibling.tid, offset=608)
        sibling.call(lib.SYS_set_robust_list, head, 24)
        sibling.enter(lib.SYS_exit)
        sibling.go("CONT")
        return "FUTEX_OWNER_DIED" if arena.word(608) & 0x40000000 else f"{arena.word(608):#x}"
