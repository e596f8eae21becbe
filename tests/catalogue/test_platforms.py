"""What is no platform is told before anything runs, with what it lacks."""

from __future__ import annotations

import pytest

from worldswitch.harness.catalogue.loading import NotFound
from worldswitch.harness.catalogue.platforms import check, load_platform

WRONG = {
    "refrence": "did you mean reference?",
    "strange:Emty": "the module strange has no Emty (did you mean Empty?",
    "strange:Half.nothing": "has no Half.nothing",
    "strange:number": "is of type int, expected a class or function",
    "no.such.module:Class": "No module named 'no'",
    "strange:": "no platform is called",
    ":Empty": "no platform is called",
    "strange:Empty": "cannot be constructed with one argument, `Options`: too many positional arguments",
    "strange:NeedsNothing": "cannot be constructed with one argument, `Options`: too many positional arguments",
    "strange:NeedsMore": "missing a required argument: 'more'",
    "strange:Abstract": "it is abstract, without new_nothing",
    "strange:Half": "it has no address_range, new_address_space, new_context, close",
    "strange:text": "returns an instance of str, which has no address_range",
    "strange:failing": "raised RuntimeError: not today",
    "strange:leaving": "raised SystemExit: 3",
    "json:dumps": "raised TypeError",
    "worldswitch.harness.contract:Platform": "it is a protocol, which has no instances",
    "mutant:Nobody": "no mutant is called 'Nobody'",
}


@pytest.mark.parametrize(("name", "words"), WRONG.items(), ids=WRONG)
def test_what_is_no_platform_is_refused(name: str, words: str) -> None:
    with pytest.raises(NotFound) as refused:
        check(name, load_platform(name))
    assert words in str(refused.value)


@pytest.mark.parametrize("name", ["reference", "seed", "fakes:Passes", "strange:Late", "strange:making"])
def test_a_platform_is_accepted(name: str) -> None:
    check(name, load_platform(name))
