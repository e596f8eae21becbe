"""libseccomp through ctypes: compiles a runtime's rules to the BPF that the runtime installs."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from ctypes.util import find_library

from worldswitch.harness.environments.simulation import bpf
from worldswitch.harness.environments.simulation.runtime_rules import Condition, RuntimeRule

NAMES = ("libseccomp.so.2", "libseccomp.so")
#: enum scmp_compare, include/seccomp.h
OPERATORS = {f"SCMP_CMP_{name}": number for number, name in enumerate("NE LT LE EQ GE GT MASKED_EQ".split(), 1)}
NO_SUCH_CALL = -1  #: __NR_SCMP_ERROR


_libc = ctypes.CDLL(None)


class Rejected(ValueError):
    """libseccomp rejects the filter, so the runtime starts no container; the message says what it rejects."""


class _Comparison(ctypes.Structure):
    _fields_ = (  # struct scmp_arg_cmp
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def _comparison(condition: Condition) -> _Comparison:
    return _Comparison(condition.index, OPERATORS[condition.operator], condition.value, condition.second)


class Library:
    """The loaded library."""

    def __init__(self, loaded: ctypes.CDLL) -> None:
        self._library = loaded
        loaded.seccomp_init.restype = ctypes.c_void_p
        loaded.seccomp_init.argtypes = (ctypes.c_uint32,)
        loaded.seccomp_release.argtypes = (ctypes.c_void_p,)
        loaded.seccomp_arch_resolve_name.restype = ctypes.c_uint32
        loaded.seccomp_arch_native.restype = ctypes.c_uint32
        for name in ("seccomp_arch_add", "seccomp_arch_remove"):
            getattr(loaded, name).argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        loaded.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
        loaded.seccomp_syscall_resolve_num_arch.argtypes = (ctypes.c_uint32, ctypes.c_int)
        loaded.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
        loaded.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
        loaded.seccomp_rule_add_array.argtypes = (
            *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
            ctypes.POINTER(_Comparison),
        )

    def token(self, architecture: str) -> int:
        """Return the library's token of an architecture.  Raises `Rejected`."""
        found = self._library.seccomp_arch_resolve_name(architecture.removeprefix("SCMP_ARCH_").lower().encode())
        if not found:
            raise Rejected(f"libseccomp does not know the architecture {architecture}")
        return int(found)

    def number(self, name: str, architecture: str) -> int | None:
        """Return a call's number, negative if only other architectures have it; None for an unknown name."""
        found = int(self._library.seccomp_syscall_resolve_name_arch(self.token(architecture), name.encode()))
        return None if found == NO_SUCH_CALL else found

    def name(self, number: int, architecture: str) -> str:
        """Return a call's name; empty if the library does not know the number."""
        found = self._library.seccomp_syscall_resolve_num_arch(self.token(architecture), number)
        if not found:
            return ""
        name = ctypes.string_at(found).decode()
        _libc.free(ctypes.c_void_p(found))
        return name

    def program(self, default: int, native: str, others: Sequence[str], rules: Iterable[RuntimeRule]) -> bpf.Program:
        """Compile rules for a machine of the architecture `native`.  Raises `Rejected`."""
        with self._filter(default) as filter_:
            self._choose(filter_, native, others)
            for rule in rules:
                self._add(filter_, rule)
            with tempfile.TemporaryFile() as file:
                _checked(self._library.seccomp_export_bpf(filter_, file.fileno()), "the filter cannot be compiled")
                file.seek(0)
                return bpf.decode(file.read())

    @contextmanager
    def _filter(self, default: int) -> Iterator[int]:
        filter_ = self._library.seccomp_init(default)
        if not filter_:
            raise Rejected(f"libseccomp rejects the default action {default:#x}")
        try:
            yield filter_
        finally:
            self._library.seccomp_release(filter_)

    def _choose(self, filter_: int, native: str, others: Sequence[str]) -> None:
        """Set the architectures: a new filter has that of this machine."""
        here, wanted = int(self._library.seccomp_arch_native()), self.token(native)
        for token in dict.fromkeys((wanted, *map(self.token, others))):
            if token != here:
                _checked(self._library.seccomp_arch_add(filter_, token), f"architecture {token:#x}")
        if wanted != here and here not in map(self.token, others):
            _checked(self._library.seccomp_arch_remove(filter_, here), f"architecture {here:#x}")

    def _add(self, filter_: int, rule: RuntimeRule) -> None:
        # Rules have this machine's numbers, which the library translates to those of the filter's architectures.
        number = int(
            self._library.seccomp_syscall_resolve_name_arch(self._library.seccomp_arch_native(), rule.name.encode())
        )
        if number == NO_SUCH_CALL:
            return
        comparisons = (_Comparison * len(rule.conditions))(*map(_comparison, rule.conditions))
        answer = self._library.seccomp_rule_add_array(filter_, rule.value, number, len(rule.conditions), comparisons)
        _checked(answer, f"syscalls[{rule.place}], {rule.name}")


def _checked(result: int, what: str) -> None:
    if result < 0:
        raise Rejected(f"libseccomp rejects {what}: {errno.errorcode.get(-result, '')} {os.strerror(-result)}")


@functools.cache
def load() -> Library | None:
    """Return the library of this machine; None if it has none."""
    for name in (*NAMES, find_library("seccomp")):
        if name:
            try:
                return Library(ctypes.CDLL(name))
            except (OSError, AttributeError):
                continue
    return None
