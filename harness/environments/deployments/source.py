"""Find what a deployment's source is, and draft a profile of one of its containers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from worldswitch.harness.environments.deployments import compose, engine_container, kubernetes, oci_config
from worldswitch.harness.environments.deployments.document import FORMATS, DeploymentError, Value, read
from worldswitch.harness.environments.deployments.draft import Draft

if TYPE_CHECKING:
    import docker

PODMAN_S = "/v4.0.0/libpod"  #: where Podman serves its own interface, beside Docker's
DESCRIBE_SECONDS = 20.0  #: for an engine to describe a container
SUFFIXES = (".json", ".yaml", ".yml")


def draft(source: str, wanted: str) -> Draft:
    """Return the draft of a container in a file, or of an engine's container.  Raises `DeploymentError`.

    `wanted` is the name of one container or service, empty if there is only one.
    """
    path = Path(source)
    if path.exists() or "/" in source or path.suffix in SUFFIXES:
        return of_documents(read(path), wanted, path.parent)
    return engine_container.draft(_inspected(source), wanted, Path())


def of_documents(documents: list[Value], wanted: str, folder: Path) -> Draft:
    """Return the draft of a container of a file's documents."""
    first = documents[0]
    if objects := [one for one in documents if kubernetes.is_here(one)]:
        return kubernetes.draft(objects, wanted, folder)
    if engine_container.is_here(first):
        return engine_container.draft(first, wanted, folder)
    if oci_config.is_here(first):
        return oci_config.draft(first, folder)
    if isinstance(first.content, dict) and "services" in first.content:
        return compose.draft(first, wanted, folder)
    raise first.wrong(_unknown(first))


def _unknown(document: Value) -> str:
    content = document.content
    if isinstance(content, dict) and "defaultAction" in content:
        return 'is a seccomp filter; a profile names it: `seccomp = "FILE.json"`'
    kind = f"a table of {', '.join(map(str, content))}"[:80] if isinstance(content, dict) else type(content).__name__
    return f"is {kind}; {FORMATS}"


def _described(api: docker.APIClient, name: str) -> object:
    """Return the description of a container; Podman's own has its capabilities, which Docker's interface leaves out."""
    from worldswitch.harness.environments.docker.bounded import checked

    path = f"{PODMAN_S}/containers/{quote(name, safe='')}/json"
    native = api.get(f"{api.base_url}{path}", timeout=DESCRIBE_SECONDS)
    return checked(native.content, path, dict) if native.ok else api.inspect_container(name)


def _inspected(name: str) -> Value:
    """Return what an engine says of a container."""
    try:
        from worldswitch.harness.environments.docker import engine  # late: files need no engine
        from worldswitch.harness.environments.docker.bounded import ERRORS, explanation
    except ModuleNotFoundError as problem:
        raise DeploymentError(name, "", f"asking an engine needs the Python package {problem.name}") from problem
    tried: list[str] = []
    for url in engine.addresses():
        if found := engine.answering(url, tried):
            try:
                return _of_engine(found.client.api, url, name)
            except DeploymentError:
                raise
            except ERRORS as problem:
                said = f"{url} does not describe the container: {explanation(problem)}"
                raise DeploymentError(name, "", said) from problem
            finally:
                found.client.close()
    context = "; ".join(tried) or "no container engine runs here"
    raise DeploymentError(name, "", f"no such file, and no container, because {context}; or set DOCKER_HOST")


def _of_engine(api: docker.APIClient, url: str, name: str) -> Value:
    from docker.errors import NotFound

    try:
        return Value(url, [_described(api, name)])
    except NotFound:
        listed = [one.lstrip("/") for each in api.containers(all=True) for one in each.get("Names") or ()]
    raise DeploymentError(name, "", f"no such file, and no container of {url}; it has {', '.join(listed) or 'none'}")
