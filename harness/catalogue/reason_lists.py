"""The lists of what is not so, and why: TOML files beside what they speak of, a name and its reason a line.

    "pool::a_released_stub_is_reused" = "what it claims is the reference's to decide"

A name may stand there once (TOML sees to that), and an empty reason is none.
"""

from __future__ import annotations

import tomllib
from importlib import resources

from worldswitch.harness.catalogue.loading import NotFound


def load(package: str, file: str) -> dict[str, str]:
    """What `file`, which lies in `package`, lists."""
    try:
        said = tomllib.loads(resources.files(package).joinpath(file).read_text(encoding="utf-8"))
    except (OSError, ModuleNotFoundError, tomllib.TOMLDecodeError) as problem:
        raise NotFound(f"{file} in {package} cannot be read: {problem}") from problem
    for name, reason in said.items():
        if not isinstance(reason, str) or not reason.strip():
            raise NotFound(f"{file} in {package} lists {name!r} without a reason")
    return said
