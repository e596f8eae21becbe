"""What confines a process is told with evidence; what cannot be read is told as not visible."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from worldswitch.harness.environments.oci.capabilities import EVERY
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.report.doctor import surroundings


def make(root: Path, **files: str) -> Path:
    """Write files below `root`; ``__`` in a name is a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The files of a machine, on which /proc/self/ns/pid is no namespace of the kernel."""
    return make(tmp_path, proc__self__status="", proc__cpuinfo="flags : fpu sse", proc__self__cgroup="0::/\n")


def test_without_proc_nothing_is_claimed(tmp_path: Path) -> None:
    words = msgspec.structs.asdict(surroundings.describe(Confinement(user=7, seccomp=None), tmp_path))
    assert words.pop("user") == "user 7"
    assert words.pop("label") == "none can be read"
    assert {name: text.partition(":")[0] for name, text in words.items()} == dict.fromkeys(words, "not visible")


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ((), "none"),
        (EVERY, "all"),
        (EVERY[1:], "all but CAP_CHOWN"),
        (("CAP_CHOWN", "CAP_KILL"), "2: CAP_CHOWN CAP_KILL"),
    ],
)
def test_capabilities_are_named(held: tuple[str, ...], words: str, machine: Path) -> None:
    known = Confinement(capabilities=f"{sum(1 << EVERY.index(name) for name in held):x}")
    assert surroundings.describe(known, machine).capabilities == words


def test_capabilities_of_an_own_namespace_are_no_privilege_outside(machine: Path) -> None:
    known = Confinement(capabilities=f"{(1 << len(EVERY)) - 1:x}", own_user_namespace=True)
    assert surroundings.describe(known, machine).capabilities == "all of its own user namespace"


def test_filters_modules_label_and_tracer_are_told(machine: Path) -> None:
    known = Confinement(
        seccomp=2, no_new_privileges=True, modules="capability,apparmor", label="docker-default (enforce)",
        yama=2, tracer=41, tracer_name="strace",
    )  # fmt: skip
    words = surroundings.describe(known, machine)
    assert (words.seccomp, words.no_new_privileges) == ("filters are active", "yes")
    assert (words.security_modules, words.label) == ("capability,apparmor", "docker-default (enforce)")
    assert (words.yama, words.tracer) == ("ptrace_scope is 2", "process 41 (strace)")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({".dockerenv": ""}, "yes: /.dockerenv exists (Docker), not the initial PID namespace"),
        ({"run__.containerenv": ""}, "yes: /run/.containerenv exists (podman), not the initial PID namespace"),
        (
            {"proc__self__cgroup": "0::/kubepods/burstable/pod1"},
            "yes: its control group is one of kubepods, not the initial PID namespace",
        ),
    ],
)
def test_a_container_is_shown_by_its_marks(files: dict[str, str], words: str, machine: Path) -> None:
    make(machine, proc__self__ns__pid="", **files)
    assert surroundings.container(machine) == words


def test_a_mark_in_the_initial_namespace_is_only_a_perhaps(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(machine, proc__self__ns__pid="")
    number = (machine / "proc/self/ns/pid").stat().st_ino
    monkeypatch.setattr(surroundings, "FIRST_PID_NAMESPACE", number)
    assert surroundings.container(machine) == "no sign of one"
    make(machine, **{".dockerenv": ""})
    assert surroundings.container(machine).startswith("perhaps: /.dockerenv exists (Docker), but the initial PID")


def test_a_virtual_machine_is_shown_by_its_processor(machine: Path) -> None:
    assert surroundings.virtual_machine(machine) == "no sign of one: the processor shows no hypervisor"
    make(machine, proc__cpuinfo="flags : fpu hypervisor sse", sys__class__dmi__id__sys_vendor="QEMU\n")
    found = surroundings.virtual_machine(machine)
    assert found == "yes: the processor shows a hypervisor; the machine is called QEMU"
