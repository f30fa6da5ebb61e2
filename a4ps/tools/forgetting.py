"""What forgetting does to tools: their examples and failed calls go one by one, a tool made of the words goes as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from a4ps.image.treatments import Treatment, Treatments, packed_json, turn_of
from a4ps.sought import Sought, Thing
from a4ps.tools.registry import PREFIX
from a4ps.tools.tool_use import FAILED, FAILURE, USE

_MADE_OF = ("source", "specification")


def without_words(state: Mapping[str, Any], sought: Sought) -> Mapping[str, Any] | None:
    """A tool's slots without what is sought; None where its text or contract holds it: with bars it would be another.

    A test that holds it is dropped: with bars its result would not be right any more.
    """
    if any(_holds(state.get(slot), sought) for slot in _MADE_OF):
        return None
    left = dict(state)
    if isinstance(left.get("tests"), list | tuple):
        kept = [case for case in left["tests"] if not _holds(case, sought)]
        left["tests"] = type(left["tests"])(kept)
    return left


def _holds(value: object, sought: Sought) -> bool:
    return sought.in_text(json.dumps(value, ensure_ascii=False, default=repr))


def _fewer_failures(payload: bytes, sought: Sought) -> bytes:
    """The list of failed calls without those that hold it; rows of before had it beside the figures."""
    plain = json.loads(payload)
    if isinstance(plain, dict):
        failed = [each for each in plain.get("failed", ()) if not _holds(each, sought)]
        return packed_json({**plain, **({"failed": failed} if "failed" in plain else {})})
    return packed_json(
        [each for each in plain if not _holds(each, sought) and not set(_turns_of([each])) & {*sought.things}]
    )


def _called_in(key: str, payload: bytes) -> list[Thing]:
    del key
    return _turns_of(json.loads(payload))


def _tried_in(key: str, payload: bytes) -> list[Thing]:
    del key
    return _turns_of([json.loads(payload)])


def _turns_of(entries: Iterable[Mapping[str, Any]]) -> list[Thing]:
    return [turn_of(each["turn"]) for each in entries if each.get("turn")]


TOOL_TREATMENTS: Final[Treatments] = {
    USE: Treatment("the use of a tool", without=_fewer_failures),
    FAILED: Treatment("failed calls of a tool", sources=_called_in, without=_fewer_failures),
    FAILURE: Treatment("a tool that could not be made", sources=_tried_in),
}
TOOL_RULES: Final = {PREFIX: without_words}
