"""x86-64's ``user_regs_struct``, word by word, and which registers carry a system call.

The order is the kernel's (arch/x86/include/asm/user_64.h, 5.10 ... 7.3: unchanged).
"""

NAMES = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx"),
    *("r11", "r10", "r9", "r8"),
    *("rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss"),
    *("fs_base", "gs_base", "ds", "es", "fs", "gs"),
)

#: Which word of the struct a register is.
INDEX = {name: index for index, name in enumerate(NAMES)}

SIZE = 8 * len(NAMES)

#: What a guest owns wholly: all but the segments, which the platform sets, and orig_rax, which is the kernel's.
GENERAL = (*NAMES[:15], "rip", "eflags", "rsp", "fs_base", "gs_base")

ARGUMENTS = tuple(INDEX[name] for name in ("rdi", "rsi", "rdx", "r10", "r8", "r9"))
RESULT = INDEX["rax"]
NUMBER = INDEX["orig_rax"]
PC = INDEX["rip"]
SP = INDEX["rsp"]

#: What is not zero in a fresh thread: interrupts on, and the always-one bit.
INITIAL = {"eflags": 0x202}
