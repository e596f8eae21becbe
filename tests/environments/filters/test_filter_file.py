"""Filters are decoded as engines decode them, every problem is told with its field, and findings say what is meant."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldswitch.harness.environments.filters import answers, filter_file, resolution, sources, syscall_names
from worldswitch.harness.environments.filters.findings import nearest
from worldswitch.harness.environments.filters.resolution import SeccompTarget

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
PTRACE = {"names": ["ptrace"], "action": ERRNO}
HERE = SeccompTarget("x86_64", (6, 12))


class Old:
    """A libseccomp that is older than some calls."""

    version = "2.5.4"

    def knows(self, name: str) -> bool:
        """True but for the newest call."""
        return name in syscall_names.known() - {"mseal"}


@pytest.fixture(autouse=True)
def libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same library everywhere."""
    monkeypatch.setattr(syscall_names, "libseccomp", Old)


def rules(*found: object, default: str = ALLOW, **fields: object) -> dict[str, Any]:
    return {"defaultAction": default, "syscalls": list(found), **fields}


def told(content: object, suffix: str = ".json") -> list[str]:
    """The findings about a file, each with its severity."""
    text = content if isinstance(content, str) else json.dumps(content)
    found, around = filter_file.of_content(text.encode(), suffix)
    return [f"{one.severity}: {one}" for one in (*around, *(each for one in found for each in one.findings))]


def only(content: object, suffix: str = ".json") -> filter_file.Filter:
    text = content if isinstance(content, str) else json.dumps(content)
    (found,), _ = filter_file.of_content(text.encode(), suffix)
    return found.content


# ---------------------------------------------------------------------------------------------------------- findings

CASES = {
    "error: syscalls[0].names: must be a list, and is a string": rules({"names": "ptrace", "action": ERRNO}),
    "error: syscalls[0].names[1]: must be a string, and is a number: 7": rules({"names": ["read", 7], "action": ERRNO}),
    "error: must be an object, and is a list": [],
    "error: syscalls: must be a list, and is an object": rules() | {"syscalls": {}},
    "error: syscalls[0]: must be an object, and is null": rules(None),
    "error: syscalls[0].args[0].value: -1 is not an integer from 0 to 18446744073709551615": rules(
        {**PTRACE, "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}
    ),
    "error: syscalls[0].errnoRet: True is not an integer from 0 to 18446744073709551615": rules(
        {**PTRACE, "errnoRet": True}
    ),
    "error: syscalls[0].errnoRet: 4095 is no errno: libseccomp accepts 0 to 4094": rules({**PTRACE, "errnoRet": 4095}),
    "error: syscalls[0].errno: 'EPREM' is no errno; did you mean EPERM?": rules({**PTRACE, "errno": "EPREM"}),
    "error: syscalls[0].args[0].op: '==' is no operator; expected one of SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, "
    "SCMP_CMP_LE, SCMP_CMP_LT, SCMP_CMP_MASKED_EQ, SCMP_CMP_NE": rules(
        {**PTRACE, "args": [{"index": 0, "value": 1, "op": "=="}]}
    ),
    "error: architectures[0]: 'SCMP_ARCH_X86-64' is no architecture; did you mean SCMP_ARCH_X86_64?": rules(
        PTRACE, architectures=["SCMP_ARCH_X86-64"]
    ),
    "error: archMap: engines refuse `archMap` beside `architectures`; remove one of the two": rules(
        architectures=["SCMP_ARCH_X86_64"], archMap=[{"architecture": "SCMP_ARCH_X86_64"}]
    ),
    "error: syscalls[0].name: engines refuse `name` beside `names`; remove one of the two": rules(
        {**PTRACE, "name": "kcmp"}
    ),
    'error: syscalls[0].includes.minKernel: 4.8 is not a kernel version such as "4.8", a string of exactly two '
    "numbers": rules({**PTRACE, "includes": {"minKernel": 4.8}}),
    "error: syscalls: ptrace has two answers for the same arguments, and runtimes refuse the filter": rules(
        *({**PTRACE, "errnoRet": one, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]} for one in (1, 38))
    ),
    "error: not a filter: its objects and lists are nested too deeply": "[" * 100_000,
    "error: line 1: not JSON: Expecting value; the file is empty": " ",
    "error: not JSON: NaN is no JSON number": '{"x": NaN}',
    "warning: syscalls[0].names[0]: 'ptracee' is no system call, and runtimes drop it silently; did you mean ptrace?": (
        rules({**PTRACE, "names": ["ptracee"]})
    ),
    "warning: syscalls[0].names[0]: 'PTRACE' is no system call, and runtimes drop it silently; did you mean ptrace?": (
        rules({**PTRACE, "names": ["PTRACE"]})
    ),
    "warning: syscalls[0].errno: only Podman reads `errno` fields: it answers ENOSYS, Docker EPERM": rules(
        {**PTRACE, "errno": "ENOSYS"}
    ),
    "warning: syscalls[0].errno: only Podman reads `errno` fields: it answers ENOSYS, Docker `errnoRet`, EACCES": rules(
        {**PTRACE, "errno": "ENOSYS", "errnoRet": 13}
    ),
    "warning: syscalls[0].errnoRets: unknown field, which engines ignore; did you mean errnoRet?": rules(
        {**PTRACE, "errnoRets": 1}
    ),
    "warning: syscalls[0].includes.caps[0]: 'CAP_PTRACE' is no capability, so the rule never applies; did you mean "
    "CAP_SYS_PTRACE?": rules({**PTRACE, "includes": {"caps": ["CAP_PTRACE"]}}),
    "warning: syscalls[0].excludes.arches[0]: 'aarch64' is no architecture, so it excludes nothing; did you mean "
    "arm64?": rules({**PTRACE, "excludes": {"arches": ["aarch64"]}}),
    "warning: syscalls: ptrace has two answers, and the first rule decides": rules({**PTRACE, "errnoRet": 38}, PTRACE),
    "note: syscalls: unknown to this machine's libseccomp 2.5.4, which gives them the default action: mseal": rules(
        {**PTRACE, "names": ["mseal"]}
    ),
    "note: syscalls: rules that repeat the default action have no effect: read": rules(
        {"names": ["read"], "action": ALLOW}
    ),
    "note: syscalls: with CAP_KILL: ptrace has two answers, and the first rule decides": (
        rules({**PTRACE, "errnoRet": 38, "includes": {"caps": ["CAP_KILL"]}}, PTRACE)
    ),
    "warning: defaultErrnoRet: SCMP_ACT_ALLOW answers no errno: runc ignores it, and crun refuses the filter": rules(
        defaultErrnoRet=1
    ),
}


@pytest.mark.parametrize(("message", "content"), CASES.items(), ids=range(len(CASES)))
def test_a_finding_names_its_field(message: str, content: object) -> None:
    assert told(content) == [message]


def test_all_errors_are_told_at_once() -> None:
    wrong = rules({"names": ["a b"], "action": "x"}, {"names": [""], "action": ERRNO}, default="y")
    assert [line.partition(": ")[2].partition(":")[0] for line in told(wrong)] == [
        *("defaultAction", "syscalls[0].action", "syscalls[0].names[0]", "syscalls[1].names[0]")
    ]


def test_an_error_does_not_move_the_others() -> None:
    wrong = rules(7, {"names": [None, "ptracee"], "action": ERRNO}, {"names": ["kqueue"], "action": "x"})
    assert [line.partition(": ")[2].partition(":")[0] for line in told(wrong)] == [
        *("syscalls[0]", "syscalls[1].names[0]", "syscalls[1].names[1]", "syscalls[2].action", "syscalls[2].names[0]")
    ]


def test_an_architecture_of_the_other_byte_order_is_refused() -> None:
    other = {"little": "SCMP_ARCH_S390X", "big": "SCMP_ARCH_X86_64"}[sys.byteorder]
    (line,) = told(rules(PTRACE, architectures=[other]))
    assert line.startswith(f"error: architectures[0]: {other} has another byte order than this machine")


def test_a_mark_or_another_encoding_is_named() -> None:
    text = json.dumps(rules(PTRACE))
    for content, message in (
        (b"\xef\xbb\xbf" + text.encode(), "it begins with a byte order mark (BOM), which engines refuse; save it as"),
        (text.encode("utf-16"), "it is UTF-16, which engines refuse; save it as UTF-8"),
    ):
        _, (error,) = filter_file.of_content(content, ".json")
        assert str(error).startswith(message)
        assert error.severity == "error"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "error: line 1: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("kind: {{ .Values.kind }}", "error: line 1: not YAML: found unhashable key; render the template first"),
        ("a: 1\na: 2", "error: line 2: not YAML: `a` twice"),
        ("a: &a [*a]", "error: its aliases make it too large"),
        ("a: !!python/object:os.system {}", "error: line 1: not YAML: could not determine a constructor for the tag"),
        ("a" * 300_000, "error: YAML of more than 256 KiB: it takes too long to read; keep only what is needed"),
        ("[" * 1000 + "a: b, " * 20_000, "error: its objects and lists are nested too deeply"),
        ("[" * 100_000, "error: its objects and lists are nested too deeply"),
        (
            "kind: Pod",
            "error: has no filter; expected a SeccompProfile, or a ConfigMap with filters in JSON, and",
        ),
        ("", "error: has no filter; expected a SeccompProfile, or a ConfigMap with filters in JSON, and"),
    ],
)
def test_what_is_wrong_with_yaml_is_told(text: str, message: str) -> None:
    (line,) = told(text, ".yaml")
    assert line.startswith(message)


# ----------------------------------------------------------------------------------------------------------- meaning


def test_a_filter_has_one_form() -> None:
    old = {
        "DefaultAction": ERRNO,
        "defaultErrno": "ENOSYS",
        "syscalls": [{"name": "ptrace", "Action": ALLOW, "args": None}],
    }
    assert only(old) == {
        "defaultAction": ERRNO,
        "defaultErrnoRet": 38,
        "syscalls": [{"names": ["ptrace"], "action": ALLOW}],
    }


def test_the_last_of_equal_keys_counts_whatever_their_case() -> None:
    text = '{"defaultAction": "SCMP_ACT_ERRNO", "DEFAULTACTION": "SCMP_ACT_LOG", "defaultaction": "SCMP_ACT_ALLOW"}'
    assert only(text)["defaultAction"] == ALLOW
    assert told(text) == [
        "warning: DEFAULTACTION: is in one object twice, and engines use the last",
        "warning: defaultaction: is in one object twice, and engines use the last",
    ]


def test_an_engine_gets_the_file_itself_if_it_can_read_it() -> None:
    for content, verbatim in ((rules(PTRACE), True), ({"ociVersion": "1", "linux": {"seccomp": rules(PTRACE)}}, False)):
        text = json.dumps(content, indent=3)
        (found,), _ = filter_file.of_content(text.encode(), ".json")
        assert (found.text == text) == verbatim
        assert filter_file.parsed(found.text) == found.content == rules(PTRACE)


def test_manifests_are_searched_for_filters() -> None:
    profile = {"kind": "SeccompProfile", "metadata": {"name": "a"}, "spec": {"defaultAction": ALLOW}}
    data = {"b.json": json.dumps(rules()), "c": json.dumps(rules()), "d": "x", "e": '{"level": 1}', "f.json": "[]"}
    manifest = {"kind": "List", "items": [profile, {"kind": "ConfigMap", "data": data}, {"kind": "Pod"}, None]}
    found, around = filter_file.of_content(json.dumps(manifest).encode(), ".json")
    assert [one.name for one in found] == ["a", "b.json", "c"]
    assert around == []
    assert sources.SUFFIXES == (".json", ".yaml", ".yml")


def test_conditions_count_in_the_engines_format_only() -> None:
    rule = {**PTRACE, "includes": {"caps": ["CAP_KILL"]}}
    for content, names in ((rules(rule), []), ({"linux": {"seccomp": rules(rule)}}, ["ptrace"])):
        resolved = resolution.resolve(only(content), (), HERE)
        assert [name for one in resolved["syscalls"] for name in one["names"]] == names


# ----------------------------------------------------------------------------------------------------------- answers

SEIZE = [{"index": 0, "value": 0x4206, "op": "SCMP_CMP_EQ"}]


@pytest.mark.parametrize(
    ("content", "text", "allowed"),
    [
        (rules(), "allowed", (True, True)),
        (rules(default=ERRNO), "EPERM", (False, False)),
        (rules(default=ERRNO, defaultErrnoRet=38), "ENOSYS", (False, False)),
        (rules({**PTRACE, "errnoRet": 0}), "0, without being run", (False, False)),
        (rules({**PTRACE, "errnoRet": 1234}), "errno 1234", (False, False)),
        (rules({**PTRACE, "action": "SCMP_ACT_TRAP"}), "SIGSYS", (False, False)),
        (rules({**PTRACE, "errnoRet": 38}, PTRACE), "ENOSYS", (False, False)),
        (rules({"names": ["ptrace"], "action": ALLOW}, PTRACE), "EPERM", (False, False)),
        (rules({**PTRACE, "args": SEIZE}), "EPERM, by its arguments; otherwise allowed", (False, True)),
        (rules({**PTRACE, "args": SEIZE}, {**PTRACE, "errnoRet": 38}), "ENOSYS", (False, False)),
        (
            rules({**PTRACE, "action": "SCMP_ACT_LOG", "args": SEIZE}),
            "allowed, with a line in the kernel log, by its arguments; otherwise allowed",
            (True, True),
        ),
        ({}, "allowed", (True, True)),
    ],
)
def test_the_answer_to_a_call(content: dict[str, Any], text: str, allowed: tuple[bool, bool]) -> None:
    found = answers.answer(resolution.resolve(only(content), (), HERE), "ptrace")
    assert (str(found), (found.allowed, found.some_allowed)) == (text, allowed)


@pytest.mark.parametrize(
    ("word", "known", "suggestion"),
    [
        ("scmp_act_allow", ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"), "; did you mean SCMP_ACT_ALLOW?"),
        ("ERRN0", ("SCMP_ACT_ERRNO", "SCMP_ACT_LOG"), "; did you mean SCMP_ACT_ERRNO?"),
        ("SCMP_ACT_DENY", ("SCMP_ACT_ERRNO", "SCMP_ACT_LOG"), ""),
        (" ptrace", ("ptrace", "read"), "; did you mean ptrace?"),
    ],
)
def test_the_nearest_word_is_suggested(word: str, known: tuple[str, ...], suggestion: str) -> None:
    assert nearest(word, known) == suggestion


# ------------------------------------------------------------------------------------------------------ any content

KEYS = st.sampled_from(
    "defaultAction defaultErrno defaultErrnoRet architectures archMap architecture subArchitectures flags listenerPath "
    "syscalls names name action errnoRet errno args index value valueTwo op includes excludes caps arches minKernel "
    "comment linux seccomp kind metadata spec data items".split()
)
WORDS = st.sampled_from(
    "SCMP_ACT_ALLOW SCMP_ACT_ERRNO SCMP_ACT_NOTIFY SCMP_ARCH_X86_64 SCMP_CMP_EQ SECCOMP_FILTER_FLAG_LOG ptrace EPERM "
    "CAP_KILL amd64 4.8 SeccompProfile ConfigMap List {}".split()
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(KEYS, st.text(max_size=2)), inner)),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(content=VALUES, suffix=st.sampled_from(sources.SUFFIXES))
def test_every_content_is_a_filter_or_has_an_error(content: object, suffix: str) -> None:
    found, around = filter_file.of_content(json.dumps(content).encode(), suffix)
    assert found or any(one.severity == "error" for one in around) or suffix == ".json"
    for one in found:
        if not one.errors:
            resolved = resolution.resolve(one.content, (), HERE)
            assert answers.answer(resolved, "ptrace").text
            assert filter_file.parsed(json.dumps(one.content)) == one.content


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=80), suffix=st.sampled_from(sources.SUFFIXES))
def test_no_bytes_raise(content: bytes, suffix: str) -> None:
    filter_file.of_content(content, suffix)
