"""A profile's mounts: their options, and the errors of those that no engine takes or that mean two things."""

from __future__ import annotations

import msgspec
import pytest

from worldswitch.harness.environments.profiles.mounts import Mount, merged


@pytest.mark.parametrize(
    ("mount", "flags"),
    [
        (Mount("/run"), "noexec nosuid nodev"),
        (Mount("/run", options=("exec", "size=1g")), "nosuid nodev exec size=1g"),
        (Mount("/tmp", options=("noexec",)), "rw nosuid nodev mode=1777 size=128m noexec"),
        (Mount("/tmp", options=("size=1m", "mode=700")), "rw exec nosuid nodev size=1m mode=700"),
        (Mount("/dev/shm", options=("exec",)), "nosuid nodev mode=1777 size=67108864 exec"),
        (Mount("/data", "bind", "/srv"), ""),
        (Mount("/data", "bind", "/srv", ("ro", "noexec")), "ro noexec"),
        (Mount("/data", "volume"), ""),
    ],
)
def test_options_replace_those_of_the_target_and_type(mount: Mount, flags: str) -> None:
    assert " ".join(mount.flags) == flags


def test_a_later_option_replaces_its_opposite() -> None:
    assert merged(("ro", "size=1m"), ("rw", "size=2m", "size=3m")) == ("rw", "size=3m")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"target": "data"}, "`target` is 'data', and must be an absolute path"),
        ({"target": "/a/../b"}, "must be an absolute path without . and .."),
        ({"target": "/a/"}, "must be an absolute path"),
        ({"target": "/"}, "would hide what the suite needs"),
        ({"target": "/proc"}, "would hide what the suite needs"),
        ({"target": "/a", "type": "bind"}, "`source` is a path for type bind"),
        ({"target": "/a", "type": "volume", "source": "mine"}, "absent for tmpfs and volume"),
        ({"target": "/a", "type": "bind", "source": "b"}, "`source` is 'b', and must be an absolute path"),
        ({"target": "/a", "options": ["noexce"]}, "`options[0]` is 'noexce': expected one of ro, noexec"),
        ({"target": "/a", "options": ["ro", "rw"]}, "`options[0]` is 'ro': so is 'rw', its opposite"),
        ({"target": "/a", "options": ["size=big"]}, "`options[0]` is 'size=big': expected one of size="),
        ({"target": "/a", "options": ["huge=always"]}, "expected one of size="),
        ({"target": "/a", "options": ["rslave"]}, "only a bind mount has a propagation"),
        ({"target": "/a", "type": "volume", "options": ["size=1m"]}, "only a tmpfs has options with a value"),
    ],
)
def test_a_mount_that_no_engine_takes_is_refused(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(fields, Mount)
    assert problem in str(caught.value)
