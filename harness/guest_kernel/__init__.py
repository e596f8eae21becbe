"""A minimal Linux kernel on any platform: it runs static programs that need only a dozen system calls.

    elf        parses static ELF executables
    memory     guest memory, mapped in this process too
    process    a program in an address space, and the loop that serves its system calls
    calls      one function per system call, in a table; any other call returns ENOSYS

Usage: ``python -m worldswitch.harness.guest_kernel PROGRAM ARGUMENTS``.
"""
