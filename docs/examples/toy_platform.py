"""A toy platform: it interprets four x86-64 instructions, without ptrace."""

import os
from signal import SIGILL, SIGSEGV

from worldswitch.harness import contract


class ToyAddressSpace:
    def __init__(self) -> None:
        self.mappings: list[tuple[range, int, int]] = []  # addresses, file, offset

    def map_file(self, address, file, offset, length, access, precommit=False) -> None:
        self.mappings.insert(0, (range(address, address + length), os.dup(file), offset))

    def read(self, address: int) -> bytes:
        for addresses, file, offset in self.mappings:  # the newest first
            if address in addresses:
                return os.pread(file, 5, offset + address - addresses.start)
        return b""


class ToyContext:
    def __init__(self, *, resident: bool = False) -> None:
        self.pending = False

    def interrupt(self) -> None:
        self.pending = True

    def switch(self, address_space, state: contract.State) -> contract.Event:
        while not self.pending:
            code = address_space.read(state.pc)
            if not code:  # nothing is mapped there
                return contract.Fault(SIGSEGV, 1, state.pc, contract.Access.EXECUTE)
            if code.startswith(b"\x0f\x0b"):  # ud2
                return contract.Signal(SIGILL, 2, state.pc)
            if code.startswith(b"\x0f\x05"):  # syscall
                state.pc = state["rcx"] = state.pc + 2
                state["r11"] = state["eflags"]
                return contract.Syscall(state["rax"])
            if code.startswith(b"\xeb"):  # jmp
                state.pc += 2 + int.from_bytes(code[1:2], signed=True)
            elif code.startswith(b"\xb8"):  # mov $value, %eax
                state["rax"] = int.from_bytes(code[1:5], "little")
                state.pc += 5
            else:
                raise NotImplementedError(f"the toy knows no instruction {code.hex(' ')}")
        self.pending = False
        return contract.Interrupted()


class ToyPlatform:
    address_range = (0x10000, 1 << 47)
    new_address_space = ToyAddressSpace
    new_context = ToyContext

    def __init__(self, options: contract.Options) -> None: ...
    def close(self) -> None: ...
    def new_state(self) -> contract.State:
        return contract.State(b"")
