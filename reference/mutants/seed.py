"""The design of 2019: the reference with all weaknesses of the seed that mutants can express.

A run with `--platform seed` shows the faults of that design.  `WEAKNESSES` maps each weakness of the seed (gvisor,
pkg/sentry/platform/ptrace/subprocess.go, 2019-10) to its mutants.  W16 and W17 are defects of comments, W25 and W28 are
costs, and W21 is a state between two steps, neither of which the reference has.
"""

from __future__ import annotations

from itertools import chain

from worldswitch.reference.mutants import (
    births,
    deaths,
    doors,
    execution,
    faults,
    images,
    injection,
    lifecycle,
    phases,
    pool,
    siginfo,
    signals,
    threads,
)
from worldswitch.reference.mutants._compose import composed
from worldswitch.reference.ptrace import PtracePlatform

#: Each of the seed's weaknesses, and the mutants with its faults.
WEAKNESSES: dict[str, tuple[type[PtracePlatform], ...]] = {
    "W1": (threads.AdoptsTheAbandoned,),
    "W2": (threads.NeverParks,),
    "W3": (lifecycle.CannotDieAsInit,),
    "W4": (lifecycle.TellsDeathAsAnErrno,),
    "W5": (lifecycle.WaitsOnlyForTheBusy, lifecycle.LeavesThreadsToTheirTracers),
    "W6": (injection.TellsOfRestartBlocks,),
    "W7": (injection.IgnoresItsOwnFaults,),
    "W8": (signals.GroupStopsAreSignals, signals.KnowsNoStopSignalButSigstop),
    "W9": (signals.BelievesTheSender,),
    "W10": (execution.ReportsProtectionFaultsAtZero, siginfo.PositiveCodesAreFaults),
    "W11": (doors.ReadsRegistersByRegset,),
    "W12": (execution.ReadsEveryCallAsNative,),
    "W13": (deaths.TakesCondemnationForSuccess,),
    "W14": (phases.KeepsACallsNumber,),
    "W15": (pool.HonoursEndedLeases, pool.KeepsEveryStub, pool.HandsOutCorpses),
    "W18": (births.MakesStubsUnderTheLock,),
    "W19": (threads.KnowsThreadsByTheirIds,),
    "W20": (births.PanicsForWantOfThreads, images.GivesUpOverRefusals),
    "W22": (threads.WaitsForStolenStops,),
    "W23": (signals.ExpectsTheStopFirst,),
    "W24": (pool.RecyclesBoundStubs,),
    "W26": (faults.RemembersFaultsOverMapping,),
    "W27": (deaths.KillsTheOffendingThreadOnly,),
}

SeedPlatform = composed(
    "SeedPlatform",
    "The reference with the seed's weaknesses.",
    tuple(chain.from_iterable(WEAKNESSES.values())),
)
