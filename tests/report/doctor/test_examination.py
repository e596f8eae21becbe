"""The doctor's findings, as text and as JSON, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from docker import DockerClient
from paths import ROOT

from worldswitch.harness.bench import quick_cost
from worldswitch.harness.cell.probes import emulation, table
from worldswitch.harness.cell.probes import kernel_facts as behaviour
from worldswitch.harness.cell.probes import table as probes
from worldswitch.harness.cell.probes.emulation import Emulation
from worldswitch.harness.cell.records import ProbeResult
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.cli.main import main
from worldswitch.harness.environments import distribution
from worldswitch.harness.environments.docker import engine
from worldswitch.harness.environments.docker.engine import Engine
from worldswitch.harness.environments.images import apt_mirror
from worldswitch.harness.environments.oci import runtime
from worldswitch.harness.environments.oci.bundle import Runtime
from worldswitch.harness.environments.profiles import kernel_settings
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.report.doctor import examination, findings
from worldswitch.harness.report.doctor.findings import Cost, NoCost, Spread
from worldswitch.harness.verdict import Verdict

COST = Cost(
    switches=12345,
    rounds=50,
    switch=Spread(10.7e-6, 10.5e-6, 11.2e-6),
    floor=Spread(7.0e-6, 6.9e-6, 7.1e-6),
    native=Spread(0.14e-6, 0.14e-6, 0.15e-6),
    ratio=Spread(1.53, 1.5, 1.6),
)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has everything but Yama and an engine."""
    monkeypatch.setattr(quick_cost, "measure", lambda: COST)
    monkeypatch.setattr(examination, "rehearse_platform", lambda _: Result(verdict=Verdict.PASS))
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


@pytest.fixture
def text(capsys: pytest.CaptureFixture[str]) -> Callable[[int], str]:
    """Run the doctor, which must end with a status; return what it printed."""

    def printed(status: int) -> str:
        assert main(["doctor"]) == status
        return capsys.readouterr().out

    return printed


@pytest.fixture
def found(capsys: pytest.CaptureFixture[str]) -> Callable[[], findings.Findings]:
    """Run the doctor; return its JSON."""

    def decoded() -> findings.Findings:
        main(["doctor", "--json"])
        return msgspec.json.decode(capsys.readouterr().out, type=findings.Findings, strict=True)

    return decoded


def test_the_first_lines_are_the_three_answers(text: Callable[[int], str]) -> None:
    lines = text(0).splitlines()
    assert lines[0] == "Can a ptrace sandbox run here?"
    assert lines[1].startswith("  Yes: the reference platform made 12,345 switches")
    assert lines.index("Where?") < lines.index("What will it cost?") < lines.index("What scenarios lack here")


def test_the_cost_is_a_ratio_with_its_spread(text: Callable[[int], str]) -> None:
    assert "  A switch takes 10.7 µs [10.5 .. 11.2], 1.53 [1.50 .. 1.60] times a bare ptrace" in text(0)


def test_what_cannot_run_is_told_with_the_command_that_enables_it(text: Callable[[int], str]) -> None:
    lines = text(0).splitlines()
    place = lines.index("    dockerd is not installed")
    assert lines[place - 1].split() == ["containers", "no"]
    assert lines[place + 1] == "    -> apt-get install docker.io"


def test_missing_probes_are_grouped_by_what_provides_them(text: Callable[[int], str]) -> None:
    lines = text(0).splitlines()
    start = lines.index("What scenarios lack here")
    assert lines[start + 1 : start + 3] == [
        "  run it on a kernel with Yama:",
        "    -> worldswitch run --kernel 6.12 --profile yama-1",
    ]
    assert lines[start + 3].split(maxsplit=1) == ["yama", "so says yama (EV01)"]


def test_the_json_has_the_same_findings(found: Callable[[], findings.Findings]) -> None:
    one = found()
    assert one.answer.can_run
    host, containers, oci, kernels = one.places
    assert (host.name, host.state) == ("host", "yes")
    assert (containers.state, containers.remedy) == ("no", "apt-get install docker.io")
    assert (oci.state, oci.remedy) == ("no", "apt-get install runc")
    assert (kernels.state, kernels.said) == (
        "untried",
        "11 kernels for QEMU from http://there/debian, 0 fetched; none was booted",
    )
    assert [lack.probe for remedy in one.lacking for lack in remedy.provides] == ["yama"]
    assert one.cost == COST
    assert one.machine.probes["yama"].state == "no"
    assert one.machine.facts["stops::one"] == "a stop"


def test_the_json_follows_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    schema = json.loads((ROOT / "results/doctor.schema.json").read_text())
    main(["doctor", "--json"])
    validator(schema).validate(json.loads(capsys.readouterr().out))


def test_the_schema_is_the_code_s() -> None:
    remedy = "renew it: python -m worldswitch.harness.report.doctor.findings > results/doctor.schema.json"
    assert (ROOT / "results/doctor.schema.json").read_bytes() == findings.schema(), remedy


def test_each_key_of_the_json_is_documented() -> None:
    page = (ROOT / "docs/results.md").read_text()
    assert [name for name in findings.Findings.__struct_fields__ if f"`{name}`" not in page] == []


def test_a_platform_that_cannot_switch_is_no_yes(monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]) -> None:
    lack = NoCost("PTRACE_SYSEMU: Operation not permitted", remedy="use another filter")
    monkeypatch.setattr(quick_cost, "measure", lambda: lack)
    lines = text(2).splitlines()
    assert f"No: {examination.NO_SWITCH}: PTRACE_SYSEMU: Operation not permitted" in lines[1]
    assert lines[2] == "    -> use another filter"


def test_a_switch_without_a_floor_is_a_yes_without_a_cost(
    monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]
) -> None:
    monkeypatch.setattr(quick_cost, "measure", lambda: NoCost("TRACEME is denied", switched=True))
    printed = text(0)
    assert "Yes: the reference platform switched into a traced process" in printed
    assert "Unknown: TRACEME is denied" in printed


def test_a_filter_that_denies_stub_calls_is_reported(
    monkeypatch: pytest.MonkeyPatch, found: Callable[[], findings.Findings]
) -> None:
    denied = ProbeResult("denied", "so says stub_calls", "allow mmap")
    monkeypatch.setattr(table, "probe", lambda name: denied if name == "stub_calls" else ProbeResult("yes", ""))
    answer = found().answer
    assert (answer.can_run, answer.reason) == (False, "stub_calls: so says stub_calls")
    assert answer.remedy == "allow mmap"


def test_a_missing_mirror_is_reported_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]
) -> None:
    monkeypatch.delenv(apt_mirror.MIRROR)
    monkeypatch.setattr(apt_mirror.platform, "freedesktop_os_release", lambda: {"ID": "fedora"})
    assert f"-> install debian-archive-keyring and set {apt_mirror.MIRROR}=" in text(0)


def test_an_engine_that_answers_is_named(monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]) -> None:
    client = DockerClient(base_url="unix:///there", version="1.41")
    answering = Engine("unix:///there", client, "Docker 20.10", private=False)
    monkeypatch.setattr(engine, "addresses", lambda: ["unix:///there"])
    monkeypatch.setattr(engine, "answering", lambda url, tried: answering)
    assert "Docker 20.10 answers at unix:///there; no container was tried" in text(0)


@pytest.mark.parametrize(
    ("tried", "said"),
    [([], "no engine runs; dockerd is"), (["unix:///a does not answer"], "unix:///a does not answer;")],
)
def test_an_engine_that_would_be_started_is_untried(
    monkeypatch: pytest.MonkeyPatch, found: Callable[[], findings.Findings], tried: list[str], said: str
) -> None:
    monkeypatch.setattr(engine, "check_startable", lambda _: None)
    monkeypatch.setattr(engine, "addresses", lambda: ["unix:///a"] if tried else [])
    monkeypatch.setattr(engine, "answering", lambda url, failures: failures.extend(tried))
    place = found().places[1]
    assert place.state == "untried"
    assert place.said.startswith(said)


def test_a_runtime_that_ran_a_container_is_named(monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]) -> None:
    monkeypatch.setattr(runtime, "obtain", lambda *_, **__: Runtime("/usr/sbin/runc", "runc 1.1.5", rootless=False))
    assert "runc 1.1.5 ran a container" in text(0)


def test_only_profiles_that_this_kernel_can_have_are_offered(
    monkeypatch: pytest.MonkeyPatch, found: Callable[[], findings.Findings]
) -> None:
    monkeypatch.setattr(runtime, "obtain", lambda *_, **__: Runtime("/usr/sbin/runc", "runc 1.1.5", rootless=False))
    monkeypatch.setattr(kernel_settings, "unmet", lambda needed, *_: ["it has not"] if needed.yama == 3 else [])
    oci = found().places[2]
    assert "docker-default" in oci.profiles
    assert "yama-3" not in oci.profiles
    assert oci.other_profiles == {"yama-3": "the profile yama-3 needs other kernel settings: it has not"}


def test_a_reference_that_does_not_load_is_reported(
    monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]
) -> None:
    broken = Result(verdict=Verdict.ERROR, reason="no module named _core")
    monkeypatch.setattr(examination, "rehearse_platform", lambda _: broken)
    printed = text(2)
    assert "No: no module named _core" in printed
    assert f"-> {examination.rebuild()}" in printed


def test_a_reference_that_crashes_is_not_to_be_built_again(
    monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]
) -> None:
    crash = Result(verdict=Verdict.CRASH, reason="it was killed by signal 9")
    monkeypatch.setattr(examination, "rehearse_platform", lambda _: crash)
    assert "pip install" not in text(2)


def test_where_the_reference_cannot_switch_no_fact_is_observed(
    monkeypatch: pytest.MonkeyPatch, found: Callable[[], findings.Findings]
) -> None:
    """What stops the platform may stop the experiments too, such as a filter that denies memfd_create."""
    monkeypatch.setattr(quick_cost, "measure", lambda: NoCost("memfd_create is denied"))
    monkeypatch.setattr(behaviour, "observe", lambda *_: pytest.fail("it was observed"))
    assert found().machine.facts == {}


@pytest.mark.parametrize(("name", "package"), [("fedora", "python3-devel"), ("arch", "pacman"), ("debian", "apt-get")])
def test_the_compiler_is_named_as_the_distribution_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setattr(distribution, "_ids", lambda: {name})
    first, _, second = examination.rebuild().partition(" && ")
    assert package in first
    assert "pip install" in second


def test_the_cause_of_denied_ptrace_is_reported(monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]) -> None:
    denied = ProbeResult("denied", "PTRACE_SEIZE: EPERM: yama: ptrace_scope is 2", "grant CAP_SYS_PTRACE")
    monkeypatch.setattr(probes, "probe", lambda name: denied)
    printed = text(2)
    assert "No: ptrace: PTRACE_SEIZE: EPERM: yama: ptrace_scope is 2" in printed
    assert "-> grant CAP_SYS_PTRACE" in printed
    assert "what the first lines name; nothing else was probed" in printed


def test_where_the_reference_cannot_run_no_other_probe_is_tried(
    monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]
) -> None:
    """A probe that traces may wait for its deadline where ptrace does nothing."""
    tried = []

    def probe(name: str) -> ProbeResult:
        tried.append(name)
        return ProbeResult("no", "no answer within 10 s")

    monkeypatch.setattr(probes, "probe", probe)
    text(2)
    assert len(set(tried)) == 1


def test_an_emulated_kernel_is_named_with_its_evidence(
    monkeypatch: pytest.MonkeyPatch, text: Callable[[int], str]
) -> None:
    kernel = Emulation("", ("prctl 37",), {"PTRACE_SEIZE": "EIO"}, ("no pidfd",))
    monkeypatch.setattr(emulation, "look", lambda: kernel)
    printed = text(0)
    assert "The kernel is emulated: prctl 37." in printed
    assert "It does not know PTRACE_SEIZE (EIO)." in printed
