"""The doctor's findings, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from docker import DockerClient

from worldswitch.harness.cell.probes import confinement, table
from worldswitch.harness.cell.probes import kernel_facts as behaviour
from worldswitch.harness.cell.probes import table as probes
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.cli.main import main
from worldswitch.harness.environments.docker import engine
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.images import apt_mirror
from worldswitch.harness.environments.oci import runtime
from worldswitch.harness.environments.oci.bundle import Runtime
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.report import doctor
from worldswitch.harness.verdict import Verdict


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has everything but Yama and an engine."""
    monkeypatch.setattr(doctor, "rehearse_platform", lambda _: Result(verdict=Verdict.PASS))
    monkeypatch.setattr(probes, "probe", lambda name: ProbeResult("no" if name == "yama" else "yes", f"so says {name}"))
    monkeypatch.setattr(behaviour, "observe", lambda *_: {"stops::one": "a stop", "stops::two": "not observed: no"})
    monkeypatch.setattr(engine, "addresses", list)
    monkeypatch.setattr(engine, "check_startable", _refuse)
    monkeypatch.setattr(runtime, "obtain", _no_runtime)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(apt_mirror.MIRROR, "http://there/debian")


def _no_runtime(*_: object, **__: object) -> Runtime:
    raise Unobtainable("no OCI runtime is installed (runc, crun)", "apt-get install runc")


def _refuse(tried: list[str]) -> None:
    raise Unobtainable("dockerd is not installed", "apt-get install docker.io")


def test_the_doctor_prints_what_cannot_run_with_the_command_that_enables_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 2
    printed = capsys.readouterr().out
    assert "dockerd is not installed" in printed
    assert "2 facts about the kernel, 1 of them not observed" in printed
    assert "->  apt-get install docker.io" in printed
    assert len(printed.splitlines()) < 40


def test_the_json_has_the_same_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    host, containers, oci, kernels = found["can_run"]
    assert (host["name"], host["works"]) == ("host", True)
    assert (containers["name"], containers["works"]) == ("containers", False)
    assert containers["remedy"] == "apt-get install docker.io"
    assert (oci["name"], oci["works"], oci["remedy"]) == ("oci", False, "apt-get install runc")
    assert (kernels["name"], kernels["works"]) == ("kernels", True)
    assert kernels["said"].startswith("11 in QEMU, from http://there/debian, 0 fetched")
    assert [check["name"] for check in found["lacking"]] == ["yama"]
    assert found["machine"]["probes"]["yama"]["state"] == "no"


def test_a_filter_that_denies_stub_calls_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        table, "probe", lambda name: ProbeResult("denied" if name == "stub_calls" else "yes", f"so says {name}")
    )
    assert main(["doctor", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    host = found["can_run"][0]
    assert (host["works"], host["said"]) == (False, "stub_calls: so says stub_calls")
    assert "mmap" in host["remedy"]
    assert [check["name"] for check in found["lacking"]] == ["stub_calls"]


def test_a_missing_mirror_is_reported_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(apt_mirror.MIRROR)
    monkeypatch.setattr(apt_mirror.platform, "freedesktop_os_release", lambda: {"ID": "fedora"})
    main(["doctor"])
    assert f"->  install debian-archive-keyring and set {apt_mirror.MIRROR}=" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [_refuse, lambda tried: None])
def test_the_status_is_0_if_host_and_containers_can_run(
    answer: Callable[[list[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "check_startable", answer)
    assert main(["doctor"]) == (2 if answer is _refuse else 0)


def test_an_engine_that_answers_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    client = DockerClient(base_url="unix:///there", version="1.41")
    found = Engine("unix:///there", client, "Docker 20.10", private=False)
    monkeypatch.setattr(engine, "addresses", lambda: ["unix:///there"])
    monkeypatch.setattr(engine, "answering", lambda url, tried: found)
    assert main(["doctor"]) == 0
    assert "Docker 20.10 answers at unix:///there" in capsys.readouterr().out


def test_a_runtime_that_ran_a_container_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Runtime("/usr/sbin/runc", "runc 1.1.5", rootless=False)
    monkeypatch.setattr(runtime, "obtain", lambda *_, **__: found)
    assert main(["doctor"]) == 2  # the default needs an engine
    assert "runc 1.1.5 ran a container" in capsys.readouterr().out


def test_a_reference_that_does_not_load_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Result(verdict=Verdict.ERROR, reason="no module named _core")
    monkeypatch.setattr(doctor, "rehearse_platform", lambda _: broken)
    assert main(["doctor"]) == 2
    printed = capsys.readouterr().out
    assert "no module named _core" in printed
    assert doctor.BUILD in printed


def test_denied_ptrace_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(probes, "probe", lambda name: ProbeResult("denied", "Operation not permitted"))
    assert main(["doctor"]) == 2
    assert "ptrace: Operation not permitted" in capsys.readouterr().out


def test_the_cause_of_denied_ptrace_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probes, "probe", lambda name: ProbeResult("denied", "Operation not permitted"))
    known = Confinement(capabilities="0", yama=2, answers={"PTRACE_SEIZE": "ESRCH"})
    monkeypatch.setattr(confinement, "look", lambda: known)
    assert main(["doctor"]) == 2
    printed = capsys.readouterr().out
    assert "Operation not permitted; yama: ptrace_scope is 2" in printed
    assert "->  grant CAP_SYS_PTRACE" in printed
