"""What compose files and engines' containers have in common: options in the engines' words."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path

from worldswitch.harness.environments.deployments.document import Value
from worldswitch.harness.environments.deployments.draft import Draft
from worldswitch.harness.environments.profiles.mounts import OPPOSITE, PROPAGATION, TMPFS, VALUES, merged

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

#: Options that only Podman shows, which adds them itself.
PODMAN_S = ("rprivate", "tmpcopyup", "notmpcopyup")
#: Names of the AppArmor profiles of Docker, Podman, containerd and CRI-O.
USUAL_APPARMOR = ("docker-default", "containers-default", "cri-containerd.apparmor.d", "crio-default")

#: What an engine does where a profile's default is stricter.
USUAL = {"no_new_privileges": False, "init": False, "read_only": False}


def security(draft: Draft, value: Value, option: str) -> None:
    """Take one `security_opt`, ``NAME=VALUE`` or ``NAME:VALUE``."""
    name, _, setting = re.sub(r"^([a-z-]+):", r"\1=", option, count=1).partition("=")
    match name:
        case "no-new-privileges":
            draft.set(no_new_privileges=setting in ("", "true"))
        case "apparmor":
            draft.set(apparmor=setting)
        case "label" if setting == "disable":
            draft.set(selinux=["disable"])
        case "label":
            part, _, content = setting.partition(":")
            draft.selinux({part: content} if part in ("user", "role", "type", "level") else {})
            if part not in ("user", "role", "type", "level"):
                draft.lose(value.field, f"{option!r}: a profile has no such option of SELinux")
        case "seccomp":
            _seccomp(draft, value, setting)
        case "systempaths" | "unmask" if draft.fields.get("privileged"):
            pass  # it hides nothing anyway
        case _:
            draft.lose(value.field, f"{option!r}: a profile has no such option; the cell hides parts of /proc and /sys")


def apparmor(draft: Draft, value: Value) -> None:
    """Take the AppArmor profile that a container has, unless it is one that engines give to each."""
    name = value.text().partition(" ")[0]
    if name.startswith(USUAL_APPARMOR):
        draft.lose(value.field, f"the engine's usual profile, {name}; name it in `apparmor` to require it")
    elif name:
        draft.set(apparmor=name)


def _seccomp(draft: Draft, value: Value, setting: str) -> None:
    if setting in ("unconfined", "default", "builtin"):
        draft.set(seccomp="unconfined" if setting == "unconfined" else "default")
    elif setting.lstrip().startswith("{"):
        try:
            draft.take_filter(value, json.loads(setting))
        except json.JSONDecodeError as problem:
            raise value.wrong(f"its seccomp filter is not JSON: {problem.msg}") from problem
    else:
        draft.filter_from(value, Path(setting))


def pid(draft: Draft, value: Value) -> None:
    """Take the mode of the PID namespace."""
    if (mode := value.text()) == "host":
        draft.set(namespaces={"pid": "host"})
    elif mode.startswith(("service:", "container:")):
        draft.set(namespaces={"pid": "shared"})
    elif mode not in ("", "private"):
        draft.lose(value.field, f"a profile has no PID namespace {mode!r}")


def namespace(draft: Draft, value: Value, kind: str) -> None:
    """Take the mode of the IPC, UTS or control group namespace."""
    mode = value.text()
    if mode == "host" or (mode == "private" and kind == "cgroup"):
        draft.set(namespaces={kind: mode})
    elif mode not in ("", "private", "shareable"):
        draft.lose(value.field, f"a profile's {kind} namespace is private or the machine's, not {mode!r}")


def users(draft: Draft, value: Value) -> None:
    """Take the mode of the user namespace."""
    mode = value.text()
    if mode.startswith(("auto", "private", "nomap", "keep-id")):
        draft.set(namespaces={"user": "mapped"})
        if mode != "private":
            draft.lose(value.field, f"{mode!r} chooses ids; a profile's container has 65536 ids, root included")
    elif mode not in ("", "host"):
        draft.lose(value.field, f"a profile has no user namespace {mode!r}")


def tmpfs(draft: Draft, value: Value, target: str, options: str) -> None:
    """Take a tmpfs with options such as ``size=64m,exec``.

    Docker shows the options that were asked for, which add to its own; Podman shows all of them.
    """
    asked = [option for option in options.split(",") if option]
    shown_whole = any(option in PODMAN_S for option in asked)
    absent = [OPPOSITE[flag] for flag in TMPFS if flag not in asked and OPPOSITE[flag] not in asked]
    wanted = (option for option in asked if option not in (*PROPAGATION, *PODMAN_S))
    mount(draft, value, target, "tmpfs", list(merged(absent if shown_whole else TMPFS, wanted)))


def mount(draft: Draft, value: Value, target: str, kind: str, options: list[str], source: str = "") -> None:
    """Take a mount; options that a profile does not have are lost."""
    values = VALUES if kind == "tmpfs" else {}
    known = [one for one in options if one in OPPOSITE or one in PROPAGATION or one.partition("=")[0] in values]
    known = [_size(one) for one in known if kind == "bind" or one not in PROPAGATION]
    ignored = ("rbind", "bind", "z", "Z", "nocopy", "tmpcopyup", "relatime", "rprivate", "")
    if other := [one for one in options if one not in ignored and _size(one) not in known]:
        draft.lose(value.field, f"a profile's mount has no option {', '.join(other)}")
    if kind == "tmpfs" and target in ("/tmp", "/dev/shm"):
        known = _all_flags(known)
    draft.mount(value, target=target, type=kind, source=source, options=[one for one in known if one != "rw"])


def _all_flags(options: list[str]) -> list[str]:
    """Write out the flags of a tmpfs whose defaults differ from the engines'."""
    return [
        *options,
        *(flag for flag in ("exec", "suid", "dev") if OPPOSITE[flag] not in options and flag not in options),
    ]


def _size(option: str) -> str:
    name, _, size = option.partition("=")
    return f"size={number}" if name == "size" and not size.endswith("%") and (number := bytes_of(size)) else option


def bytes_of(size: str) -> int:
    """Return a size such as ``64m``, ``1.5gb`` in bytes; 0 if it is none."""
    parts = re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)\s*([bkmgt]?)(?:i?b)?", size.strip().lower())
    return int(float(parts[1]) * UNITS[parts[2]]) if parts else 0


def volume(draft: Draft, value: Value, written: str) -> None:
    """Take a volume in the short form: ``SOURCE:TARGET:MODE``, ``TARGET``."""
    source, _, rest = written.partition(":")
    target, _, mode = rest.partition(":")
    if not target:
        source, target = "", source
    options = mode.split(",") if mode else []
    if source.startswith(("/", ".", "~")):
        mount(draft, value, target, "bind", options, host_path(draft, source))
    else:
        new_volume(draft, value, target, options, source)


def new_volume(draft: Draft, value: Value, target: str, options: list[str], name: str) -> None:
    """Take an engine's volume: the cell gets an empty one, and never another's data."""
    if name:
        draft.lose(value.field, f"the content of the volume {name}: the cell's is new and empty")
    mount(draft, value, target, "volume", options)


def host_path(draft: Draft, path: str) -> str:
    """Return a path of the machine, absolute and without . and .."""
    return posixpath.normpath(draft.folder.absolute() / Path(path).expanduser())


def device(draft: Draft, value: Value, written: str) -> None:
    """Take a device: ``/dev/kvm``, ``/dev/kvm:/dev/kvm:rw``."""
    source, *rest = written.split(":")
    target = rest.pop(0) if rest and rest[0].startswith("/") else source
    if source.startswith("/dev"):
        draft.device(source, target, rest[0] if rest else "rwm")
    else:
        draft.lose(value.field, f"{written!r}: a profile's devices are files in /dev")
