"""The id of this cache, a label on its containers in engines that several machines and users share."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import suppress

from worldswitch.harness.environments.cache import cache

LABEL = "worldswitch.run"  #: label of every container: the id of its run
PLACE_LABEL = "worldswitch.place"  #: label of every container: the id of the cache that knows the run


def place() -> str:
    """Return the id of this cache, drawn at random on first use."""
    file = cache() / "place"
    if not file.exists():
        with tempfile.NamedTemporaryFile("w", dir=file.parent) as drawn, suppress(FileExistsError):
            drawn.write(uuid.uuid4().hex)
            drawn.flush()
            os.link(drawn.name, file)  # atomic: of two concurrent runs the first wins
    return file.read_text()
