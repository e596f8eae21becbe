"""The fixture `stage`, which the harness looks for in the package of the scenarios."""

from worldswitch.scenarios.stage.stage import Stage as Stage
from worldswitch.scenarios.stage.stage import stage as stage
