"""What QEMU and the kernel in it are told."""

from __future__ import annotations

from pathlib import Path

from worldswitch.harness.environments.vm import qemu
from worldswitch.harness.environments.vm.qemu import Shape
from worldswitch.harness.environments.vm.toolbox import QemuTools

SHAPE = Shape()
TOOLS = QemuTools(Path("/tools"), "10.0.13", "1.21", "id")


def told(shape: Shape = SHAPE, accelerator: qemu.Accelerator = "tcg") -> list[str]:
    return qemu.command(TOOLS, accelerator, shape, Path("/kernel"), Path("/disk"), 7)


def value(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_it_runs_with_libraries_of_its_own() -> None:
    assert told()[0] == "/tools/usr/lib64/ld-linux-x86-64.so.2"


def test_a_machine_is_bounded_and_reaches_nothing() -> None:
    words = told(Shape(cpus=2, memory=1024))
    assert (value(words, "-smp"), value(words, "-m")) == ("2", "1024M")
    assert "-nodefaults" in words
    assert not any("net" in word for word in words)


def test_a_panic_ends_it() -> None:
    words = told()
    assert "-no-reboot" in words
    assert "panic=-1" in value(words, "-append").split()


def test_the_disk_is_not_written_to() -> None:
    assert "snapshot=on" in value(told(), "-drive")


def test_where_a_processor_is_lent_it_is_seen() -> None:
    assert value(told(accelerator="kvm"), "-cpu") == "host"


def test_what_a_profile_asks_of_the_boot_is_said() -> None:
    line = value(told(Shape(options={"vsyscall": "none"})), "-append").split()
    assert "vsyscall=none" in line


def test_what_the_kernel_does_not_know_is_no_word_for_its_first_process() -> None:
    """Words without a value that the kernel does not know would become arguments of init: it knows all of ours."""
    before, _, after = value(told(), "-append").partition(" -- ")
    assert {word for word in before.split() if "=" not in word} == {"quiet", "rw", "rootwait"}
    assert after == "-m worldswitch.harness.environments.vm.guest"


def test_that_an_emulated_processor_lacks_something_is_no_news() -> None:
    assert qemu.noteworthy(["qemu: warning: TCG doesn't support requested feature: CPUID.1", "no"]) == ["no"]
