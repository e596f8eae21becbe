"""The name of this cache, which labels its containers in engines that several machines and users share."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import suppress

from worldswitch.harness.environments.cache import cache

LABEL = "worldswitch.run"  #: on every container: the run it belongs to


PLACE_LABEL = "worldswitch.place"  #: on every container: whose runs those are; others' are not ours to judge


def place() -> str:
    """Whose containers these are, for an engine that several machines and users share: a name this cache once drew."""
    file = cache() / "place"
    if not file.exists():
        with tempfile.NamedTemporaryFile("w", dir=file.parent) as drawn, suppress(FileExistsError):
            drawn.write(uuid.uuid4().hex)
            drawn.flush()
            os.link(drawn.name, file)  # the first of two at once decides
    return file.read_text()
