"""The environments of booted kernels, the order of fetching, and unavailable kernels."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from worldswitch.harness.cell_name import CellName
from worldswitch.harness.environments.kernels import fetch
from worldswitch.harness.environments.kernels.image import KernelImage
from worldswitch.harness.environments.prepared import Plan
from worldswitch.harness.environments.profiles import profile
from worldswitch.harness.environments.protocol import Missing
from worldswitch.harness.environments.vm import environment, plan
from worldswitch.harness.environments.vm.environment import GuestEnvironment
from worldswitch.harness.environments.vm.machine import MachineParts
from worldswitch.harness.errors import Unobtainable
from worldswitch.harness.run.request import Request

HARDENED = profile.select(["hardened"])


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, threading.Event]:
    """Events that let each kernel arrive; kernels that are not named are unavailable."""
    events: dict[str, threading.Event] = {}

    def obtain(name: str, say: object) -> KernelImage:
        if name not in events:
            raise Unobtainable(f"no {name}", "wait")
        events[name].wait(10)
        return KernelImage(name, f"{name}.1-cloud", tmp_path, "5a")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "obtain", obtain)
    monkeypatch.setattr(environment, "machine_parts", lambda *_: MachineParts(HARDWARE, TREE))
    return events


class Anything:
    """A value that is reported but not used."""

    def __getattr__(self, name: str) -> object:
        return 1


HARDWARE: object = type("Hardware", (), {"accelerator": "tcg", "time_scale": 10, "tools": Anything(), "disk": None})()
TREE: object = Anything()


@pytest.fixture(autouse=True)
def one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the number of CPUs, so that results do not depend on this machine."""
    monkeypatch.setattr(environment, "processors", lambda: 1)


def come(events: dict[str, threading.Event], *names: str) -> None:
    for name in names:
        events.setdefault(name, threading.Event()).set()


def planned(*names: str, engine: str = "auto") -> Plan:
    made = Plan()
    plan.add(made, names, engine, HARDENED, lambda _: None)  # type: ignore[arg-type]
    return made


def test_a_kernel_has_a_whole_guest_and_a_container_per_profile(fetched: dict[str, threading.Event]) -> None:
    come(fetched, "6.12", "7.3")
    with planned("6.12", "7.3") as places:
        assert [place.name for place in places] == [
            "linux-6.12",
            "linux-6.12:hardened",
            "linux-7.3",
            "linux-7.3:hardened",
        ]
        first, second, third, _ = places
        assert isinstance(first, GuestEnvironment)
        assert isinstance(second, GuestEnvironment)
        assert isinstance(third, GuestEnvironment)
        assert first.lane is second.lane
        assert first.lane is not third.lane


def test_a_container_engine_selects_containers_only(fetched: dict[str, threading.Event]) -> None:
    come(fetched, "6.12")
    with planned("6.12", engine="docker") as places:
        assert [place.name for place in places] == ["linux-6.12:hardened"]


def test_cells_wait_for_their_own_kernel_only(fetched: dict[str, threading.Event]) -> None:
    come(fetched, "6.12")
    fetched["7.3"] = threading.Event()
    with planned("6.12", "7.3") as places:
        late = places.environments[2]
        assert isinstance(late, GuestEnvironment)
        assert "kernel" not in late.facts
        fetched["7.3"].set()
        late.lane.open()
        assert late.facts["kernel"] == "7.3.1-cloud"


def test_an_unavailable_kernel_is_missing_and_costs_no_other(fetched: dict[str, threading.Event]) -> None:
    come(fetched, "6.12")
    with planned("5.10", "6.12", "7.3") as places:
        old, _, _, _, new, _ = places
        assert isinstance(old, Missing)
        assert (old.name, old.reason, old.remedy) == ("linux-5.10", "no 5.10", "wait")
        assert isinstance(new, GuestEnvironment)  # which will be known when its turn comes
        with pytest.raises(Unobtainable, match=r"no 7\.3"):
            new.lane.open()


def test_without_kernels_or_tools_all_environments_are_missing(
    fetched: dict[str, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    with planned("6.12", "7.3") as places:
        assert [place.reason for place in places if isinstance(place, Missing)] == ["no 6.12"] * 2 + ["no 7.3"] * 2

    def refuse(*_: object) -> MachineParts:
        raise Unobtainable("no QEMU", "get one")

    come(fetched, "6.12", "7.3")
    monkeypatch.setattr(environment, "machine_parts", refuse)
    with planned("6.12", "7.3") as places:
        assert [place.reason for place in places if isinstance(place, Missing)] == ["no QEMU"] * 4


@pytest.mark.parametrize(
    ("here", "machines", "each"), [(1, 1, 1), (2, 1, 2), (2, 11, 1), (4, 2, 2), (64, 11, 2), (12, 11, 1)]
)
def test_machines_share_the_cpus(monkeypatch: pytest.MonkeyPatch, here: int, machines: int, each: int) -> None:
    monkeypatch.setattr(environment, "processors", lambda: here)
    assert environment.cpus(machines) == each


def test_a_guest_with_one_cpu_runs_trials_in_the_suite_s_process(fetched: dict[str, threading.Event]) -> None:
    come(fetched, "6.12", "7.3")
    with planned("6.12", "7.3") as places:
        place = places.environments[0]
        assert isinstance(place, GuestEnvironment)
        arguments = Request(workers=8).arguments(
            CellName(place.name), place.facts | {"trials": str(environment.trials(1))}
        )
        assert "-n" not in arguments
        assert environment.trials(2) == 2
        assert environment.trials(2, limit=1) == 0


@pytest.mark.parametrize(
    ("kernels", "cells", "processors", "each"),
    [
        *((1, 6, 2, [2]), (1, 1, 2, [1]), (2, 6, 2, [1, 1]), (1, 3, 8, [3])),
        *((3, 3, 2, [1, 1, 2]), (5, 6, 4, [1, 1, 1, 1, 4]), (3, 6, 1, [1, 1, 1])),
    ],
)
def test_a_kernel_s_cells_use_all_cpus(kernels: int, cells: int, processors: int, each: list[int]) -> None:
    assert plan.machines_per_kernel(kernels, cells, processors) == each


def test_cells_of_one_kernel_are_split_over_machines_with_one_cpu(
    fetched: dict[str, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    come(fetched, "6.12")
    monkeypatch.setattr(environment, "processors", lambda: 2)
    with planned("6.12") as places:
        whole, container = places
        assert isinstance(whole, GuestEnvironment)
        assert isinstance(container, GuestEnvironment)
        assert whole.lane is not container.lane
        assert whole.facts["trials"] == "0"


def test_a_single_cell_has_every_cpu(fetched: dict[str, threading.Event], monkeypatch: pytest.MonkeyPatch) -> None:
    come(fetched, "6.12")
    monkeypatch.setattr(environment, "processors", lambda: 2)
    with planned("6.12", engine="docker") as places:
        (only,) = places
        assert isinstance(only, GuestEnvironment)
        assert only.facts["trials"] == "2"
