"""Lists the kernels and their versions on this machine, and fetches them."""

from __future__ import annotations

import fnmatch
import json
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from worldswitch.harness.environments.images import deb_packages
from worldswitch.harness.environments.images.deb_packages import Package
from worldswitch.harness.environments.kernels import known
from worldswitch.harness.environments.kernels import names as kernel_names
from worldswitch.harness.environments.kernels.fetch import KernelFetcher, UnavailableKernel
from worldswitch.harness.environments.kernels.image import KernelImage
from worldswitch.harness.expectations.outcome import Status


def show(out: Console, *, as_json: bool) -> int:
    """Print the list, with the version of each kernel on this machine."""
    fetched = deb_packages.kept()
    versions = {entry: _version(entry, fetched) for entry in known.load()}
    if as_json:
        rows = [{**msgspec.to_builtins(entry), "kept": version} for entry, version in versions.items()]
        out.print_json(json.dumps(rows))
        return Status.AS_EXPECTED
    table = Table("kernel", "on this machine", "package", "suites", "long-term", box=None)
    for entry, version in versions.items():
        table.add_row(entry.name, version, entry.package, ", ".join(entry.suites), "yes" if entry.long_term else "")
    out.print(table)
    return Status.AS_EXPECTED


def fetch(names: Sequence[str], out: Console, *, as_json: bool) -> int:
    """Fetch these kernels, or all, and print their versions; returns COULD_NOT_RUN if a kernel is not available."""
    kernel_names.check(names)
    wanted = names or [entry.name for entry in known.load()]
    with KernelFetcher(wanted, lambda line: print(f"{line} ...", file=sys.stderr)) as kernels:
        found = kernels.all()
    if as_json:
        out.print_json(json.dumps([_fields(one) for one in found]))
    else:
        for one in found:
            out.print(_sentence(one))
    return Status.COULD_NOT_RUN if any(isinstance(one, UnavailableKernel) for one in found) else Status.AS_EXPECTED


def _version(entry: known.Entry, fetched: Sequence[Package]) -> str:
    """The version of an entry that was fetched last; "" if none was."""
    names = (package.name for package in fetched if package.suite in entry.suites)
    return next((entry.version_of(name) for name in names if fnmatch.fnmatchcase(name, entry.pattern)), "")


def _fields(one: KernelImage | UnavailableKernel) -> dict[str, str]:
    if isinstance(one, UnavailableKernel):
        return {"name": one.name, "reason": one.problem.reason, "remedy": one.problem.remedy}
    return {"name": one.name, "image": str(one.image), **one.facts}


def _sentence(one: KernelImage | UnavailableKernel) -> str:
    if isinstance(one, UnavailableKernel):
        return f"{one.name}: not available: {one.problem.reason}\n  what to do: {one.problem.remedy}"
    return f"{one.name}: {one.release}\n  {one.facts['kernel_package']}\n  {one.image}"
