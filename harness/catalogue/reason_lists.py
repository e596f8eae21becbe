"""TOML files that list names with a reason each.

    "pool::a_released_stub_is_reused" = "the reference alone specifies it"

TOML rejects a repeated name; `load` rejects an empty reason.
"""

from __future__ import annotations

import tomllib
from importlib import resources

from worldswitch.harness.catalogue.loading import NotFound


def load(package: str, file: str) -> dict[str, str]:
    """Return the names and reasons in `file` of `package`; raises `NotFound`."""
    try:
        reasons = tomllib.loads(resources.files(package).joinpath(file).read_text(encoding="utf-8"))
    except (OSError, ModuleNotFoundError, tomllib.TOMLDecodeError) as problem:
        raise NotFound(f"{file} in {package} cannot be read: {problem}") from problem
    for name, reason in reasons.items():
        if not isinstance(reason, str) or not reason.strip():
            raise NotFound(f"{file} in {package} lists {name!r} without a reason")
    return reasons
