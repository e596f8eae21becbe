"""Decides for each security module whether it denies ptrace, by its state and by the errno it answers.

SELinux answers EACCES, Landlock EPERM, AppArmor either (EPERM before Linux 4.13), and a BPF program what it likes.
"""

from __future__ import annotations

from worldswitch.harness.ptrace_denial.mechanisms import Denial, Mechanism, MechanismCheck

DENIALS = ("EPERM", "EACCES")

#: Modules that do not restrict ptrace, or that have checks of their own.
OTHER_MODULES = frozenset(
    (
        *("capability", "lockdown", "yama", "integrity", "ima", "evm", "ipe", "loadpin", "safesetid", "tomoyo"),
        *("selinux", "apparmor", "landlock", "bpf"),
    )
)

#: The domains and profiles of containers.
SELINUX_CONTAINERS = ("container_t", "spc_t", "svirt_lxc_net_t", "container_init_t")
APPARMOR_CONTAINERS = ("docker-default", "containers-default", "cri-containerd", "lxc-container")


def selinux(one: Denial) -> MechanismCheck:
    """SELinux: its boolean deny_ptrace, and the domain of this process."""
    known = one.known

    def found(denies: bool | None, evidence: str, remedy: str = "") -> MechanismCheck:
        return MechanismCheck(Mechanism.SELINUX, denies, evidence, remedy)

    domain = known.label.split(":")[2] if known.label.count(":") >= 2 else ""
    if one.is_not("EACCES"):
        return found(False, "SELinux answers EACCES")
    if not is_active(one, "selinux", bool(domain) or known.enforcing is not None or known.deny_ptrace is not None):
        return found(False, _inactive(one))
    if known.enforcing is False:
        return found(False, "it is permissive")
    if known.deny_ptrace:
        return found(True, "its boolean deny_ptrace is on", "`setsebool deny_ptrace off`")
    if domain.startswith("unconfined_"):
        return found(False, f"the domain {domain} may trace" + ("" if known.deny_ptrace is False else ", as a rule"))
    if not domain:
        return found(None, "it is active; the domain of this process is not visible", _AUSEARCH)
    remedy = _AUSEARCH
    if domain in SELINUX_CONTAINERS:
        remedy += "; or start the container with --security-opt label=disable"
    return found(None, f"this process is in the domain {domain}", remedy)


def apparmor(one: Denial) -> MechanismCheck:
    """AppArmor: the profile of this process."""
    label = one.known.label

    def found(denies: bool | None, evidence: str, remedy: str = "") -> MechanismCheck:
        return MechanismCheck(Mechanism.APPARMOR, denies, evidence, remedy)

    enforced = label.endswith(("(enforce)", "(kill)"))
    if one.is_not(*DENIALS):
        return found(False, "AppArmor answers EACCES, or EPERM")
    if not is_active(one, "apparmor", enforced):
        return found(False, _inactive(one))
    if enforced:
        remedy = "give its profile the rule `ptrace (trace, tracedby) peer=@{profile_name},`"
        if label.startswith(APPARMOR_CONTAINERS):
            remedy = f"start the container with --security-opt apparmor=unconfined, or {remedy}"
        return found(None, f"the profile of this process is {label}", remedy)
    if label:
        return found(False, f"the profile of this process is {label}: it enforces nothing")
    return found(None, "it is active; the profile of this process is not visible", _LOG)


def landlock(one: Denial) -> MechanismCheck:
    """Landlock: a thread in a domain may not trace what was forked outside of it."""
    domains = one.known.landlock

    def found(denies: bool | None, evidence: str, remedy: str = "") -> MechanismCheck:
        return MechanismCheck(Mechanism.LANDLOCK, denies, evidence, remedy)

    if one.is_not("EPERM"):
        return found(False, "Landlock answers EPERM")
    if one.own_child and one.own_thread:
        return found(False, "a child is in the domains of the thread that forks it")
    if domains == 0:
        return found(False, "this thread is in no domain")
    remedy = "enter the domain (landlock_restrict_self) before the platform is made, in the thread that makes it"
    if domains:
        nested = f"{domains} nested domain{'s' if domains > 1 else ''}"
        if one.known.traces_new_child and one.own_child:
            return found(
                True, f"this thread is in {nested}; it may trace its own new child, not another thread's", remedy
            )
        return found(None, f"this thread is in {nested}, and the target may be outside", remedy)
    if one.known.modules and not is_active(one, "landlock", False):
        return found(False, _inactive(one))
    return found(None, "whether this thread is in a domain cannot be seen", remedy)


def bpf(one: Denial) -> MechanismCheck:
    """A BPF program at a hook of the kernel."""
    if one.is_not(*DENIALS):
        return MechanismCheck(Mechanism.BPF, False, "a security module answers EPERM or EACCES")
    if not is_active(one, "bpf", False):
        return MechanismCheck(Mechanism.BPF, False, _inactive(one))
    return MechanismCheck(
        Mechanism.BPF,
        None,
        "it is active, so a BPF program may deny ptrace",
        "as root, `bpftool prog show | grep lsm` names the programs; allow ptrace where they are configured (systemd, "
        "KubeArmor, Tetragon)",
    )


def other_modules(one: Denial) -> MechanismCheck:
    """The modules without a check of their own."""
    known = one.known
    if one.is_not(*DENIALS):
        return MechanismCheck(Mechanism.MODULE, False, "a security module answers EPERM or EACCES")
    if not known.modules:
        return MechanismCheck(Mechanism.MODULE, None, "the active modules cannot be read here", _LOG)
    seen = [name for name in known.modules.split(",") if name and name not in OTHER_MODULES]
    if not seen:
        return MechanismCheck(Mechanism.MODULE, False, f"no other is active: {known.modules}")
    return MechanismCheck(Mechanism.MODULE, None, f"{', '.join(seen)} {'is' if len(seen) == 1 else 'are'} active", _LOG)


def _inactive(one: Denial) -> str:
    return f"it is not active: {one.known.modules}" if one.known.modules else "nothing shows that it is active"


def is_active(one: Denial, module: str, shown: bool) -> bool:
    """True if a module is listed, or its state shows it where the list is not visible."""
    return shown or module in one.known.modules.split(",")


_LOG = "see the kernel log (audit: DENIED); allow this program to trace its children"
_AUSEARCH = "`ausearch -m avc -ts recent` shows the denial; allow this domain to trace its children"
