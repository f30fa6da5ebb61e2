"""A window's state as its pane may rely on it. Pure.

It comes out of a script, which anybody may have written: what is not of the form that it should have is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Seen

_NUMBER_MAX: Final = 1 << 47
_NAME_MAX: Final = 200
_PATH_MAX: Final = 100


def sound(state: State) -> dict[str, Any]:
    """Without what is malformed; what a pane does not know stays."""
    return {name: value for name, value in state.items() if name not in _FORMS or _FORMS[name](value)}


def soundly(seen: Seen) -> Seen:
    """The same, for all that a pane may look at."""
    return replace(seen, state=sound(seen.state))


def _text(value: object) -> bool:
    return isinstance(value, str)


def _name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _NAME_MAX


def _number(value: object) -> bool:
    return type(value) is int and 0 <= value < _NUMBER_MAX


def _figure(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, str) for pair in value.items() for each in pair)


def _list_of(form: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list | tuple) and all(form(each) for each in value)


def _path(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and 0 < len(value) <= _PATH_MAX
        and _text(value[0])
        and all(_text(step) or _number(step) for step in value)
    )


def _with(**forms: Callable[[object], bool]) -> Callable[[object], bool]:
    """A mapping that has all of these."""
    return lambda value: isinstance(value, Mapping) and all(form(value.get(name)) for name, form in forms.items())


def _or_nothing(form: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or form(value)


_FRAME = _with(line=_number, function=_text, source=_text, locals=_texts)
_FAILURE = _with(kind=_text, message=_text, frames=_list_of(_FRAME))
_TRIED = _with(seconds=_figure, where=_text, value=_text, output=_text, changed=_list_of(_text))


def _trial(value: object) -> bool:
    return (
        _TRIED(value) and isinstance(value, Mapping) and (value.get("good") is True or _FAILURE(value.get("failure")))
    )


_EVALUATED = _with(
    source=_text,
    value=_or_nothing(_text),
    output=_or_nothing(_text),
    error=_or_nothing(_text),
    proto=_or_nothing(_name),
    change=_or_nothing(_number),
)

_FORMS: Final[Mapping[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("subject", "proto", "method"), _name),
    **dict.fromkeys(("tab", "value", "of", "done"), _text),
    **dict.fromkeys(("change", "frame", "page", "pinned"), _number),
    **dict.fromkeys(("typed", "faults"), _texts),
    "opened": _list_of(_path),
    "whole": _path,
    "completions": _list_of(_text),
    "evaluated": _list_of(_EVALUATED),
    "trial": _trial,
}
