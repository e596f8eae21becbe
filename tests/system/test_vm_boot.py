"""A real guest: its protocol, its loss, and that no process of it outlives the runner.

QEMU, a kernel and the image are fetched into the cache if missing, as by a run: this takes two minutes and
downloads 200 MB from a Debian mirror.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import NAMES, SCENARIOS, Quiet, Scripted, frames, header, planner, trial

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments import plan as plans
from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.kernels import fetch
from worldswitch.harness.environments.kernels.image import KernelImage, from_file
from worldswitch.harness.environments.oci import seccomp
from worldswitch.harness.environments.oci.spec import ContainerContext, specification
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.protocol import Lost
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.environments.vm import environment, reused_machine
from worldswitch.harness.environments.vm.cell import GuestCell
from worldswitch.harness.environments.vm.machine import MachineParts, VirtualMachine
from worldswitch.harness.environments.vm.qemu import Shape
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations.outcome import Judged, Status, status
from worldswitch.harness.linux import processes
from worldswitch.harness.results import reader
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run

NAME = "6.12"
SECONDS = 120.0


@pytest.fixture(scope="session")
def kernel() -> KernelImage:
    try:
        return fetch.obtain(NAME, print)
    except Unobtainable as problem:
        pytest.skip(str(problem))


@pytest.fixture(scope="module")
def made(kernel: KernelImage) -> Iterator[MachineParts]:
    run = RunResources.create()
    try:
        yield environment.machine_parts(kernel, run, print)
    except Unobtainable as problem:
        pytest.skip(str(problem))
    finally:
        run.close()


@pytest.fixture(scope="module")
def machine(made: MachineParts, kernel: KernelImage) -> Iterator[VirtualMachine]:
    up = VirtualMachine(made.hardware, kernel.image, Shape())
    up.boot(SECONDS)
    yield up
    up.close()


def start(machine: VirtualMachine, number: int, script: str) -> GuestCell:
    return GuestCell(machine, number, {"command": ["python3", "-c", script]}, lambda: None)


def output(cell: GuestCell) -> bytes:
    return b"".join(line for line in cell.frames() if not line.startswith(b"@ws"))


def test_a_guest_runs_the_kernel_it_was_given(machine: VirtualMachine, kernel: KernelImage) -> None:
    cell = start(machine, 1, "import os; print(os.uname().release, os.getuid(), os.path.exists('/opt/worldswitch'))")
    assert output(cell).decode().split() == [kernel.release, "0", "True"]
    assert cell.wait(SECONDS) == 0


def test_more_than_a_megabyte_is_transferred(machine: VirtualMachine) -> None:
    lines = "import os, base64; print('\\n'.join(base64.b64encode(os.urandom(90)).decode() for _ in range(10000)))"
    assert len(output(start(machine, 2, lines))) > 1_200_000


def test_a_cell_s_leftovers_are_removed(machine: VirtualMachine) -> None:
    leave = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True); open('/tmp/left', 'w')"
    start(machine, 3, leave).wait(SECONDS)
    look = """import glob, os
print([open(name).read() for name in glob.glob('/proc/*/comm')].count('sleep\\n'), os.listdir('/tmp'))"""
    assert output(start(machine, 4, look)).decode().split() == ["0", "[]"]


def test_a_hanging_cell_is_killed_and_the_guest_survives(machine: VirtualMachine) -> None:
    cell = start(machine, 5, "import time; print('up', flush=True); time.sleep(1000)")
    assert next(cell.frames()) == b"up\n"
    cell.kill()
    assert output(start(machine, 6, "print('alive')")) == b"alive\n"


def test_the_image_has_every_scenario_as_pytest_compiles_it(machine: VirtualMachine) -> None:
    look = """import os, glob
os.chdir('/opt/worldswitch/worldswitch/scenarios')
print(len(glob.glob('[!_]*.py')), len(glob.glob('__pycache__/[!_]*-pytest-*.pyc')))"""
    modules, compiled = map(int, output(start(machine, 7, look)).split())
    assert 0 < modules <= compiled


def test_all_facts_of_a_kernel_are_observed(made: MachineParts, machine: VirtualMachine) -> None:
    said = reused_machine.observe(machine, 8, made.tree, "here", made.hardware.time_scale, lambda: None)
    assert said
    assert said.where == "here"
    assert said.facts.keys() == {fact.scenario.name for fact in scenarios.facts()}
    assert all(": needs " in text for text in said.facts.values() if text.startswith("not observed"))


def test_a_panic_is_reported_as_the_loss_of_the_machine(made: MachineParts, kernel: KernelImage) -> None:
    doomed = VirtualMachine(made.hardware, kernel.image, Shape())
    try:
        doomed.boot(SECONDS)
        cell = start(doomed, 1, "open('/proc/sysrq-trigger', 'w').write('c')")
        with pytest.raises(Lost, match=r"panic|BUG"):
            cell.wait(SECONDS)
    finally:
        doomed.close()


def test_no_process_outlives_a_killed_runner(made: MachineParts, kernel: KernelImage, tmp_path: Path) -> None:
    script = f"""
        import time
        from pathlib import Path
        from worldswitch.harness.environments.vm.machine import Hardware, VirtualMachine
        from worldswitch.harness.environments.vm.qemu import Shape
        from worldswitch.harness.environments.vm.toolbox import QemuTools
        tools = QemuTools(Path({str(made.hardware.tools.path)!r}), "", "", "")
        hardware = Hardware(tools, Path({str(made.hardware.disk)!r}), "tcg")
        machine = VirtualMachine(hardware, Path({str(kernel.image)!r}), Shape())
        print(machine._qemu.process.pid, flush=True)
        time.sleep(1000)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout
        guardian = int(runner.stdout.readline())
        runner.send_signal(signal.SIGKILL)
    end = time.monotonic() + 20
    while Path(f"/proc/{guardian}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(guardian, 0)


def test_the_results_of_a_cell_survive_its_killed_machine(
    made: MachineParts, kernel: KernelImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = VirtualMachine(made.hardware, kernel.image, Shape())
    doomed.boot(SECONDS)
    said = b"".join(line for line in frames([header(), trial(NAMES[0])]) if isinstance(line, bytes))
    script = f"import os, time; os.write(1, {said!r}); time.sleep(1000)"

    class Killing(Quiet):
        def trial_ends(self, cell: CellName, judged: Judged) -> None:
            for pid in processes.descendants(doomed._qemu.process.pid):
                os.kill(pid, signal.SIGKILL)

    lost = Scripted("linux-6.12", lambda _: start(doomed, 1, script))
    monkeypatch.setattr(plans, "plan", planner(lost))
    run = Run(Request(), SCENARIOS, tmp_path, Killing())
    run.go()
    doomed.close()
    (cell,) = reader.read(tmp_path).cells
    assert [one.trial.verdict.value for one in cell.judged] == ["pass", "miss", "miss"]
    assert cell.problem
    assert "the guest was lost" in cell.problem.reason
    assert status(run.outcomes) is Status.COULD_NOT_RUN


@pytest.fixture(scope="module")
def generic(tmp_path_factory: pytest.TempPathFactory) -> KernelImage:
    """A kernel whose disk driver is a module, with its configuration beside it, as in /boot."""
    folder = tmp_path_factory.mktemp("generic")
    try:
        package = deb_packages.fetch("linux-image-6.1.0-[0-9][0-9]-amd64", ["bookworm"], print)
    except Unobtainable as problem:
        pytest.skip(str(problem))
    deb_packages.unpack(package.path, folder)
    return from_file(next(folder.glob("boot/vmlinuz-*")))


def test_a_kernel_with_modules_boots_and_runs_containers(made: MachineParts, generic: KernelImage) -> None:
    assert generic.why_initramfs == "it has CONFIG_BLK_DEV_NVME=m, CONFIG_EXT4_FS=m"
    assert made.initramfs
    up = VirtualMachine(made.hardware, generic.image, Shape(), made.initramfs())
    try:
        assert up.boot(SECONDS).kernel == generic.release
        found = ContainerContext(
            id="cell-1",
            root=environment.IMAGE,
            environment=made.tree.environment,
            folder=made.tree.folder,
            machine=seccomp.SeccompTarget("x86_64", (6, 1)),
            cgroup="/cell-1",
            own_cgroups=True,
        )
        (profile,) = profiles.select(["hardened"])
        command = ["python3", "-c", "import os; print(os.uname().release, os.getpid())"]
        order = {"configuration": specification(profile, command, found), "sysctls": {}}
        assert output(GuestCell(up, 1, order, lambda: None)).decode().startswith(generic.release)
    finally:
        up.close()
