"""A Debian mirror with a key of its own, which takes seconds to make."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from debian_mirror import TOOLS, Debian


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    if lacking:
        pytest.skip(f"a mirror of our own takes {', '.join(lacking)}")
    made = Debian(tmp_path_factory.mktemp("mirror"))
    yield made
    made.close()
