"""A profile after a container of Kubernetes: a pod, or the pod template of a workload."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from worldswitch.harness.environments.deployments import engine_options
from worldswitch.harness.environments.deployments.document import Value
from worldswitch.harness.environments.deployments.draft import Draft, pick

#: Where a kind has its pod's fields `metadata` and `spec`.
POD_IN: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")

SECURITY = (
    *("capabilities", "privileged", "allowPrivilegeEscalation", "runAsUser", "runAsGroup", "runAsNonRoot"),
    *("readOnlyRootFilesystem", "seccompProfile", "appArmorProfile", "seLinuxOptions", "procMount"),
)
POD_SECURITY = (*SECURITY, "supplementalGroups", "fsGroup", "sysctls")
POD_READ = (
    *("securityContext", "shareProcessNamespace", "hostPID", "hostIPC", "hostUsers", "volumes", *CONTAINERS),
    *("restartPolicy", "terminationGracePeriodSeconds", "dnsPolicy", "schedulerName", "enableServiceLinks"),
    *("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "priorityClassName", "priority"),
    *(
        "serviceAccountName",
        "serviceAccount",
        "automountServiceAccountToken",
        "imagePullSecrets",
        "nodeName",
        "hostname",
    ),
    *("activeDeadlineSeconds", "dnsConfig", "subdomain", "hostAliases", "preemptionPolicy", "setHostnameAsFQDN"),
    *("readinessGates", "schedulingGates", "os"),
)
CONTAINER_READ = ("name", "securityContext", "resources", "volumeMounts")
OF_THE_IMAGE = (
    *("image", "imagePullPolicy", "command", "args", "env", "envFrom", "ports", "workingDir", "lifecycle", "stdin"),
    *("livenessProbe", "readinessProbe", "startupProbe", "stdinOnce", "tty", "restartPolicy", "resizePolicy"),
    *("terminationMessagePath", "terminationMessagePolicy", "targetContainerName"),
)
REASONS = {
    "hostNetwork": "cells have no network",
    "runtimeClassName": "the cell runs in this machine's own runtime and kernel",
    "volumeDevices": "block devices of the cluster",
    "supplementalGroupsPolicy": "the groups of the image are unknown",
    "windowsOptions": "the cell runs on Linux",
    "fsGroupChangePolicy": "owners of files in volumes",
    "seLinuxChangePolicy": "labels of files in volumes",
    "overhead": "the cost of a runtime class",
}
ANNOTATION = {
    "seccomp": ("container.seccomp.security.alpha.kubernetes.io/", "seccomp.security.alpha.kubernetes.io/pod"),
    "apparmor": ("container.apparmor.security.beta.kubernetes.io/", ""),
}
PROPAGATIONS = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
NO_FILTER = (
    "there is none, so there is no filter; a kubelet with seccompDefault uses the runtime's default: then write "
    '`seccomp = "default"`'
)
UNITS = {"": 1, "m": 0.001, **{f"{unit}i": 1 << 10 * power for power, unit in enumerate("KMGTPE", 1)}}
UNITS |= {unit: 1000**power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)}


def is_here(document: Value) -> bool:
    """True for an object of Kubernetes."""
    return isinstance(document.content, dict) and {"kind", "apiVersion"} <= document.content.keys()


def draft(documents: Sequence[Value], wanted: str, folder: Path) -> Draft:
    """Return the draft of a container.  Raises `DeploymentError`."""
    objects = [one for document in documents for one in _objects(document)]
    found = [pair for one in objects for pair in _containers(one)]
    if not found:
        kinds = ", ".join(sorted({one["kind"].text("nothing") for one in objects}))
        raise documents[0].wrong(f"has no pod and no workload, but {kinds}; profiles are made of {', '.join(POD_IN)}")
    label, (pod, container) = _pick(documents[0].file, found, wanted)
    name = container["name"].text("container")
    made = Draft(f"container {label} of {documents[0].file}", name, folder)
    _fill(made, pod, container, name)
    return made


def _objects(document: Value) -> Iterator[Value]:
    if document["kind"].text().endswith("List") and document["items"]:
        for one in document["items"].rows():
            yield from _objects(one)
    else:
        yield document


def _containers(document: Value) -> Iterator[tuple[str, tuple[Value, Value]]]:
    kind = document["kind"].text()
    if kind in POD_IN:
        pod = document.at(*POD_IN[kind])
        for place in CONTAINERS:
            for one in pod["spec"][place].rows():
                yield f"{document['metadata']['name'].text(kind)}/{one['name'].text('container')}", (pod, one)


def _pick(file: str, found: list[tuple[str, tuple[Value, Value]]], wanted: str) -> tuple[str, tuple[Value, Value]]:
    ordinary = [pair for pair in found if ".containers[" in pair[1][1].field]
    candidates = ordinary if not wanted and len(ordinary) == 1 else found
    label, _ = pick(file, "container", [(label, one) for label, (_, one) in candidates], wanted)
    return next(pair for pair in candidates if pair[0] == label)


def _fill(made: Draft, pod: Value, container: Value, name: str) -> None:
    spec, own = pod["spec"], container["securityContext"]
    shared = spec["securityContext"]
    made.set(init=False, no_new_privileges=not own["allowPrivilegeEscalation"].flag(absent=True))
    made.set(read_only=own["readOnlyRootFilesystem"].flag())
    made.capabilities(own["capabilities"]["add"], own["capabilities"]["drop"])
    _user(made, own, shared)
    if own["privileged"].flag():
        made.set(privileged=True)
    else:
        _filter(made, own, shared, pod["metadata"]["annotations"], name)
    _labels(made, own, shared, pod["metadata"]["annotations"], name)
    _namespaces(made, spec)
    if own["procMount"].text("Default") != "Default":
        made.lose(own["procMount"].field, "the cell hides parts of /proc unless it is privileged")
    for one in shared["sysctls"].rows():
        made.sysctl(one, one["name"].text(), one["value"].text())
    _limits(made, container["resources"])
    for mount in container["volumeMounts"].rows():
        _mount(made, mount, spec["volumes"].rows())
    made.lose_rest(own, SECURITY, REASONS, ())
    made.lose_rest(shared, POD_SECURITY, REASONS, ())
    made.lose_rest(spec, POD_READ, REASONS, ())
    made.lose_rest(container, CONTAINER_READ, REASONS, OF_THE_IMAGE)


def _either(own: Value, shared: Value, name: str) -> Value:
    """Return a setting of the container, or the pod's if the container has none."""
    return own[name] if own[name].content is not None else shared[name]


def _user(made: Draft, own: Value, shared: Value) -> None:
    user, group = _either(own, shared, "runAsUser"), _either(own, shared, "runAsGroup")
    if user.content is not None:
        made.set(user=f"{user.number()}:{group.number()}")
    elif _either(own, shared, "runAsNonRoot").flag():
        made.set(user=f"65534:{group.number(65534)}")
        made.lose("runAsUser", "there is none, so the image says which user other than root; `user` is a guess")
    else:
        made.set(user=f"0:{group.number()}")
        made.lose("runAsUser", "there is none, so the image says which user; `user` is root's")
    groups = [*shared["supplementalGroups"].rows(), *([shared["fsGroup"]] if shared["fsGroup"] else [])]
    made.groups(shared, [str(one.number()) for one in groups])


def _filter(made: Draft, own: Value, shared: Value, annotations: Value, name: str) -> None:
    profile = _either(own, shared, "seccompProfile")
    kind, file = profile["type"].text(), profile["localhostProfile"].text()
    if not profile:
        prefix, whole = ANNOTATION["seccomp"]
        kind, _, file = (annotations[f"{prefix}{name}"].text() or annotations[whole].text()).partition("/")
    match kind.lower():
        case "runtimedefault" | "runtime" | "docker":
            made.set(seccomp="default")
        case "localhost":
            made.filter_from(profile or annotations, _beside(made.folder, file))
        case "unconfined":
            made.set(seccomp="unconfined")
        case "":
            made.set(seccomp="unconfined")
            made.lose("seccompProfile", NO_FILTER)
        case _:
            raise profile["type"].wrong(f"{kind!r} is none of RuntimeDefault, Localhost, Unconfined")


def _beside(folder: Path, file: str) -> Path:
    """Return the path of a node's filter, which is often kept beside the manifest without the node's folders."""
    return next((path for path in (Path(file), Path(Path(file).name)) if (folder / path).is_file()), Path(file))


def _labels(made: Draft, own: Value, shared: Value, annotations: Value, name: str) -> None:
    profile = _either(own, shared, "appArmorProfile")
    kind, file = profile["type"].text(), profile["localhostProfile"].text()
    if not profile:
        kind, _, file = annotations[f"{ANNOTATION['apparmor'][0]}{name}"].text().partition("/")
    match kind.lower():
        case "unconfined":
            made.set(apparmor="unconfined")
        case "localhost":
            made.set(apparmor=file)
        case "" | "runtime" | "runtimedefault":
            pass
        case _:
            raise profile["type"].wrong(f"{kind!r} is none of RuntimeDefault, Localhost, Unconfined")
    label = _either(own, shared, "seLinuxOptions")
    made.selinux({part: label[part].text() for part in ("user", "role", "type", "level")})


def _namespaces(made: Draft, spec: Value) -> None:
    if spec["hostPID"].flag():
        made.set(namespaces={"pid": "host"})
    elif spec["shareProcessNamespace"].flag():
        made.set(namespaces={"pid": "shared"})
    if spec["hostIPC"].flag():
        made.set(namespaces={"ipc": "host"})
    if not spec["hostUsers"].flag(absent=True):
        made.set(namespaces={"user": "mapped"})


def _limits(made: Draft, resources: Value) -> None:
    limits = resources["limits"]
    if limits["memory"]:
        made.memory(limits["memory"], _quantity(limits["memory"]))
    else:
        made.lose(
            "resources.limits.memory", "there is none, and every cell has a limit: `limits.memory`, 1g by default"
        )
    made.lose_rest(limits, ("memory",), {"cpu": "a profile does not limit the time of CPUs"}, ())
    made.lose_rest(resources, ("limits", "requests"), {}, ())


def _quantity(value: Value) -> int:
    parts = re.fullmatch(r"((?:\d{1,18}\.?\d{0,18}|\.\d{1,18})(?:e\d{1,2})?)([A-Za-z]*)", value.text())
    if not parts or parts[2] not in UNITS:
        raise value.wrong(f"{value.text()!r} is no quantity such as 512Mi")
    return int(float(parts[1]) * UNITS[parts[2]])


def _mount(made: Draft, mount: Value, volumes: Sequence[Value]) -> None:
    name, target = mount["name"].text(), posixpath.normpath(mount["mountPath"].text() or "/")
    volume = next((one for one in volumes if one["name"].text() == name), None)
    if volume is None:
        raise mount["name"].wrong(f"there is no volume {name!r}")
    options = ["ro"] if mount["readOnly"].flag() else []
    below = mount["subPath"].text()
    if "emptyDir" in volume.table():
        _empty_dir(made, mount, volume["emptyDir"], target, options)
    elif path := volume["hostPath"]["path"].text():
        options += filter(None, [PROPAGATIONS.get(mount["mountPropagation"].text(), "")])
        source = posixpath.normpath(posixpath.join(path, below))
        engine_options.mount(made, mount, target, "bind", options, source)
    else:
        kind = next((key for key in volume.table() if key != "name"), "nothing")
        made.lose(mount.field, f"{target}, files of the cluster ({kind} {name})")


def _empty_dir(made: Draft, mount: Value, volume: Value, target: str, options: list[str]) -> None:
    if volume["medium"].text() != "Memory":
        engine_options.mount(made, mount, target, "volume", options)
        return
    size = [f"size={_quantity(volume['sizeLimit'])}"] if volume["sizeLimit"] else []
    engine_options.mount(made, mount, target, "tmpfs", [*options, "exec", "suid", "dev", *size])
