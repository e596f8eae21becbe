"""What stages the scenarios: guests ready to run, tracing threads, processes, limits and the strikes on them.

pytest loads this package as a plugin and, by `pytest_plugins`, the module that has the fixture ``stage``.
"""

pytest_plugins = ("worldswitch.scenarios.stage.stage",)
