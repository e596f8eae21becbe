"""What may become of an experiment."""

from __future__ import annotations

import itertools
import os
import signal

from worldswitch.scenarios.declare_fact import fact

_COUNT = itertools.count()


@fact("MK1", clauses="test", known={"up": "everywhere", "down": "in caves"})
def water_flows() -> str:
    """Something known."""
    return "down"


@fact("MK2", clauses="test", known={"round": "so far"})
def the_earth_is() -> str:
    """Something new."""
    return "flat"


@fact("MK3", clauses="test", known={"": ""})
def experimenters_die() -> str:
    """The end of the experiment's process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


@fact("MK4", clauses="test", needs="no-such-probe", known={"": ""})
def something_is_lacking() -> str:
    """Something that is not there."""
    return ""


@fact("MK5", clauses="test", known={"": ""})
def something_is_refused() -> str:
    """An error of the kernel."""
    raise OSError(1, "not permitted")


@fact("MK6", clauses="test", known={"0": "", "1": "", "2": ""})
def nothing_stays() -> str:
    """Another observation each time, all of them known."""
    return str(next(_COUNT))
