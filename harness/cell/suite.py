"""The pytest hooks that select scenarios, run each in a process of its own and report its trial.

They are registered only if the command line concerns scenarios.
"""

from __future__ import annotations

import functools
import os
import random
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from _pytest.runner import runtestprotocol  # no public way runs an item without reporting it

from worldswitch.harness.catalogue import scenarios
from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.cell import collection, exclusive, records, seeds
from worldswitch.harness.cell.account import account
from worldswitch.harness.cell.attempts import attempt
from worldswitch.harness.cell.attribution import Owners, Phase, judge
from worldswitch.harness.cell.diagnosis import snapshot
from worldswitch.harness.cell.diagnosis.model import Diagnosis
from worldswitch.harness.cell.fixture import CurrentTrial
from worldswitch.harness.cell.probes import table
from worldswitch.harness.cell.probes.needs import unmet
from worldswitch.harness.cell.rehearsal import rehearse, while_importing
from worldswitch.harness.cell.settings import IMPORT_SECONDS, Settings
from worldswitch.harness.cell.transcript import Transcript
from worldswitch.harness.cell.trial import Result, Trials
from worldswitch.harness.contract import PlatformFactory
from worldswitch.harness.flight import Recorder
from worldswitch.harness.verdict import Verdict

#: The attribute of a report with a `records.Trial` as plain values, which xdist can serialise.
ATTRIBUTE = "worldswitch_trial"

#: The keys of an xdist worker's input: the seed of the run, and the path of the lock between trials.
SEED, LOCK = "worldswitch_seed", "worldswitch_lock"


class Suite:
    """The hooks and the fixture ``trial``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._now: tuple[scenarios.Scenario, Owners, Transcript, Recorder] | None = None
        self._lock: exclusive.LockFile | None = None
        self._items: dict[str, tuple[pytest.Item, scenarios.Scenario]] = {}
        self._trials = Trials(self._import, self._body, IMPORT_SECONDS)
        self._factory: PlatformFactory | None = None  #: only in the processes of trials and their server

    @pytest.fixture
    def trial(self) -> Iterator[CurrentTrial]:
        """The scenario's trial: its platforms, transcript and deadlines."""
        assert self._now is not None, "the fixture `trial` is for scenarios"
        assert self._factory is not None
        scenario, owners, transcript, recorder = self._now
        repeat = scenario.repeat.get(self.settings.repeat, 1)
        seed = seeds.of_trial(self.settings.seed, scenario.name)
        random.seed(seed)  # for scenarios that use the module without a generator of their own
        current = CurrentTrial(repeat, seed, self.settings, self._factory, owners, transcript, recorder)
        yield current
        current.close()

    def pytest_report_header(self) -> str:
        """Show the platform under test."""
        asked = self.settings
        mutant = f", mutant {asked.mutant}" if asked.mutant else ""
        return f"worldswitch: platform {asked.platform}{mutant}, {asked.repeat} repetitions, seed {asked.seed}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass an xdist worker what the command line does not have."""
        node.workerinput[SEED] = self.settings.seed
        self._lock = self._lock or exclusive.LockFile()
        node.workerinput[LOCK] = self._lock.path

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Select by ``--id``, in the order given, and by ``--no-chaos``."""
        ids = self.settings.ids
        wanted = [
            (next((rank for rank, name in enumerate(ids) if scenario.is_called(name)), 0), item)
            for item, scenario in collection.scenarios_among(items)
            if scenarios.is_wanted(scenario, ids, chaos=self.settings.chaos)
        ]
        chosen = [item for _, item in sorted(wanted, key=lambda pair: pair[0])]
        if len(chosen) < len(items):
            config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the items, for the processes of trials."""
        self._items = {item.nodeid: (item, scenario) for item, scenario in collection.scenarios_among(session.items)}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run a scenario in a process of its own."""
        lock = getattr(item.config, "workerinput", {}).get(LOCK)
        for _, scenario in collection.scenarios_among([item]):
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            loading = self._load()  # before the lock is open: the processes of the platform must not have it
            with exclusive.hold(lock, alone=scenario.alone):  # probes too: exclusive changes would mislead them
                result = self._result(item, scenario, loading)
            for report in _reports(item, scenario, result, self.settings):
                item.ihook.pytest_runtest_logreport(report=report)
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            return True
        return None

    def pytest_unconfigure(self) -> None:
        """End the process that loaded the platform."""
        self._trials.close()

    def _load(self) -> Result:
        """The result of loading the platform, tried in a process of its own first, since it may hang or crash."""
        if self._rehearsal.verdict is not Verdict.PASS:
            return self._rehearsal
        return while_importing(self._trials.prepare())

    @functools.cached_property
    def _rehearsal(self) -> Result:
        return rehearse(self.settings)

    def _import(self) -> Result:
        """Import the platform, in the server's process."""
        try:
            self._factory = self.settings.load()
        except NotFound as error:
            return Result(verdict=Verdict.ERROR, reason=str(error))
        return Result(verdict=Verdict.PASS)

    def _result(self, item: pytest.Item, scenario: scenarios.Scenario, loading: Result) -> Result:
        if loading.verdict is not Verdict.PASS:
            return loading
        try:
            return unmet(scenario.needs) or self._run(item, scenario)
        except Exception as error:  # a fault here must cost one trial, and not the cell
            self._trials.close()
            reason = f"the harness raised {type(error).__name__}: {error}; please report this"
            return Result(verdict=Verdict.ERROR, reason=reason, detail=traceback.format_exc())

    def _run(self, item: pytest.Item, scenario: scenarios.Scenario) -> Result:
        deadline = min(scenario.deadline * self.settings.time_scale, self.settings.deadline)
        request = msgspec.json.encode(_Request(item.nodeid, table.found()))
        # Else a runner that knows the longest deadline would take the silence of several attempts for a hang.
        begin = functools.partial(item.ihook.pytest_runtest_logstart, nodeid=item.nodeid, location=item.location)
        return attempt(lambda: self._trials.run(request, deadline), again=begin)

    def _body(self, request: bytes, transcript: Transcript, recorder: Recorder) -> Result:
        """Run a scenario in the trial's process, the only one that has loaded the platform besides its server."""
        asked = msgspec.json.decode(request, type=_Request)
        table.learn(asked.probes)
        assert self._factory is not None
        item, scenario = self._items[asked.item]
        owners = Owners(self.settings.scenarios)
        owners.learn_module(self._factory.__module__)
        self._now = scenario, owners, transcript, recorder
        listener = _Listener(recorder)
        result = judge(_phases(item, listener), owners)
        return msgspec.structs.replace(result, diagnosis=listener.seen)


class _Request(msgspec.Struct, frozen=True):
    """What a trial's process must know, which this process learnt after the platform was loaded."""

    item: str
    probes: dict[str, records.ProbeResult]


class _Listener:
    """Collects the exception of each phase, and the state of the processes at the first."""

    def __init__(self, recorder: Recorder) -> None:
        self.phases: list[Phase] = []
        self.seen: Diagnosis | None = None
        self._recorder = recorder

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: pytest.TestReport = yield  # type: ignore[assignment]
        if call.excinfo is not None:
            self._take_snapshot()
            self.phases.append(Phase(call.when, call.excinfo.value, report.longreprtext))
        return report  # type: ignore[return-value]

    def _take_snapshot(self) -> None:
        """Take a snapshot before the platforms are closed, which ends their processes."""
        if self.seen is None:
            self._recorder.keep()
            self.seen = Diagnosis(processes=snapshot.look(os.getpid()), moment="when it failed")


def _phases(item: pytest.Item, listener: _Listener) -> list[Phase]:
    """Run `item` in the trial's process, which is not reused; return its failed phases."""
    plugins = item.config.pluginmanager
    capture = plugins.getplugin("capturemanager")  # idle between items
    if capture is not None:
        plugins.unregister(capture)  # the supervisor reads the output, bounded
    plugins.register(listener)
    try:
        runtestprotocol(item, log=False, nextitem=None)
    except BaseException as error:  # pytest lets KeyboardInterrupt and pytest.exit through
        return [*listener.phases, Phase("call", error, repr(error))]
    return listener.phases


_OUTCOMES = {Verdict.PASS: "passed", Verdict.UNSUPPORTED: "skipped", Verdict.BLOCKED: "skipped"}


def _reports(
    item: pytest.Item, scenario: scenarios.Scenario, result: Result, settings: Settings
) -> Iterator[pytest.TestReport]:
    """The three reports that pytest expects of an item; the call's has the result."""
    verdict = result.verdict
    outcome = _OUTCOMES.get(verdict, "failed")
    longrepr: object = None
    if outcome == "skipped":
        path, line, _ = item.location
        longrepr = (path, line or 0, f"{verdict.value}: {result.reason}")
    elif outcome == "failed":
        longrepr = account(scenario, result, settings)
    for when in ("setup", "call", "teardown"):
        call = when == "call"
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords=dict.fromkeys(item.keywords, 1),
            outcome=outcome if call else "passed",  # type: ignore[arg-type]
            longrepr=longrepr if call else None,  # type: ignore[arg-type]
            when=when,
            duration=result.seconds if call else 0.0,
        )
        if call:
            setattr(report, ATTRIBUTE, msgspec.to_builtins(record(item.config, scenario, result)))
        yield report


def record(config: pytest.Config, scenario: scenarios.Scenario, result: Result) -> records.Trial:
    """Return the record of this trial, for a pass without transcript, output and diagnosis."""
    if result.verdict is Verdict.PASS:
        result = msgspec.structs.replace(result, transcript=(), output="", diagnosis=None)
    return records.Trial(
        scenario=scenario.name,
        ids=scenario.ids,
        claim=scenario.claim,
        clauses=scenario.clauses,
        worker=getattr(config, "workerinput", {}).get("workerid", "main"),
        **msgspec.structs.asdict(result),
    )
