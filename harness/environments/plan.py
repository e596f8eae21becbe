"""Set up the environments of a run: the host, containers under profiles, virtual machines.

An **environment** starts a **cell**: one process of `worldswitch.harness.cell`, which writes framed results to its
standard output and its log to standard error.  An environment that cannot be set up becomes a `Missing` with the reason
and a remedy, so that a planned cell that never ran differs from one that was never planned.

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
    names: Sequence[str] = (),
    *,
    kernels: Sequence[str] = (),
    install_engine: bool = False,
    say: Say = lambda _: None,
) -> Plan:
    """Return the environments of a run: the host, and a container per profile.

    `engine` is `host`, `docker`, `oci`, or `auto` for the host and an engine's containers.
    `names` lists profiles by name or file; `all` selects every shipped profile that is available here, an empty list
    the usual ones.
    With `kernels`, the environments are in a virtual machine of each kernel, where a plain runtime makes the
    containers; none is on this machine's own kernel.
    """
    chosen = [] if engine == "host" else profiles.select(names)
    for profile in chosen:
        for warning in profile.warnings:
            say(warning)
    result = Plan([Host()] if not kernels and engine in ("auto", "host") else [])
    try:
        if kernels:
            from worldswitch.harness.environments.vm import plan as machines

            machines.add(result, kernels, engine, chosen, say)
        elif chosen:
            _add_containers(result, "oci" if engine == "oci" else "docker", chosen, names, install_engine, say)
    except BaseException:
        result.close()
        raise
    return result


def _add_containers(
    result: Plan, kind: Containers, chosen: Sequence[Profile], names: Sequence[str], install: bool, say: Say
) -> None:
    from worldswitch.harness.environments import container_factories

    sweep()
    make = container_factories.BY_KIND[kind](result.stack, install, say)
    for profile in chosen:
        try:
            result.environments.append(make(profile))
        except Unobtainable as problem:
            if profiles.ALL in names and isinstance(problem, container_factories.ProfileUnavailable):
                say(f"skipped: {problem.reason}")  # `all` does not name this profile
                continue
            missing = Missing(f"{kind}:{profile.name}", problem.reason, problem.remedy, profile)
            result.environments.append(missing)
