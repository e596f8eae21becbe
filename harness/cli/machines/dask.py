"""The option `--dask` of `run` and `matrix`: run each cell on a worker of a cluster, and merge the runs here."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from worldswitch.harness.cli.machines import merge
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.results import reader
from worldswitch.harness.run import sharding
from worldswitch.harness.run.cluster import Cluster
from worldswitch.harness.run.request import Request


def main(request: Request, arguments: argparse.Namespace) -> int:
    """Run the request on the workers, and print the outcome; returns the exit status.

    An interrupted run is merged as far as it came.
    """
    if arguments.shard:
        raise CouldNotRun("--dask and --shard exclude each other: each cell is a shard of its own; drop one of them")
    request.scenarios()  # an invalid request is refused before a worker sees it
    places = sharding.of(request)
    folders: list[Path] = []
    interrupted = False
    with tempfile.TemporaryDirectory(prefix="worldswitch-merge-") as work:
        with Cluster(arguments.dask, _say) as cluster:
            try:
                words = [*arguments.argv, "--dask", "", "--seed", str(request.seed)]
                folders += cluster.run(words, places, Path(work))
            except KeyboardInterrupt:
                interrupted = True
                folders = [path.parent for path in sorted(Path(work).glob("*/run.json"))]
        if not folders:
            raise CouldNotRun(_nothing(cluster))
        status = merge.merge([reader.read(folder) for folder in folders], arguments.results, cluster.lost)
    if interrupted:
        raise KeyboardInterrupt
    return status


def _nothing(cluster: Cluster) -> str:
    reasons = dict.fromkeys("\n".join(filter(None, (lost.reason, lost.log))) for lost in cluster.lost.values())
    return f"no cell came back from the cluster: {'; '.join(reasons) or 'the run was interrupted'}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
