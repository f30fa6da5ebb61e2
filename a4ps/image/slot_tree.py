"""A slot's value as a tree that can be walked, bounded, and changed at one place. Pure.

A path is the slot's name and then one step a level: a list's or tuple's index, a dict's key where that is a text or a whole
number, a record's field. Values are looked into, never asked.
"""

from __future__ import annotations

import ast
import dataclasses
import json
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from a4ps.errors import CallerError
from a4ps.image.brief import BRIEF_CHARS, brief, fields_of, kind_of
from a4ps.image.codec import Opaque, Placeholder

Step: TypeAlias = str | int
SlotPath: TypeAlias = tuple[Step, ...]

CHILDREN_MAX: Final = 200
"""Of one list or dict, so many are shown."""

NODES_MAX: Final = 2_000
"""Of all slots of a Proto together."""

TEXT_MAX: Final = 1_000_000
"""Characters of a slot's whole text."""

_LITERAL_MAX: Final = 20_000
_CONTAINERS: Final = (dict, list, tuple)


@dataclass(frozen=True, slots=True)
class Node:
    """One value in the tree. `path` is () where no path leads to it.

    `text` is short; `cut` says that it is not all of it. `size` is what a text, list, dict or set holds, None of others.
    `plain`: it is a text, and `text` is that itself. `opens`: there is something inside. `left`: so many of that are not
    shown.
    """

    path: SlotPath
    depth: int
    name: str
    kind: str
    text: str
    size: int | None
    plain: bool
    editable: bool
    cut: bool
    opens: bool
    left: int = 0


def nodes(name: str, value: object, opened: Set[SlotPath], room: int = NODES_MAX) -> Iterator[Node]:
    """The slot, and beneath each value whose path is in `opened` what it holds; at most `room` of them in all."""
    waiting: list[tuple[SlotPath, int, str, object, bool]] = [((name,), 0, name, value, True)]
    while waiting and room > 0:
        path, depth, said, each, is_settable = waiting.pop()
        inside = _children(each)
        is_open = bool(path) and path in opened
        shown = inside[:CHILDREN_MAX] if is_open else []
        yield _node(path, depth, said, each, is_settable, inside, len(inside) - len(shown) if is_open else 0)
        room -= 1
        settable = is_settable and type(each) in _CONTAINERS
        waiting.extend(
            ((*path, step) if step is not None else (), depth + 1, label, child, settable and step is not None)
            for step, label, child in reversed(shown)
        )


def whole_text(value: object, limit: int = TEXT_MAX) -> tuple[str, bool]:
    """All of a value as it would be entered, a text as itself; in `limit` characters, and whether that is not all."""
    if isinstance(value, str):
        return value[:limit], len(value) > limit
    text = brief(value, limit)
    return text, text.endswith("…") and len(text) > limit


def read_value(text: str, *, plain: bool) -> Any:
    """What was entered: with `plain` the text itself, else a Python literal or JSON. Raises CallerError."""
    if plain:
        return text
    for read in (ast.literal_eval, json.loads):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    raise CallerError(
        f"{brief(text, 60)} is neither a Python literal nor JSON",
        next_step="write a number, a text in quotes, a list, a dict, True, False or None",
    )


def found(value: object, path: SlotPath) -> Any:
    """What the steps after the slot's name lead to. Raises CallerError."""
    for at, step in enumerate(path[1:], 1):
        for mine, _, child in _children(value):
            if mine == step and type(mine) is type(step):
                value = child
                break
        else:
            raise CallerError(f"there is no {spelt(path[: at + 1])}", next_step="look at the slot again")
    return value


def with_value(value: object, path: SlotPath, new: object) -> Any:
    """`value` with `new` where the path leads, which may be one behind a list's last, or a dict's new key.

    What is there keeps its kind: whoever relies on a text should not find a list. Raises CallerError.
    """
    if len(path) == 1:
        _need_kind(path, value, new)
        return new
    return _replaced(value, path, 1, new)


def without(value: object, path: SlotPath) -> Any:
    """`value` without what the path leads to, which lies in a list or a dict. Raises CallerError."""
    parent, step = found(value, path[:-1]), path[-1]
    found(value, path)
    if type(parent) is dict:
        smaller: object = {key: item for key, item in parent.items() if key != step}
    elif type(parent) is list:
        smaller = [item for at, item in enumerate(parent) if at != step]
    else:
        raise CallerError(
            f"nothing can be taken out of a {kind_of(parent)}", next_step=f"set {spelt(path[:-1])} as a whole"
        )
    return smaller if len(path) == 2 else _replaced(value, path[:-1], 1, smaller)


def spelt(path: Sequence[Step]) -> str:
    """How a path is written: notes[0]['text']."""
    return str(path[0]) + "".join(f"[{step!r}]" for step in path[1:])


def _node(
    path: SlotPath,
    depth: int,
    name: str,
    value: object,
    is_settable: bool,
    inside: Sequence[tuple[Step | None, str, object]],
    left: int,
) -> Node:
    plain = type(value) is str
    text = value[:BRIEF_CHARS] if isinstance(value, str) else brief(value)
    size = len(value) if isinstance(value, str | bytes | list | tuple | dict | set | frozenset) else None
    return Node(
        path,
        depth,
        name,
        kind_of(value),
        text,
        size,
        plain,
        is_settable and bool(path) and is_literal(value),
        len(value) > BRIEF_CHARS if isinstance(value, str) else text.endswith("…") and len(text) > BRIEF_CHARS,
        bool(inside),
        left,
    )


def _children(value: object) -> list[tuple[Step | None, str, object]]:
    """What is inside: the step that leads to it, None where none does, its name, and itself."""
    if isinstance(value, dict):
        return [
            (key if type(key) in (str, int) else None, key if isinstance(key, str) else brief(key, 60), item)
            for key, item in value.items()
        ]
    if isinstance(value, list | tuple):
        return [(at, str(at), item) for at, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Opaque | Placeholder):
        return [(name, name, item) for name, item in fields_of(value)]
    return []


def is_literal(value: object) -> bool:
    """Whether a value is written as a literal, and not too large to be edited in place."""
    waiting: list[object] = [value]
    for _ in range(_LITERAL_MAX):
        if not waiting:
            return True
        each = waiting.pop()
        kind = type(each)
        if kind is dict:
            assert isinstance(each, dict)
            waiting += (*each.keys(), *each.values())
        elif kind in (list, tuple) or (kind is set and each):
            assert isinstance(each, list | tuple | set)
            waiting += each
        elif kind is float:
            if each != each or each in (float("inf"), float("-inf")):
                return False
        elif kind not in (type(None), bool, int, str, bytes):
            return False
    return False


def _replaced(value: Any, path: SlotPath, at: int, new: object) -> Any:
    step, is_last = path[at], at == len(path) - 1
    if type(value) is dict and not (is_last and step not in value):
        before = found(value, (path[0], step))
        after = _kept(path, before, new) if is_last else _replaced(before, path, at + 1, new)
        return {**value, step: after}
    if type(value) is dict:
        return {**value, step: new}
    if type(value) is list and is_last and step == len(value):
        return [*value, new]
    if type(value) in (list, tuple):
        before = found(value, (path[0], step))
        after = _kept(path, before, new) if is_last else _replaced(before, path, at + 1, new)
        return type(value)(after if each == step else item for each, item in enumerate(value))
    raise CallerError(
        f"nothing inside of a {kind_of(value)} can be set", next_step=f"set {spelt(path[:at])} as a whole"
    )


def _kept(path: SlotPath, before: object, new: object) -> object:
    _need_kind(path, before, new)
    return new


def _need_kind(path: SlotPath, before: object, new: object) -> None:
    numbers = (int, float)
    if before is None or type(before) is type(new) or (type(before) in numbers and type(new) in numbers):
        return
    raise CallerError(
        f"{spelt(path)} is a {kind_of(before)}, and this is a {kind_of(new)}",
        next_step=f"give a {kind_of(before)}; to change what it is, use a workspace",
    )
