"""The names of system calls come from the kernel's tables, and libseccomp is asked where there is one."""

from __future__ import annotations

import ctypes.util
import json

import pytest

from worldswitch.harness.environments.filters import syscall_names
from worldswitch.harness.environments.oci import seccomp


def test_calls_of_other_architectures_and_removed_ones_are_known() -> None:
    known = syscall_names.known()
    assert known >= {"ptrace", "socketcall", "s390_pci_mmio_read", "riscv_flush_icache", "set_tls", "uselib", "mseal"}
    assert known.isdisjoint({"ptracee", "kqueue", "PTRACE", "", "osf_wait4"})


def test_the_default_filter_s_calls_are_known() -> None:
    named = {name for rule in json.loads(seccomp.default())["syscalls"] for name in rule["names"]}
    assert named - syscall_names.known() == set()


@pytest.mark.skipif(not ctypes.util.find_library("seccomp"), reason="no libseccomp")
def test_libseccomp_agrees_with_the_table() -> None:
    library = syscall_names.libseccomp()
    assert library
    assert library.version.count(".") == 2
    assert library.knows("ptrace")
    assert not any(library.knows(name) for name in ("ptracee", "", "ptrace\0"))


def test_a_machine_may_have_no_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(syscall_names.ctypes, "CDLL", absent)
    syscall_names.libseccomp.cache_clear()
    assert syscall_names.libseccomp() is None
    syscall_names.libseccomp.cache_clear()
