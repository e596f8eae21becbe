"""The command lines of QEMU and of the guest's kernel."""

from __future__ import annotations

from pathlib import Path

from worldswitch.harness.environments.vm import qemu
from worldswitch.harness.environments.vm.qemu import Shape
from worldswitch.harness.environments.vm.toolbox import QemuTools

SHAPE = Shape()
TOOLS = QemuTools(Path("/tools"), "10.0.13", "1.21", "id")


def command_line(shape: Shape = SHAPE, accelerator: qemu.Accelerator = "tcg") -> list[str]:
    return qemu.command(TOOLS, accelerator, shape, Path("/kernel"), Path("/disk"), 7)


def value(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_qemu_runs_with_its_own_libraries() -> None:
    assert command_line()[0] == "/tools/usr/lib64/ld-linux-x86-64.so.2"


def test_a_machine_has_bounded_memory_and_no_network() -> None:
    words = command_line(Shape(cpus=2, memory=1024))
    assert (value(words, "-smp"), value(words, "-m")) == ("2", "1024M")
    assert "-nodefaults" in words
    assert not any("net" in word for word in words)


def test_a_panic_ends_the_machine() -> None:
    words = command_line()
    assert "-no-reboot" in words
    assert "panic=-1" in value(words, "-append").split()


def test_the_disk_is_not_written_to() -> None:
    assert "snapshot=on" in value(command_line(), "-drive")


def test_with_kvm_the_host_s_cpu_is_visible() -> None:
    assert value(command_line(accelerator="kvm"), "-cpu") == "host"


def test_a_profile_s_kernel_parameters_are_passed() -> None:
    line = value(command_line(Shape(options={"vsyscall": "none"})), "-append").split()
    assert "vsyscall=none" in line


def test_no_parameter_becomes_an_argument_of_init() -> None:
    """The kernel passes unknown words without a value to init as arguments; it must know all of these."""
    before, _, after = value(command_line(), "-append").partition(" -- ")
    assert {word for word in before.split() if "=" not in word} == {"quiet", "rw", "rootwait"}
    assert after == "-m worldswitch.harness.environments.vm.guest"


def test_warnings_about_missing_cpu_features_are_dropped() -> None:
    assert qemu.noteworthy(["qemu: warning: TCG doesn't support requested feature: CPUID.1", "no"]) == ["no"]
