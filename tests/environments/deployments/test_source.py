"""Profiles after deployments: realistic sources with the profiles that they must give, and sources that are wrong.

The profile of NAME.yaml or NAME.json in tests/data/deployments is NAME.toml beside it.
"""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT as TOP

from worldswitch.harness.environments.deployments import document, engine_options, source, write
from worldswitch.harness.environments.deployments.document import DeploymentError, Value
from worldswitch.harness.environments.profiles import profile as profiles
from worldswitch.harness.linux import regular_file

FOLDER = Path(__file__).parents[2] / "data/deployments"
EXPECTED = sorted(FOLDER.glob("*.toml"))
#: The container to choose in a source that has several.
CHOSEN = {"pod-gdb-sidecar": "gdb", "statefulset": "agent", "compose-judge": "judge", "compose-shared": "debugger"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources as working directory."""
    shutil.copytree(FOLDER, tmp_path / "sources", ignore=shutil.ignore_patterns("*.toml"))
    monkeypatch.chdir(tmp_path / "sources")
    return tmp_path / "sources"


def source_of(name: str) -> str:
    return next(file for kind in ("yaml", "json") if Path(file := f"{name}.{kind}").exists())


def test_there_are_at_least_twenty_sources() -> None:
    assert len(EXPECTED) >= 20


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.stem)
def test_a_deployment_gives_its_profile(expected: Path, here: Path, tmp_path: Path) -> None:
    draft = source.draft(source_of(expected.stem), CHOSEN.get(expected.stem, ""))
    file, *filters = write.write(draft, expected.stem, tmp_path)
    assert file.read_text().replace(str(here), "/FOLDER") == expected.read_text()
    profile = profiles.load(file)
    assert bool(filters) == (profile.seccomp not in ("default", "unconfined"))
    assert all(f"# - {one}" in file.read_text() for one in draft.lost)


@pytest.mark.usefixtures("here")
def test_a_filter_is_the_source_s(tmp_path: Path) -> None:
    draft = source.draft("pod-gvisor.yaml", "")
    _, file = write.write(draft, "mine", tmp_path)
    assert json.loads(file.read_text()) == json.loads(Path("runner-filter.json").read_text())


@pytest.mark.parametrize(
    ("file", "wanted", "said"),
    [
        (
            "pod-gdb-sidecar.yaml",
            "",
            "has 3 containers; choose one with --container: app/app, app/gdb, app/prepare",
        ),
        ("pod-gdb-sidecar.yaml", "gdbb", "there is no container 'gdbb'; choose one with --container: app/app, "),
        ("statefulset.json", "", "has 2 containers; choose one with --container: judge/judge, agent/agent"),
        ("compose-judge.yaml", "", "has 2 services; choose one with --service: judge, queue"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_choice_is_asked_for_with_the_names(file: str, wanted: str, said: str) -> None:
    with pytest.raises(DeploymentError) as caught:
        source.draft(file, wanted)
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)


@pytest.mark.usefixtures("here")
def test_one_container_of_several_is_chosen_by_its_name() -> None:
    assert source.draft("statefulset.json", "judge").fields["user"] == "1000:0"
    assert source.draft("statefulset.json", "agent/agent").fields["user"] == "0:0"
    assert source.draft("pod-gdb-sidecar.yaml", "prepare").fields["user"] == "0:10001"


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("x.json", "{", "x.json: line 1: not JSON: "),
        ("x.json", '[{"HostConfig": 7}]', "x.json: is list; expected the output of `docker inspect`"),
        ("x.json", "[" * 100_000, "x.json: is nested too deeply"),
        ("x.json", '{"defaultAction": "SCMP_ACT_ALLOW"}', "x.json: is a seccomp filter; a profile names it"),
        ("x.yaml", "a: [", "x.yaml: line 1: not YAML: "),
        ("x.yaml", "a: {{ .Values.b }}", "render the template first"),
        ("x.yaml", "[" * 5_000, "x.yaml: is nested too deeply"),
        ("x.yaml", "", "x.yaml: is empty; expected the output of"),
        ("x.yaml", "- 7", "x.yaml: is list; expected"),
        ("x.yaml", "just text", "x.yaml: is str; expected"),
        ("x.yaml", "a: b", "x.yaml: is a table of a; expected"),
        ("x.yaml", "a: !!python/object:os.system x", "x.yaml: line 1: not YAML: could not determine a constructor"),
        ("x.yaml", "a: 2026-99-99", "x.yaml: not YAML: month must be in 1..12"),
        (
            "x.yaml",
            "apiVersion: v1\nkind: Secret\n",
            "has no pod and no workload, but Secret; profiles are made of Pod",
        ),
        ("x.yaml", "apiVersion: v1\nkind: Pod\n", "x.yaml: has no pod and no workload"),
        ("x.yaml", "apiVersion: v1\nkind: Pod\nspec: 7\n", "x.yaml: spec: expected a table, got 7"),
        (
            "x.yaml",
            f"{POD}    securityContext: {{capabilities: {{add: SYS_PTRACE, drop: 7}}}}",
            "x.yaml: spec.containers[0].securityContext.capabilities.add: expected a list, got",
        ),
        (
            "x.yaml",
            f'{POD}    securityContext: {{runAsUser: "app"}}',
            'x.yaml: spec.containers[0].securityContext.runAsUser: expected an integer, got "app"',
        ),
        (
            "x.yaml",
            f"{POD}    securityContext: {{privileged: 1}}",
            "securityContext.privileged: expected true or false, got 1",
        ),
        (
            "x.yaml",
            f"{POD}    securityContext: {{seccompProfile: {{type: Default}}}}",
            "seccompProfile.type: 'Default' is none of RuntimeDefault, Localhost, Unconfined",
        ),
        (
            "x.yaml",
            f"{POD}    resources: {{limits: {{memory: 1Q}}}}",
            "resources.limits.memory: '1Q' is no quantity such as 512Mi",
        ),
        (
            "x.yaml",
            f"{POD}    volumeMounts: [{{name: v, mountPath: /v}}]",
            "volumeMounts[0].name: there is no volume 'v'",
        ),
        ("x.yaml", "services: {}", "x.yaml: has no service"),
        ("x.yaml", "services: [a]", "x.yaml: services: expected a table"),
        (
            "x.yaml",
            "services: {a: {user: '${UID:-7}'}}",
            "x.yaml: services.a.user: '${UID:-7}' has a variable; `docker compose config` prints",
        ),
        (
            "x.yaml",
            "services: {a: {extends: {service: b}}}",
            "x.yaml: services.a.extends: is of another file; `docker compose config`",
        ),
        ("x.yaml", "services: {a: {mem_limit: lots}}", "x.yaml: services.a.mem_limit: 'lots' is no size such as 512m"),
        (
            "x.yaml",
            "services: {a: {security_opt: ['seccomp=x.yaml']}}",
            "x.yaml: services.a.security_opt[0]: the filter x.yaml is not JSON",
        ),
        (
            "x.json",
            '{"HostConfig": {"SecurityOpt": ["seccomp={}"]}}',
            "x.json: HostConfig.SecurityOpt[0]: a seccomp filter has a `defaultAction`, and this has none",
        ),
        ("x.json", '{"ociVersion": "1", "process": {"user": []}}', "x.json: process.user: expected a table, got []"),
    ],
)
def test_a_source_that_is_wrong_is_told_by_file_and_field(
    file: str, text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(file).write_text(text)
    with pytest.raises(DeploymentError) as caught:
        source.draft(file, "")
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")
    assert [path.name for path in tmp_path.iterdir()] == [file]


#: Values that take the place of each value of each source.
ODD = (7, -1, 1.5, "x", "", [], {}, None, True, ["a"], [7], [None], {"a": 1}, "${X}", "1:2:3", "/", "a\nb", 10**30)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each value of nested tables and lists."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in inside:
        yield (*above, key)
        yield from places(member, (*above, key))


def changed(value: Any, place: tuple[Any, ...], new: object) -> Any:
    """Return nested tables and lists with another value in one place."""
    if not place:
        return new
    made = copy.copy(value)
    made[place[0]] = changed(made[place[0]], place[1:], new)
    return made


@pytest.mark.usefixtures("here")
def test_an_odd_value_anywhere_gives_a_profile_or_an_error_that_names_it() -> None:
    chance = random.Random(1)
    tried = 0
    for name in (path.stem for path in EXPECTED):
        documents = [one.content for one in document.read(Path(source_of(name)))]
        for place in list(places(documents)):
            contents = changed(documents, place, chance.choice(ODD))
            values = [Value(name, content) for content in contents if content is not None]
            tried += 1
            with suppress(DeploymentError):
                list(write._files(source.of_documents(values or [Value(name, {})], CHOSEN.get(name, ""), Path()), "x"))
    assert tried > 1000


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ("ulimits: {nofiles: 7}", "mine.toml: ulimits.nofiles: object contains unknown field"),
        ("ulimits: {nofile: {soft: 9, hard: 8}}", "mine.toml: ulimits: `nofile` is '9:8'"),
        ("security_opt: ['apparmor=two words']", "mine.toml: apparmor: "),
    ],
)
def test_settings_that_no_profile_can_have_leave_no_file(services: str, said: str, tmp_path: Path) -> None:
    compose = tmp_path / "x.yaml"
    compose.write_text(f"services: {{a: {{{services}}}}}")
    (tmp_path / "out").mkdir()
    with pytest.raises(DeploymentError, match="no profile can have its settings: ") as caught:
        write.write(source.draft(str(compose), ""), "mine", tmp_path / "out")
    assert said in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_is_no_regular_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="/dev/zero: cannot be read: it is a device"):
        source.draft("/dev/zero", "")
    with pytest.raises(DeploymentError, match=r"nothing\.yaml: cannot be read: No such file"):
        source.draft(str(tmp_path / "nothing.yaml"), "")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (regular_file.MOST_BYTES + 1))
    with pytest.raises(DeploymentError, match="is larger than 1 MiB"):
        source.draft(str(large), "")
    large.write_bytes(b"\xff\xfea")
    with pytest.raises(DeploymentError, match="is no text in UTF-8"):
        source.draft(str(large), "")


def test_a_container_of_an_engine_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(DeploymentError, match="web: no such file, and no container, because unix:///nowhere/docker"):
        source.draft("web", "")


class _Engine(BaseHTTPRequestHandler):
    """An engine with the container of inspect-podman.json, in the form of Docker's interface and in Podman's own."""

    is_podman = True

    def do_GET(self) -> None:
        inspected = json.loads((FOLDER / "inspect-podman.json").read_text())[0] | {"Id": "cc" * 32, "State": {}}
        docker_s = {name: content for name, content in inspected.items() if name != "BoundingCaps"}
        known = {
            "/version": {"ApiVersion": "1.41", "Version": "4.3.1"},
            "/v1.41/version": {"ApiVersion": "1.41", "Version": "4.3.1"},
            "/v1.41/info": {},
            "/v1.41/containers/dangerzone/json": docker_s,
            "/v1.41/containers/json?limit=-1&all=1&size=0&trunc_cmd=0": [{"Names": ["/dangerzone"], "Id": "ab" * 32}],
            **({"/v4.0.0/libpod/containers/dangerzone/json": inspected} if self.is_podman else {}),
        }
        body = json.dumps(known.get(self.path, {"message": "no such thing"})).encode()
        self.send_response(200 if self.path in known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine that answers at DOCKER_HOST."""
    with HTTPServer(("127.0.0.1", 0), _Engine) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield
        server.shutdown()
        thread.join(10)


@pytest.mark.usefixtures("engine", "here")
def test_podman_s_own_interface_names_the_capabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    assert source.draft("dangerzone", "").fields["capabilities"] == ["SYS_CHROOT"]
    monkeypatch.setattr(_Engine, "is_podman", False)
    assert "SYS_CHROOT" in source.draft("dangerzone", "").fields["capabilities"]
    assert "KILL" not in source.draft("dangerzone", "").fields["capabilities"]


@pytest.mark.usefixtures("engine")
def test_an_unknown_container_is_told_with_those_that_exist() -> None:
    with pytest.raises(DeploymentError, match=r"^web: no such file, and no container of tcp://.*; it has dangerzone$"):
        source.draft("web", "")


@pytest.mark.usefixtures("here")
def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    draft = source.draft("pod-plain.yaml", "")
    write.write(draft, "mine", tmp_path)
    with pytest.raises(DeploymentError, match=r"mine\.toml: is there already"):
        write.write(draft, "mine", tmp_path)
    with pytest.raises(DeploymentError, match="is not a folder"):
        write.write(draft, "mine", tmp_path / "none")


def test_a_comment_cannot_become_a_field(tmp_path: Path) -> None:
    pod = tmp_path / "x.yaml"
    pod.write_text(json.dumps({"services": {"a\nusual = true": {"user": "b\nusual = true"}}}))
    (tmp_path / "out").mkdir()
    file, *_ = write.write(source.draft(str(pod), ""), "mine", tmp_path / "out")
    assert not profiles.load(file).usual
    assert write.name_of(source.draft(str(pod), "")) == "a-usual-true"


def test_the_example_in_the_documentation_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (TOP / "docs/environments.md").read_text()
    manifest = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shown = re.findall(r"```toml\n(# From .*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("runner.yaml").write_text(manifest[0])
    draft = source.draft("runner.yaml", "")
    (file,) = write.write(draft, write.name_of(draft), Path())
    assert [file.read_text()] == shown


@pytest.mark.parametrize(
    ("size", "number"),
    [
        ("64m", 64 << 20),
        ("1.5g", 3 << 29),
        ("10KB", 10240),
        ("7", 7),
        ("2GiB", 2 << 30),
        ("x", 0),
        ("", 0),
        ("9" * 400 + "g", 0),
    ],
)
def test_sizes_are_those_of_engines(size: str, number: int) -> None:
    assert engine_options.bytes_of(size) == number


@pytest.mark.parametrize(("content", "said"), [(None, "it is a device"), ("[" * 100_000, "is not JSON: ")])
def test_the_filter_of_a_deployment_is_looked_at_before_it_is_read(
    content: str | None, said: str, tmp_path: Path
) -> None:
    compose, named = tmp_path / "x.yaml", tmp_path / "filter.json"
    compose.write_text("services: {a: {security_opt: ['seccomp=filter.json']}}")
    if content is None:
        named.symlink_to("/dev/zero")
        assert said in str(source.draft(str(compose), "").lost)
        return
    named.write_text(content)
    with pytest.raises(DeploymentError, match=said):
        source.draft(str(compose), "")


@pytest.mark.parametrize("memory", ["1.2.3Mi", "1e999", "9" * 400, "."])
def test_a_quantity_that_is_none_or_too_large_is_refused(memory: str, tmp_path: Path) -> None:
    pod = tmp_path / "x.yaml"
    container = {"name": "a", "image": "b", "resources": {"limits": {"memory": memory}}}
    pod.write_text(
        json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container]}})
    )
    with pytest.raises(DeploymentError, match="is no quantity such as 512Mi"):
        source.draft(str(pod), "")


def test_a_user_that_is_a_huge_number_is_no_user(tmp_path: Path) -> None:
    compose = tmp_path / "x.yaml"
    compose.write_text(f"services: {{a: {{user: '{'9' * 5000}', group_add: ['{'9' * 5000}']}}}}")
    assert len(source.draft(str(compose), "").lost) >= 2
