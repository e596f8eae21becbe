"""A real engine is killed during a run: finished trials are kept, the rest are misses, and nothing is left.

Needs root, dockerd and a compiler; the image is a small C program that prints a cell's first frames and waits.
"""

from __future__ import annotations

import gc
import io
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from scripted import NAMES, SCENARIOS, Quiet, frames, header, planner, trial

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments import plan, run_resources
from worldswitch.harness.environments.docker import engine
from worldswitch.harness.environments.docker.container import ContainerCell, Docker
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.docker.image import Image
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.expectations.outcome import Judged, Status, status
from worldswitch.harness.results import reader
from worldswitch.harness.run.request import Request
from worldswitch.harness.run.runner import Run

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which("gcc"),
    reason="needs root, an installed dockerd, and a compiler",
)

SAYS = """
#include <fcntl.h>
#include <unistd.h>
static char said[1 << 16];
int main(void) {
    int file = open("/said", O_RDONLY);
    if (write(1, said, read(file, said, sizeof said)) < 0) return 1;
    for (;;) pause();
}
"""


@pytest.fixture
def private(run: RunResources) -> Iterator[Engine]:
    """A private engine of this test's run."""
    try:
        yield engine.start(run)
    except Unobtainable as problem:
        pytest.skip(str(problem))


def image(private: Engine, folder: Path) -> Image:
    """An image whose program outputs a header and a trial."""
    (folder / "say.c").write_text(SAYS)
    subprocess.run(["gcc", "-static", "-o", folder / "say", folder / "say.c"], check=True)
    said = b"".join(line for line in frames([header(), trial(NAMES[0])]) if isinstance(line, bytes))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(folder / "say", "say")
        about = tarfile.TarInfo("said")
        about.size = len(said)
        tar.addfile(about, io.BytesIO(said))
    private.client.api.import_image_from_data(packed.getvalue(), repository="says", tag="1")
    return Image("says:1", "says", "scratch")


class Saying(Docker):
    """A container of that image."""

    def start(self, arguments: Sequence[str]) -> ContainerCell:
        return self.run(["/say"])


class Killing(Quiet):
    """Kills the engine after the first trial."""

    def __init__(self, run: RunResources) -> None:
        super().__init__()
        self._pid = run.sockets / "docker.pid"

    def trial_ends(self, cell: CellName, judged: Judged) -> None:
        super().trial_ends(cell, judged)
        if self._pid.exists():
            os.kill(int(self._pid.read_text()), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the SDK's own, of connections that were refused
def test_the_trials_before_the_engine_s_death_are_kept(
    run: RunResources, private: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, (profile,) = image(private, tmp_path), profiles.select(["docker-default"])
    first, second = (Saying(private, made, profile, run) for _ in range(2))
    second.name = "docker:second"
    monkeypatch.setattr(plan, "plan", planner(first, second))
    folder = tmp_path / "results"
    folder.mkdir()
    begin = time.monotonic()
    whole = Run(Request(), SCENARIOS, folder, Killing(run))
    whole.go()
    assert time.monotonic() - begin < 30
    kept = reader.read(folder)
    assert {str(cell.name): [one.trial.verdict.value for one in cell.judged] for cell in kept.cells} == {
        "docker:docker-default": ["pass", "miss", "miss"],
        "docker:second": ["miss"] * 3,
    }
    reasons = [cell.problem.reason for cell in kept.cells if cell.problem]
    assert "the engine did not report the exit status of the container" in reasons[0]
    assert "the engine could not start a container under the profile docker-default" in reasons[1]
    assert status(whole.outcomes) is Status.COULD_NOT_RUN
    private.client.close()
    run.close()
    assert not list(run_resources._control_groups(run.id))
    assert not list(run_resources._engine_processes(run.id))
    assert not run.folder.exists()
    gc.collect()
