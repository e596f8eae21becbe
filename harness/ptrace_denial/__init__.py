"""The mechanism that denies a ptrace request, by evidence.

    `confinement`   the evidence: what restricts a process, and what was observed
    `in_a_child`    evidence that only a child process can collect
    `mechanisms`    the decision for each mechanism that is not a security module
    `modules`       the decision for each security module
    `decision`      the cause: the mechanism that denies the request, or the candidates

The decisions are functions of a `Confinement` and try nothing, so that they can be checked with made-up evidence.
"""

from worldswitch.harness.ptrace_denial.confinement import (
    CAP_SYS_PTRACE as CAP_SYS_PTRACE,
)
from worldswitch.harness.ptrace_denial.confinement import (
    Confinement as Confinement,
)
from worldswitch.harness.ptrace_denial.confinement import (
    current as current,
)
from worldswitch.harness.ptrace_denial.decision import cause as cause
from worldswitch.harness.ptrace_denial.decision import checks as checks
from worldswitch.harness.ptrace_denial.mechanisms import Mechanism as Mechanism
from worldswitch.harness.ptrace_denial.mechanisms import MechanismCheck as MechanismCheck
