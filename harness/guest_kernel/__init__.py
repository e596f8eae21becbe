"""A little Linux for static programs, on any platform: enough to run a program that makes few kinds of system calls.

    elf        what a file wants in memory
    memory     guest memory as this side reads and writes it
    process    a program in an address space, and the loop that serves its system calls
    calls      the system calls, a function each, in a table: what is not in it answers ENOSYS

Run one: ``python -m worldswitch.harness.guest_kernel PROGRAM ARGUMENTS``.
"""
