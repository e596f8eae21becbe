"""Names that are no platform, and two that are though it does not show."""

from __future__ import annotations

import abc

from fakes import Passes


class Empty: ...


class NeedsNothing(Passes):
    def __init__(self) -> None: ...


class NeedsMore(Passes):
    def __init__(self, options: object, more: object) -> None: ...


class Abstract(Passes, abc.ABC):
    @abc.abstractmethod
    def new_nothing(self) -> None: ...


class Half:
    def __init__(self, options: object) -> None: ...

    def new_state(self) -> None: ...


class Late(Half):
    """Gets its members when it is constructed."""

    def __init__(self, options: object) -> None:
        self.address_range = (0, 1)
        self.new_address_space = self.new_context = self.close = self.new_state


def text(options: object) -> str:
    return "x"


def failing(options: object) -> str:
    raise RuntimeError("not today")


def leaving(options: object) -> str:
    raise SystemExit(3)


def making(options: object) -> Late:
    return Late(options)


number = 3
