"""Experiments with every kind of outcome."""

from __future__ import annotations

import itertools
import os
import signal

from worldswitch.scenarios.declare_fact import fact

_COUNT = itertools.count()


@fact("MK1", clauses="test", known={"up": "since 5.10", "down": "5.4"})
def water_flows() -> str:
    """A known observation."""
    return "down"


@fact("MK2", clauses="test", known={"round": "5.10"})
def the_earth_is() -> str:
    """An unknown observation."""
    return "flat"


@fact("MK3", clauses="test", known={"": ""})
def experimenters_die() -> str:
    """The experiment kills its process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


@fact("MK4", clauses="test", needs="no-such-probe", known={"": ""})
def something_is_lacking() -> str:
    """A need that is not met."""
    return ""


@fact("MK5", clauses="test", known={"": ""})
def something_is_refused() -> str:
    """An error from the kernel."""
    raise OSError(1, "not permitted")


@fact("MK6", clauses="test", known={"0": "", "1": "", "2": ""})
def nothing_stays() -> str:
    """A different known observation each time."""
    return str(next(_COUNT))
