"""Describe what confines this process: privileges, filters, modules, a container, a virtual machine.

Each sentence gives its evidence.  What cannot be read is `not visible`, which is not the same as absent.
"""

from __future__ import annotations

from pathlib import Path

from worldswitch.harness.linux.capabilities import EVERY
from worldswitch.harness.ptrace_denial import Confinement
from worldswitch.harness.report.doctor.findings import Surroundings

ROOT = Path("/")
NOT_VISIBLE = "not visible"

#: PROC_PID_INIT_INO, include/linux/proc_ns.h: the inode of the initial PID namespace.
FIRST_PID_NAMESPACE = 0xEFFF_FFFC

#: Files that engines make in each container.
MARKS = {".dockerenv": "Docker", "run/.containerenv": "podman"}

#: Words in the names of engines' control groups.
ENGINES = ("docker", "libpod", "kubepods", "containerd", "lxc")

#: Fewer capabilities than this are named, or those that are missing.
FEW = 8


def describe(known: Confinement, root: Path = ROOT) -> Surroundings:
    """Return the surroundings of a process with this confinement; `root` contains its /proc and /sys."""
    status = root / "proc/self/status"
    seen = status.exists()
    return Surroundings(
        user="root" if known.user == 0 else f"user {known.user}",
        capabilities=_capabilities(known) if seen else _hidden(status),
        seccomp=_hidden(status) if known.seccomp is None else _SECCOMP.get(known.seccomp, str(known.seccomp)),
        no_new_privileges=("yes" if known.no_new_privileges else "no") if seen else _hidden(status),
        security_modules=known.modules or _hidden(root / "sys/kernel/security/lsm"),
        label=known.label or ("none" if (root / "proc/self/attr/current").exists() else "none can be read"),
        yama=_yama(known, root),
        tracer=_tracer(known) if seen else _hidden(status),
        container=container(root),
        virtual_machine=virtual_machine(root),
    )


_SECCOMP = {0: "no filter", 1: "strict mode", 2: "filters are active"}


def _hidden(path: Path) -> str:
    return f"{NOT_VISIBLE}: {path} cannot be read"


def _capabilities(known: Confinement) -> str:
    held = [name for number, name in enumerate(EVERY) if known.may(number)]
    lacking = [name for name in EVERY if name not in held]
    where = " of its own user namespace" if known.own_user_namespace else ""
    if not held:
        return "none"
    if not lacking:
        return f"all{where}"
    if len(lacking) <= FEW:
        return f"all but {' '.join(lacking)}{where}"
    return f"{len(held)}{where}: {' '.join(held)}"


def _yama(known: Confinement, root: Path) -> str:
    if known.yama is not None:
        return f"ptrace_scope is {known.yama}"
    folder = root / "proc/sys/kernel"
    return "not there" if folder.exists() else _hidden(folder)


def _tracer(known: Confinement) -> str:
    name = f" ({known.tracer_name})" if known.tracer_name else ""
    return f"process {known.tracer}{name}" if known.tracer else "none"


def container(root: Path = ROOT) -> str:
    """Say whether this is a container, and what shows it."""
    groups = _text(root / "proc/self/cgroup")
    signs = [f"/{mark} exists ({engine})" for mark, engine in MARKS.items() if (root / mark).exists()]
    signs += [f"its control group is one of {word}" for word in ENGINES if word in groups]
    try:
        first = (root / "proc/self/ns/pid").stat().st_ino == FIRST_PID_NAMESPACE
    except OSError:
        return f"perhaps: {', '.join(signs)}" if signs else _hidden(root / "proc/self/ns/pid")
    if not first:
        return f"yes: {', '.join([*signs, 'not the initial PID namespace'])}"
    return f"perhaps: {', '.join(signs)}, but the initial PID namespace" if signs else "no sign of one"


def virtual_machine(root: Path = ROOT) -> str:
    """Say whether this is a virtual machine, and what shows it."""
    names = [_text(root / "sys/class/dmi/id" / name).strip() for name in ("sys_vendor", "product_name")]
    product = " ".join(filter(None, names))
    if not (processor := _text(root / "proc/cpuinfo")):
        return _hidden(root / "proc/cpuinfo") + (f"; the machine is called {product}" if product else "")
    if "hypervisor" not in processor.split():
        return "no sign of one: the processor shows no hypervisor"
    return "yes: the processor shows a hypervisor" + (f"; the machine is called {product}" if product else "")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
