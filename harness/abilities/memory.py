"""What one can do with memory here."""

from __future__ import annotations

import os

from worldswitch.harness.abilities import Look


def _memfd() -> str:
    os.close(os.memfd_create("worldswitch-probe"))
    return "memfd_create"


#: The probes of this file, by the name a scenario's ``needs`` calls each.
PROBES: dict[str, Look] = {
    "memfd": _memfd,
}
