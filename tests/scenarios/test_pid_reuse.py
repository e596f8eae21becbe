"""An id is free some time after its thread is gone, so reusing one is tried until it works, and bounded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from worldswitch.scenarios.stage import children, pid_reuse
from worldswitch.scenarios.stage.stage import Stage

STAGE = Stage(SimpleNamespace(seconds=lambda seconds: seconds / 100))  # type: ignore[arg-type]


class FakeChild:
    def __init__(self, pid: int, tid: int, ended: list[int]) -> None:
        self.pid, self.tid, self.ended = pid, tid, ended

    def hear(self, seconds: float) -> int:
        return self.tid

    def kill(self) -> None:
        self.ended.append(self.pid)

    def wait(self, seconds: float) -> None:
        assert self.pid in self.ended


def fork_children(monkeypatch: pytest.MonkeyPatch, *ids: tuple[int, int]) -> list[int]:
    """Have each fork make the next of these pids and tids, the last of them from then on."""
    ended: list[int] = []
    made = [FakeChild(*one, ended) for one in ids]
    monkeypatch.setattr(pid_reuse, "let_next_be", lambda number: None)
    monkeypatch.setattr(children, "fork", lambda stage, work: made.pop(0) if len(made) > 1 else made[0])
    return ended


def test_it_is_tried_again_while_an_id_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = fork_children(monkeypatch, (4, 5), (3, 6), (3, 5))
    with pid_reuse.a_stranger(STAGE, 3, 5) as stranger:
        assert (stranger.pid, stranger.hear(1)) == (3, 5)
        assert ended == [4, 3]
    assert ended == [4, 3, 3]


def test_it_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = fork_children(monkeypatch, (4, 5))
    with pytest.raises(AssertionError, match="reused"), pid_reuse.a_stranger(STAGE, 3, 5):
        pass
    assert set(ended) == {4}
