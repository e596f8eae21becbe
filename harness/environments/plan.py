"""Where a suite runs: on this host, or in a container under a profile; and which of those can be had here.

An **environment** starts a **cell**: one process of `worldswitch.harness.cell`, whose framed results come out of its
standard output and whose log out of its standard error.  What cannot be had is a value too, `Missing`, with the reason
and the way out: a planned cell that never ran must not look like one that was never planned.

    with plan("auto", ["sys-ptrace"]) as environments:
        for environment in environments:
            ...
"""

from __future__ import annotations

from collections.abc import Sequence

from worldswitch.harness.environments.host import Host
from worldswitch.harness.environments.prepared import Plan
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.environments.profiles.profile import Profile
from worldswitch.harness.environments.protocol import Containers, EngineChoice, Missing, Say
from worldswitch.harness.environments.run_resources import sweep
from worldswitch.harness.errors import Unobtainable


def plan(
    engine: EngineChoice = "auto",
    wanted: Sequence[str] = (),
    *,
    kernels: Sequence[str] = (),
    install_engine: bool = False,
    say: Say = lambda _: None,
) -> Plan:
    """Get ready what was asked for: the host, a container per profile of an engine, or of a plain runtime.

    `auto` is the host and an engine's containers.  With `kernels`, the same in a virtual machine of each, where a plain
    runtime makes the containers, and nothing on this machine's own.
    `wanted` names profiles, or files of profiles; `all` means each that comes with the package and can be had here,
    none the usual ones.
    """
    chosen = [] if engine == "host" else profiles.select(wanted)
    result = Plan([Host()] if not kernels and engine in ("auto", "host") else [])
    try:
        if kernels:
            from worldswitch.harness.environments.vm import plan as machines

            machines.add(result, kernels, engine, chosen, say)
        elif chosen:
            _add_containers(result, "oci" if engine == "oci" else "docker", chosen, wanted, install_engine, say)
    except BaseException:
        result.close()
        raise
    return result


def _add_containers(
    result: Plan, kind: Containers, chosen: Sequence[Profile], wanted: Sequence[str], install: bool, say: Say
) -> None:
    from worldswitch.harness.environments import container_factories

    sweep()
    make = container_factories.BY_KIND[kind](result.holdings, install, say)
    for profile in chosen:
        try:
            result.environments.append(make(profile))
        except Unobtainable as problem:
            if profiles.ALL in wanted and isinstance(problem, container_factories.ProfileUnavailable):
                say(f"left out: {problem.reason}")  # nobody asked for this one
                continue
            missing = Missing(f"{kind}:{profile.name}", problem.reason, problem.remedy, profile)
            result.environments.append(missing)
