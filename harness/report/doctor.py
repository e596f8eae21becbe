"""Lists what can run on this machine, what cannot and why, and the command that enables it.

It starts no engine and installs nothing.  An OCI runtime is tested by running `true` in a container.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import msgspec

from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.cell.probes import fingerprint, kernel_facts, remedies, table
from worldswitch.harness.cell.probes.needs import IMPLIED, required
from worldswitch.harness.cell_name import REFERENCE
from worldswitch.harness.environments.cache import cache
from worldswitch.harness.environments.docker import engine
from worldswitch.harness.environments.images import apt_mirror
from worldswitch.harness.environments.kernels import known
from worldswitch.harness.environments.oci import runtime
from worldswitch.harness.environments.profiles import profile
from worldswitch.harness.environments.run_resources import RunResources
from worldswitch.harness.errors import CouldNotRun, Unobtainable
from worldswitch.harness.expectations.outcome import Status
from worldswitch.harness.run.request import rehearse_platform
from worldswitch.harness.verdict import Verdict

BUILD = "apt-get install -y python3-dev gcc && python3 -m pip install -e '.[harness]'"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; field names are the keys of the JSON output."""

    name: str
    works: bool
    said: str
    remedy: str = ""


def show(*, as_json: bool) -> Status:
    """Print the findings; returns COULD_NOT_RUN if scenarios cannot run on the host or in containers."""
    machine = fingerprint.take()
    needed = [_host(), _containers()]
    lanes = [*needed, _oci(), _kernels()]
    lacking = list(_lacking())
    if as_json:
        found = {"can_run": _plain(lanes), "lacking": _plain(lacking)}
        print(json.dumps({**found, "machine": msgspec.to_builtins(machine)}, indent=2))
    else:
        print(f"{machine.kernel}, {machine.machine}\n{machine.cpus} CPUs: {machine.cpu}; {machine.python}")
        print(f"{_behaviour(machine.facts)}\n")
        print("\n".join([*_lines("can run", lanes), "", *_lines("scenarios have what they need", lacking)]))
    return Status.AS_EXPECTED if all(lane.works for lane in needed) else Status.COULD_NOT_RUN


def _behaviour(facts: Mapping[str, str]) -> str:
    missing = len(kernel_facts.unobserved(facts))
    lack = f", {missing} of them not observed" if missing else ""
    return f"behaves like {kernel_facts.digest(facts)}: {len(facts)} facts about the kernel{lack}"


def _host() -> Check:
    loading = rehearse_platform(REFERENCE)
    if loading.verdict is not Verdict.PASS:
        return Check("host", False, loading.reason, BUILD)
    for need in required(()):
        if (found := table.probe(need)).state != "yes":
            return Check("host", False, f"{need}: {found.detail}", remedies.of(need, found))
    return Check("host", True, "the reference loads, and ptrace works; worldswitch run --engine host")


def _containers() -> Check:
    try:
        answer = _engine()
    except Unobtainable as problem:
        return Check("containers", False, problem.reason, problem.remedy)
    return Check("containers", True, f"{answer}; profiles: {', '.join(profile.available())}")


def _engine() -> str:
    tried: list[str] = []
    for url in engine.addresses():
        if found := engine.answering(url, tried):
            found.client.close()
            return f"{found.name} answers at {url}"
    engine.check_startable(tried)
    return "a private engine would be started"


def _oci() -> Check:
    run = RunResources.create()
    try:
        found = runtime.obtain(run, install=False, say=lambda _: None)
    except Unobtainable as problem:
        return Check("oci", False, problem.reason, problem.remedy)
    finally:
        run.close()
    return Check("oci", True, f"{found.name} ran a container; worldswitch run --engine oci")


def _kernels() -> Check:
    try:
        count = len(known.load())
        address, _ = apt_mirror.mirror()
    except CouldNotRun as problem:
        return Check("kernels", False, str(problem))
    except Unobtainable as problem:
        return Check("kernels", False, problem.reason, problem.remedy)
    fetched = len(list(cache("kernels").glob("*.vmlinuz")))
    return Check("kernels", True, f"{count} in QEMU, from {address}, {fetched} fetched; worldswitch matrix --quick")


def _lacking() -> Iterator[Check]:
    """Yield the probes that scenarios need and that fail on this host."""
    scenarios = catalogue.scenarios()
    needs = [required(scenario.needs) for scenario in scenarios]
    for need in dict.fromkeys(itertools.chain(*needs)):
        if (found := table.probe(need)).state != "yes":
            ids = dict.fromkeys(scenario.ids[0] for scenario in scenarios if need in scenario.needs)
            which = "all but those about its denial" if need in IMPLIED else " ".join(ids)
            yield Check(need, False, f"{found.state}: {found.detail}; {which}", remedies.of(need, found))


def _plain(checks: Iterable[Check]) -> list[dict[str, object]]:
    return [asdict(check) for check in checks]


def _lines(title: str, checks: Sequence[Check]) -> Iterator[str]:
    yield f"{title}: {'' if checks else 'all'}"
    for check in checks:
        yield f"  {check.name:<14} {'yes' if check.works else 'no':<4} {check.said}"
        if check.remedy:
            yield f"  {'':<14}  ->  {check.remedy}"
