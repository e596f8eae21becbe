"""The places of a request are those that the plan prepares, by name and in the same order."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldswitch.harness.environments import places
from worldswitch.harness.environments.places import Place
from worldswitch.harness.environments.profiles import profile as profiles

USUAL = [profile.name for profile in profiles.select(())]


def names(*arguments: object) -> list[str]:
    return [place.name for place in places.places(*arguments)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("engine", "chosen", "kernels", "expected"),
    [
        ("host", (), (), ["host"]),
        ("auto", (), (), ["host", *(f"docker:{name}" for name in USUAL)]),
        ("oci", ("hardened", "no-ptrace"), (), ["oci:hardened", "oci:no-ptrace"]),
        ("docker", ("hardened",), ("6.1", "6.12"), ["linux-6.1:hardened", "linux-6.12:hardened"]),
        ("auto", ("hardened",), ("6.1",), ["linux-6.1", "linux-6.1:hardened"]),
        ("host", (), ("6.1", "6.1"), ["linux-6.1"]),
    ],
)
def test_places_are_named_as_the_plan_names_them(engine, chosen, kernels, expected) -> None:
    assert names(engine, chosen, kernels) == expected


def test_a_profile_of_a_file_keeps_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nabout = "x"\ncapabilities = []\nseccomp = "default"\n')
    assert places.places("oci", (str(file),), ()) == [Place("oci:mine", str(file))]


def test_all_profiles_are_those_that_this_kernel_can_have() -> None:
    assert "oci:no-ptrace" in names("oci", ("all",), ())
    assert "linux-6.12:yama-3" in names("docker", ("all",), ("6.12",))


@pytest.mark.parametrize("engine", ["auto", "docker", "oci"])
@pytest.mark.parametrize("kernels", [(), ("6.1", "6.12")])
def test_a_narrowed_request_has_the_chosen_places(engine, kernels) -> None:
    whole = places.places(engine, ("hardened", "no-ptrace"), kernels)
    for begin in range(len(whole)):
        for end in range(begin + 1, len(whole) + 1):
            chosen = whole[begin:end]
            left = places.places(*places.narrowed(engine, chosen))
            assert {place for place in left if place in chosen} == set(chosen)


def test_a_narrowed_request_has_no_other_kernel_and_no_engine_without_need() -> None:
    whole = places.places("auto", ("hardened",), ())
    assert places.narrowed("auto", whole[:1]) == ("host", (), ())
    assert places.narrowed("auto", whole[1:]) == ("docker", ("hardened",), ())
    booted = places.places("docker", ("hardened",), ("6.1", "6.12"))
    assert places.narrowed("docker", booted[1:]) == ("docker", ("hardened",), ("6.12",))
