"""What the Architect reads of an expression: its value, its error, and the reason that its change is recorded with.

All of it is bounded, and none of it is first made in full: of what holds much, only so much is written out as is shown.
"""

from __future__ import annotations

import io
import tokenize
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

from a4ps.errors import A4PSError
from a4ps.image.call_thread import GivenUp

REASON_MAX: Final = 400
"""Characters of an expression that its change is recorded with."""

MORE: Final = " …"
_DEPTH_MAX = 40
_FRAMES_MAX = 20
_LINKS_MAX = 4
#: Before our own are left out of them; an endless recursion has a thousand.
_FRAMES_SEEN = 100
_EXPRESSION = "<console "
_UNNAMED = ("builtins", "__console__")
_OWN = f"{Path(__file__).parents[1]}/"


class _Full(Exception):
    """There is room for nothing more."""


class _Written:
    """A text in the making, of at most `limit` characters."""

    def __init__(self, limit: int) -> None:
        self.parts: list[str] = []
        self.room = limit
        self.cut = False

    def put(self, text: str) -> None:
        kept = text[: self.room]
        self.parts.append(kept)
        self.room -= len(kept)
        if len(kept) < len(text):
            self.cut = True
            raise _Full


def shown(value: object, limit: int) -> tuple[str, bool]:
    """`value` as Python writes it, in `limit` characters, and whether it was cut.

    Of plain containers, texts and bytes nothing is written that is not shown. The `repr` of any other object is its own
    code: it is called, whatever it takes; where it raises, that is shown.
    """
    written = _Written(limit)
    with suppress(_Full):
        _write(value, written, ())
    return "".join(written.parts), written.cut


def _write(value: Any, written: _Written, within: tuple[int, ...]) -> None:
    kind = type(value)
    if kind in (str, bytes, bytearray):
        # Of a slice that leaves no room for its quotes: longer than what there is room for, and so it is cut.
        written.put(repr(value[: written.room]))
    elif kind in (list, tuple, set, frozenset, dict) and value:
        too_deep = len(within) == _DEPTH_MAX
        if too_deep or id(value) in within:
            written.put("...")
            written.cut = too_deep or written.cut
            return
        inside = (*within, id(value))
        opening, closing = _BRACKETS[kind]
        written.put(opening)
        _write_items(value, written, inside)
        written.put("," + closing if kind is tuple and len(value) == 1 else closing)
    else:
        written.put(_own_repr(value))


def _write_items(value: Any, written: _Written, inside: tuple[int, ...]) -> None:
    for at, item in enumerate(value):
        if at:
            written.put(", ")
        _write(item, written, inside)
        if type(value) is dict:
            written.put(": ")
            _write(value[item], written, inside)


_BRACKETS: Final[Mapping[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
    dict: ("{", "}"),
}


def _own_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - whatever an object's own code raises
        return f"<{type(value).__name__} that cannot be written out: {type(error).__name__}>"


def last_lines(text: str, limit: int) -> tuple[str, bool]:
    """The end of a text, in `limit` characters, and whether it was cut."""
    return (text, False) if len(text) <= limit else (text[len(text) - limit :], True)


def error_text(error: BaseException, limit: int) -> tuple[str, bool]:
    """A traceback without our own frames, in `limit` characters, and whether it was cut; what led to it is before it.

    Of a GivenUp only where it stood: why it was ended, the one who did it knows.
    """
    links = [error]
    while len(links) < _LINKS_MAX and not isinstance(links[-1], A4PSError):
        last = links[-1]
        before = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if before is None or before in links:
            break
        links.append(before)
    told = [(_frames_of(each), _said(each, limit)) for each in reversed(links)]
    where, what = told.pop()
    before_it = "".join(f"{frames}{said}\nwhich led to:\n" for frames, said in told)
    # What it says is at the end, and matters most: the rest has what room is left.
    kept, cut = last_lines(before_it + where, max(0, limit - len(what)))
    return kept + what[:limit], cut or len(what) >= limit


def stack_text(frame: FrameType | None) -> str:
    """Where a thread stands, without our own frames and those that began it."""
    if frame is None:
        return ""
    stack = traceback.extract_stack(frame, limit=_FRAMES_SEEN)
    return _frames(stack[_beginning(stack, 0) :])


def reason_of(source: str) -> str:
    """The text of an expression as the reason of its change, at most REASON_MAX characters and a mark.

    A longer one is cut between two tokens: what stands in one literal or comment is there whole or not at all, so that
    who forgets it finds all that there is of it.
    """
    source = source.strip()
    if len(source) <= REASON_MAX:
        return source
    lines = io.StringIO(source)
    starts = [0]
    kept = 0
    try:
        for token in tokenize.generate_tokens(lambda: _line(lines, starts)):
            end = starts[token.end[0] - 1] + token.end[1] if token.end[0] <= len(starts) else len(source)
            if end > REASON_MAX:
                break
            kept = end
    except (tokenize.TokenError, SyntaxError):
        pass  # it will not run either
    return (source[:kept].rstrip() + MORE).strip()


def _line(lines: io.StringIO, starts: list[int]) -> str:
    line = lines.readline()
    starts.append(starts[-1] + len(line))
    return line


def _frames_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES_SEEN)
    if frames and frames[0].filename.startswith(_OWN):
        # Up to where the expression begins; where it never did, as it does not compile, all of it is how it was run.
        frames = traceback.StackSummary.from_list(frames[_beginning(frames, len(frames)) :])
    return _frames(frames)


def _said(error: BaseException, limit: int) -> str:
    if isinstance(error, GivenUp):
        return ""
    if isinstance(error, SyntaxError) and str(error.filename).startswith(_EXPRESSION):
        return "".join(traceback.format_exception_only(error)).rstrip("\n")
    kind = type(error)
    module = "" if kind.__module__ in _UNNAMED or isinstance(error, A4PSError) else f"{kind.__module__}."
    message = _message(error)[:limit]
    step = ""
    if isinstance(error, A4PSError) and error.next_step:
        step = f"\n{error.next_step}"
    elif isinstance(error, SystemExit):
        step = "\nthis ended the expression, and nothing else"
    return f"{module}{kind.__qualname__}{message and ': '}{message}{step}"


def _beginning(frames: Sequence[traceback.FrameSummary], otherwise: int) -> int:
    return next((at for at, each in enumerate(frames) if each.filename.startswith(_EXPRESSION)), otherwise)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failed:  # noqa: BLE001 - whatever an error's own code raises
        return f"<a message that cannot be written out: {type(failed).__name__}>"


def _frames(frames: Iterable[traceback.FrameSummary]) -> str:
    kept = [each for each in frames if not each.filename.startswith(_OWN)][-_FRAMES_MAX:]
    return "".join(traceback.StackSummary.from_list(kept).format())
