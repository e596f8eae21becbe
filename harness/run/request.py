"""The request of a run: scenarios, platforms, environments; validated before anything starts."""

from __future__ import annotations

import glob
import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from worldswitch.harness.catalogue import keyword
from worldswitch.harness.catalogue import scenarios as catalogue
from worldswitch.harness.catalogue.scenarios import Scenario
from worldswitch.harness.cell import seeds
from worldswitch.harness.cell.rehearsal import rehearse
from worldswitch.harness.cell.settings import IMPORT_SECONDS, Settings
from worldswitch.harness.cell.trial import Result
from worldswitch.harness.cell_name import REFERENCE, CellName
from worldswitch.harness.environments import plan
from worldswitch.harness.environments.prepared import Plan
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.protocol import EngineChoice, Say
from worldswitch.harness.errors import CouldNotRun
from worldswitch.harness.expectations import rules
from worldswitch.harness.nearest import hint
from worldswitch.harness.verdict import Verdict

#: Seconds without a record beyond the longest deadline of a scenario: to start and probe on a busy machine.
PATIENCE = 120.0


def cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Request:
    """What to run, and where."""

    platforms: tuple[str, ...] = (REFERENCE,)
    mutant: str = ""
    ids: tuple[str, ...] = ()  #: catalogue ids, names ``module::function``, or patterns of them; none means all
    keyword: str = ""
    chaos: bool = True  #: include the chaos scenarios
    engine: EngineChoice = "auto"
    profiles: tuple[str, ...] = ()  #: none means the usual ones
    kernels: tuple[str, ...] = ()  #: names, or paths of images; none means the running kernel
    all_facts: bool = True  #: observe all facts about the kernel, else only those that rules or a bisection name
    rules: tuple[str, ...] = ()  #: files of rules that precede all others
    cells: tuple[str, ...] = ()  #: the environments of this shard; none means all that the fields above select
    whole: tuple[str, ...] = ()  #: the environments of all shards, in the order of the plan; none without shards
    install_engine: bool = False
    repeat: str = ""  #: default: `normal` on the host and `quick` elsewhere
    seed: int = field(default_factory=seeds.draw)  #: the same in every environment
    deadline: float | None = None  #: upper limit of each scenario's deadline, in seconds
    workers: int = field(
        default_factory=cpus
    )  #: trials in parallel; 0 runs them one after the other in the cell's own worker
    maxfail: int = 0  #: the number of unexpected verdicts that ends the run; 0 means that none does
    only: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  #: the trials of each cell, if not all of the scenarios

    @property
    def is_whole(self) -> bool:
        """True if the run is not filtered by id, keyword, mutant or shard (chaos may be excluded)."""
        return not (self.ids or self.keyword or self.mutant or self.cells)

    def scenarios(self) -> list[Scenario]:
        """Return the scenarios of each environment.  Raises `CouldNotRun` for an invalid request."""
        if self.profiles and self.engine == "host":
            raise CouldNotRun("--profile needs containers, and --engine host excludes them; drop one of the two")
        for path in profiles.files(self.profiles):
            rules.of_profile(profiles.load(path), path)
        rules.packaged()
        rules.load_all(self.rules)
        scenarios = select(catalogue.scenarios(), self.ids, chaos=self.chaos)
        if self.keyword:
            scenarios = keyword.select(scenarios, self.keyword)
        if self.kernels:
            from worldswitch.harness.environments.kernels import names

            names.check(self.kernels)
        for platform in self.platforms:
            check_platform(platform)
        return scenarios

    @property
    def where(self) -> EngineChoice:
        """The engine; a request that names a profile runs in its container and not on the host."""
        return "docker" if self.profiles and self.engine == "auto" and not self.cells else self.engine

    def scenarios_in(self, cell: CellName, scenarios: Iterable[Scenario]) -> list[Scenario]:
        """Return those of the request's scenarios that are planned in this cell."""
        planned = set(map(catalogue.function_of, self.only.get(str(cell), ())))
        return [one for one in scenarios if not self.only or one.name in planned]

    def places(self, say: Say) -> Plan:
        """Prepare the environments."""
        made = plan.plan(self.where, self.profiles, kernels=self.kernels, install_engine=self.install_engine, say=say)
        if self.cells:
            made.environments = [one for one in made if one.name in self.cells]
        return made

    def silence(self, scenarios: Iterable[Scenario], facts: Mapping[str, str]) -> float:
        """Return how many seconds a cell that runs these may go without a record in an environment with these facts."""
        longest = max((scenario.deadline for scenario in scenarios), default=0)
        return PATIENCE + longest * float(facts.get("time_scale", "1"))

    def repeat_in(self, name: str) -> str:
        """Return the repetitions of scenarios in the environment called `name`: quick, normal or soak."""
        return self.repeat or ("normal" if name == "host" else "quick")

    def again(self, cell: CellName, trial: str) -> str:
        """Return the command that repeats one trial of a cell, without the folder of the run."""
        how = f"--repeat {self.repeat_in(cell.environment)} --seed {self.seed}"
        how += f" --deadline {self.deadline:g}" if self.deadline else ""
        return f"worldswitch run {self._options(cell)} --id {catalogue.function_of(trial)} {how}"

    def _options(self, cell: CellName) -> str:
        if not cell.kernel:
            return cell.options
        from worldswitch.harness.environments.kernels.fetch import argument_for

        word = shlex.quote(argument_for(cell.kernel, self.kernels))
        return cell.options.replace(f"--kernel {cell.kernel}", f"--kernel {word}", 1)

    def arguments(self, cell: CellName, facts: Mapping[str, str], needed: Iterable[str] = ()) -> list[str]:
        """Return the arguments of a cell in an environment with these facts; `needed` are facts about its kernel."""
        name = cell.environment
        options = {
            "--environment": json.dumps({"name": name, **facts}),
            "--platform": cell.platform,
            "--mutant": self.mutant,
            "--repeat": self.repeat_in(name),
            "--seed": str(self.seed),
            "--deadline": self.deadline and f"{self.deadline:g}",
            "-k": self.keyword,
            "--time-scale": facts.get("time_scale", ""),
            "-n": str(min(self.workers, int(facts.get("trials", self.workers))) or ""),
        }
        arguments = [word for option, value in options.items() if value for word in (option, value)]
        chaos = () if self.chaos else ("--no-chaos",)
        observed = () if self.all_facts else ("--facts", ",".join(sorted(needed)))
        # The brackets of a parametrised trial would be a pattern.
        ids = map(glob.escape, self.only[str(cell)]) if self.only else self.ids
        return [*chaos, *observed, *arguments, *(word for pattern in ids for word in ("--id", pattern))]


def check_platform(platform: str) -> None:
    """Raise `CouldNotRun` if a platform cannot be loaded, or is none."""
    loading = rehearse_platform(platform)
    if loading.verdict is not Verdict.PASS:
        raise CouldNotRun(loading.reason)


def rehearse_platform(platform: str) -> Result:
    """Load a platform in a process of its own, because its import may crash or hang."""
    settings = Settings(catalogue.SCENARIOS, platform, None, "quick", (), IMPORT_SECONDS, time_scale=1, seed=0)
    return rehearse(settings)


def select(scenarios: Iterable[Scenario], ids: Sequence[str], *, chaos: bool = True) -> list[Scenario]:
    """Return the scenarios with these ids, or all.

    Raises `CouldNotRun` for an id that no scenario has, and if no scenario is left.
    """
    every = list(scenarios)
    for pattern in ids:
        if not any(one.is_called(pattern) for one in every):
            known = [*(own for one in every for own in one.ids), *(one.name for one in every)]
            raise CouldNotRun(
                f"no scenario has the id {pattern}{hint(pattern, known)}; see `worldswitch list scenarios`"
            )
    found = [one for one in every if catalogue.is_wanted(one, ids, chaos=chaos)]
    if ids and not found:
        raise CouldNotRun(f"the chaos scenarios (CH*) are excluded here, and --id {' '.join(ids)} names no other")
    return found
