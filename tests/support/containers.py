"""What tests of containers that a plain runtime makes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from worldswitch.harness.environments.images import tree
from worldswitch.harness.environments.oci import runtime
from worldswitch.harness.environments.oci.container import OciSetup
from worldswitch.harness.environments.run_resources import RunResources


@pytest.fixture
def setup() -> Iterator[OciSetup]:
    """A runtime of this machine, and the tree of its containers."""
    run = RunResources.create()
    try:
        found = runtime.obtain(run, install=False, say=lambda _: None)
        yield OciSetup(found, tree.obtain(run, lambda _: None), run)
    finally:
        run.close()
