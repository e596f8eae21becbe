"""x86-64's ``user_regs_struct`` and the registers of a system call.

The order is that of arch/x86/include/asm/user_64.h, unchanged from 5.10 to 7.3.
"""

NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx"),
    *("r11", "r10", "r9", "r8"),
    *("rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss"),
    *("fs_base", "gs_base", "ds", "es", "fs", "gs"),
)

#: The index of each register in the struct, in 64-bit words.
INDEX = {name: index for index, name in enumerate(NAMES)}

SIZE = 8 * len(NAMES)

#: The registers that belong to the guest: all but the segments, which the platform sets, and the kernel's orig_rax.
GENERAL = (*NAMES[:15], "rip", "eflags", "rsp", "fs_base", "gs_base")

ARGUMENTS = tuple(INDEX[name] for name in ("rdi", "rsi", "rdx", "r10", "r8", "r9"))
RESULT = INDEX["rax"]
NUMBER = INDEX["orig_rax"]
PC = INDEX["rip"]
SP = INDEX["rsp"]

#: The nonzero registers of a new thread; eflags has IF and the always-set bit 1.
INITIAL = {"eflags": 0x202}
