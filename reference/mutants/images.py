"""Mutants of states that the kernel refuses: images and registers that are lost, half loaded, or kill the stub."""

from __future__ import annotations

from typing import Any

from worldswitch.harness.contract import AddressSpace, Event, State, StubDied
from worldswitch.reference._core import ffi
from worldswitch.reference.context import PtraceContext
from worldswitch.reference.mutants import mutant
from worldswitch.reference.ptrace import PtracePlatform
from worldswitch.reference.tracee import Tracee
from worldswitch.reference.x86_64 import SEGMENTS, SSE, XSTATE_BV

#: The legacy region and the header: all there is to an image for a processor with SSE alone.
SSE_IMAGE = 576


class _LiteralContext(PtraceContext):
    def list_control_word(self, image: bytearray) -> None:
        pass


@mutant(caught_by=("images::the_control_word_counts_whatever_the_header_lists",), origin="gvisor aadfe7f23")
class LosesTheControlWord(PtracePlatform):
    """Loads an image as it stands, and the kernel ignores a control word that its header does not cover."""

    context_class = _LiteralContext


class _ListingContext(PtraceContext):
    def list_control_word(self, image: bytearray) -> None:
        image[XSTATE_BV] |= SSE


@mutant(
    caught_by=("images::registers_that_the_header_does_not_list_are_zero",),
    origin="gvisor aadfe7f23 without clearing the registers that the bit enables",
)
class LoadsUnlistedRegisters(PtracePlatform):
    """Lists SSE in every image's header, and loads registers that were not listed."""

    context_class = _ListingContext


@mutant(caught_by=("EX05",), origin="gvisor bb8400681: the size of the image from another source than the kernel")
class SizesImagesByHand(PtracePlatform):
    """Sizes the extended state for SSE only."""

    def _first_stub(self) -> bytes:
        return super()._first_stub()[:SSE_IMAGE]


class _ProudContext(PtraceContext):
    def _refused(self, tracee: Tracee, error: int) -> Exception:
        return StubDied(tracee.give_up(f"its registers were refused with errno {error}"))


@mutant(
    caught_by=(
        "images::an_image_the_kernel_refuses_is_an_error_until_it_is_mended",
        "images::a_refused_image_is_nobody_elses",
        "images::reserved_control_bits_never_reach_a_guest",
        "unloadable::a_base_the_kernel_refuses_is_an_error_until_it_is_mended",
        "unloadable::registers_that_were_taken_before_a_refusal_are_nobody_elses",
    ),
    origin="seed.W20, gvisor 99d595869: a panic, because a guest's registers were refused",
)
class GivesUpOverRefusals(PtracePlatform):
    """Ends the stub when the kernel refuses a guest's registers."""

    context_class = _ProudContext


class _HastyContext(PtraceContext):
    def _refused(self, tracee: Tracee, error: int) -> Exception:
        self._admission.xset = ffi.NULL
        return super()._refused(tracee, error)


@mutant(
    caught_by=("images::an_image_the_kernel_refuses_is_an_error_until_it_is_mended",),
    origin="a lazy extended state, the answer to seed.W25, marked as loaded before it is",
)
class TriesAnImageOnce(PtracePlatform):
    """Treats a refused image as loaded, and runs the guest without it the next time."""

    context_class = _HastyContext


class _StubbornContext(PtraceContext):
    _known = b""

    def _take(self, tracee: Tracee, state: State) -> Any:
        self._known = bytes(ffi.buffer(ffi.addressof(tracee.handle.shadow)))
        return super()._take(tracee, state)

    def _refused(self, tracee: Tracee, error: int) -> Exception:
        refusal = super()._refused(tracee, error)
        ffi.memmove(ffi.addressof(tracee.handle.shadow), self._known, len(self._known))
        tracee.handle.shadow_valid = 1
        return refusal


@mutant(
    caught_by=("unloadable::registers_that_were_taken_before_a_refusal_are_nobody_elses",),
    origin="pitfall 22, fact.E11: what the thread has is known from before, and a refusal changed half of it",
)
class BelievesItsShadow(PtracePlatform):
    """Treats a thread's registers as unchanged by a PTRACE_SETREGS that failed."""

    context_class = _StubbornContext


class _PassingContext(PtraceContext):
    def switch(self, address_space: AddressSpace, state: State) -> Event:
        if self._holder is not None:
            segments = self._holder.handle.segments
            for name in SEGMENTS:
                setattr(segments, name, state[name] or getattr(segments, name))
        return super().switch(address_space, state)


@mutant(
    caught_by=("unloadable::selectors_are_the_platforms",),
    origin="pitfall 20: cs, ss and the rest as the caller has them, and EIO for most",
)
class PassesSelectorsOn(PtracePlatform):
    """Loads a state's segment selectors."""

    context_class = _PassingContext
