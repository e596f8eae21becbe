"""The pytest plugin: ``python -m pytest --pyargs worldswitch.scenarios`` runs every scenario on a platform.

pytest loads it in every project where worldswitch is installed, so it adds no option and has no effect unless the
command line names worldswitch or a path to scenarios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from worldswitch.harness.cell.settings import Settings


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> None:
    """Add the options if the command line concerns scenarios."""
    from worldswitch.harness.catalogue.scenarios import SCENARIOS
    from worldswitch.harness.cell import collection, options

    if not collection.concerns(args, SCENARIOS):
        return
    group = parser.getgroup("worldswitch", "worldswitch: a ptrace platform under test")
    options.add(group.addoption)
    group.addoption("--worldswitch-results", metavar="FILE", help="write results to this file, as JSON lines")


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugins if the options were added."""
    config.addinivalue_line(
        "markers", "scenario(*ids, clauses, needs, repeat, deadline, subject, alone): a claim about a platform"
    )
    if hasattr(config.option, "worldswitch_results"):
        _register(config)


def _register(config: pytest.Config) -> None:
    from worldswitch.harness.cell import collection
    from worldswitch.harness.cell.suite import Suite

    settings = _settings(config)
    folder = collection.folder_of(settings.scenarios)
    if folder is None:
        raise pytest.UsageError(f"--scenarios: no package {settings.scenarios} can be imported")
    if not __debug__:
        raise pytest.UsageError("scenarios are assertions, which python -O removes; run without -O")
    config.pluginmanager.register(collection.Collection(settings.scenarios, folder, settings.ids))
    config.pluginmanager.register(Suite(settings))
    if (folder / "stage.py").exists() or (folder / "stage").is_dir():
        config.pluginmanager.import_plugin(f"{settings.scenarios}.stage")
    if not hasattr(config, "workerinput"):
        _record(config, settings)


def _settings(config: pytest.Config) -> Settings:
    from worldswitch.harness.cell import seeds
    from worldswitch.harness.cell.settings import Settings
    from worldswitch.harness.cell.suite import SEED

    asked = config.option
    drawn = seeds.draw() if asked.seed is None else asked.seed
    return Settings.of(asked, getattr(config, "workerinput", {}).get(SEED, drawn))


def _record(config: pytest.Config, settings: Settings) -> None:
    from worldswitch.harness.cell import report_stream

    config.pluginmanager.register(report_stream.VerdictNames())
    path = config.getoption("worldswitch_results")
    if path:
        config.pluginmanager.register(report_stream.to_file(path, settings, config.getoption("environment")))
