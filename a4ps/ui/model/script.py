"""The reconstruction script: a world as readable JSON, and back. Pure; files are `a4ps.ui.worlds`'s affair.

    {
      "a4ps-world": 1,
      "height": 1000, "width": 1600,
      "morphs": [
        {"id": "robin", "kind": "persona", "x": 700, "y": 400, "width": 112, "height": 112, "state": {"name": "ROBIN"}},
        {"id": "note", "in": "inspector", "kind": "note", …, "angle": 15, "collapsed": true, "colour": "#7BC77E"}
      ],
      "state": {}
    }

Morphs are listed from below to above; `in` names what one lies in, where that is not the world. `state` is the world's own.

A script comes from a disk, and may have been written by anyone: what is no script is refused, what is wrong within one is
mended and told, and a morph whose kind or pane is not known becomes a `placeholder`, whose state is its entry as it was,
and which is written as that entry again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from a4ps.errors import CallerError, Unsupported
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.morph import ROOT, Morph, World
from a4ps.ui.model.palette import is_colour

VERSION = 1
#: The key that says that it is a script, and of which version.
MARK = "a4ps-world"

MOST_BYTES = 20_000_000
MOST_MORPHS = 100_000
#: No value lies deeper in others, and no morph in others.
DEEPEST = 60
#: No morph is larger or further away, in px.
FARTHEST = 100_000.0
LARGEST = 8_000.0

#: Kind → what of its state has to be a text.
KINDS: Mapping[str, str] = {"persona": "name", "window": "pane", "tool": "name", "note": "text"}

_SAY_NEXT = "mend the file, or use the script of another world"


@dataclass(frozen=True, slots=True)
class Migration:
    """How a script of version `of` becomes one of the next version. `date` and `what` are for people."""

    of: int
    date: str
    what: str
    call: Callable[[dict[str, Any]], dict[str, Any]]


#: In order; each is kept for ever.
MIGRATIONS: Sequence[Migration] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """The world of a script, and what had to be mended, one sentence each (at most ten)."""

    world: World
    mended: Sequence[str] = ()


# Writing


def written(world: World) -> str:
    """The world as a script. Raises CallerError where a state is no JSON."""
    root = world.root
    script = {
        MARK: VERSION,
        "width": _plain(root.rect.width),
        "height": _plain(root.rect.height),
        "state": root.state,
        "morphs": [_entry(each) for each in world.under() if each.id != ROOT],
    }
    try:
        text = json.dumps(script, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_mapping)
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair, which UTF-8 has no bytes for; JSON's own escapes have.
        text = json.dumps(script, indent=2, sort_keys=True, allow_nan=False, default=_mapping)
    except (TypeError, ValueError, RecursionError) as fault:
        raise CallerError(f"this world cannot be written down: {fault}") from None
    return text + "\n"


def _mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is in a morph's state")


def _entry(morph: Morph) -> dict[str, Any]:
    rect = morph.rect
    places = {
        "x": _plain(rect.x),
        "y": _plain(rect.y),
        "width": _plain(rect.width),
        "height": _plain(rect.height),
        "in": morph.parent if morph.parent != ROOT else "",
        "collapsed": morph.collapsed,
        "colour": morph.colour,
        "angle": _plain(morph.angle),
        "id": morph.id,
    }
    if morph.kind == "placeholder":
        return _placeholders_entry(morph, places)
    entry = {"kind": morph.kind, "state": morph.state, **places}
    for key in ("in", "collapsed", "colour", "angle"):
        if not entry[key]:
            del entry[key]
    return entry


def _placeholders_entry(morph: Morph, places: dict[str, Any]) -> dict[str, Any]:
    """The entry that it was read from, with no more changed than what has been done to the placeholder."""
    entry = dict(morph.state)
    was = _Reader(None).entry(entry)
    for key, same in (
        ("x", was.rect.x == morph.rect.x),
        ("y", was.rect.y == morph.rect.y),
        ("width", was.rect.width == morph.rect.width),
        ("height", was.rect.height == morph.rect.height),
        ("in", was.parent == morph.parent),
        ("collapsed", was.collapsed == morph.collapsed),
        ("colour", was.colour == morph.colour),
        ("angle", was.angle == morph.angle),
        ("id", was.id == morph.id),
    ):
        if not same:
            entry[key] = places[key]
    return entry


def _plain(number: float) -> float:
    """Without ".0", which nobody would write by hand."""
    return int(number) if number == int(number) else number


# Reading


def read(text: str | bytes, panes: Collection[str] | None = None, migrations: Sequence[Migration] = MIGRATIONS) -> Read:
    """The world of a script. `panes` are the kinds of windows that there are; None: whatever it says is one.

    Raises CallerError for what is no script, and Unsupported for one of a version that is not known.
    """
    script = _migrated(_parsed(text), migrations)
    entries = script.get("morphs", [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise CallerError('this is no script of a world: "morphs" is no list of objects', next_step=_SAY_NEXT)
    if len(entries) > MOST_MORPHS:
        raise CallerError(
            f"this script has {len(entries):,} morphs, and {MOST_MORPHS:,} is the most there may be",
            next_step=_SAY_NEXT,
        )
    return _Reader(panes).read(script, entries)


def _parsed(text: str | bytes) -> dict[str, Any]:
    if len(text) > MOST_BYTES:
        raise CallerError(f"this script is larger than {MOST_BYTES // 1_000_000} MB", next_step=_SAY_NEXT)
    try:
        # Bytes are decoded here: json would guess UTF-16 and 32 as well.
        value = json.loads(
            text.decode() if isinstance(text, bytes) else text, parse_constant=_no_number, parse_float=_finite
        )
    except (ValueError, RecursionError) as fault:
        raise CallerError(f"this is no script of a world: {_brief(fault)}", next_step=_SAY_NEXT) from None
    if not isinstance(value, dict) or MARK not in value:
        raise CallerError(f'this is no script of a world: it has no "{MARK}"', next_step=_SAY_NEXT)
    if _too_deep(value):
        raise CallerError(f"this script is nested deeper than {DEEPEST} levels", next_step=_SAY_NEXT)
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _brief(fault: Exception) -> str:
    return "it is nested too deep" if isinstance(fault, RecursionError) else str(fault)[:200]


def _too_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(DEEPEST + 1):
        beneath: list[object] = []
        for each in level:
            if isinstance(each, dict):
                beneath.extend(one for one in each.values() if isinstance(one, dict | list))
            elif isinstance(each, list):
                beneath.extend(one for one in each if isinstance(one, dict | list))
        if not beneath:
            return False
        level = beneath
    return True


def _migrated(script: dict[str, Any], migrations: Sequence[Migration]) -> dict[str, Any]:
    newest = max((each.of + 1 for each in migrations), default=VERSION)
    version = script[MARK]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CallerError(f"this is no script of a world: {MARK} is {version!r:.40}", next_step=_SAY_NEXT)
    if version > newest:
        raise Unsupported(
            f"this world was written by a newer A4PS (version {str(version)[:20]} of scripts; this one knows {newest})",
            next_step="update A4PS, or choose another world in the world menu",
        )
    for each in migrations:
        if each.of == script[MARK]:
            script = {**each.call(script), MARK: each.of + 1}
    return script


class _Reader:
    """Reads the entries of one script."""

    def __init__(self, panes: Collection[str] | None) -> None:
        self._panes = panes
        self._morphs: dict[str, Morph] = {}
        self._mended: list[str] = []
        self._numbers: dict[str, int] = {}

    def read(self, script: dict[str, Any], entries: list[dict[str, Any]]) -> Read:
        for entry in entries:
            morph = self.entry(entry)
            self._morphs[morph.id] = morph
        lies_in = {id: each.parent for id, each in self._morphs.items()}
        self._mend_parents(lies_in)
        children = self._children(lies_in)
        state = script.get("state")
        rect = Rect(0.0, 0.0, self._size(script, "width", 1600.0), self._size(script, "height", 1000.0))
        root = Morph(ROOT, "world", rect, state if isinstance(state, dict) else {}, "", tuple(children.get(ROOT, ())))
        morphs = {ROOT: root}
        for id, morph in self._morphs.items():
            morphs[id] = replace(morph, parent=lies_in[id], children=tuple(children.get(id, ())))
        return Read(World(morphs), tuple(self._mended))

    def entry(self, entry: dict[str, Any]) -> Morph:
        """The morph of an entry, its parent as the entry says."""
        kind, state, parent = entry.get("kind"), entry.get("state", {}), entry.get("in", ROOT)
        known = isinstance(kind, str) and isinstance(state, dict) and self._known(kind, state)
        colour, angle = entry.get("colour", ""), entry.get("angle", 0)
        rect = Rect(
            self._number(entry, "x", 40.0, -FARTHEST, FARTHEST),
            self._number(entry, "y", 40.0, -FARTHEST, FARTHEST),
            self._size(entry, "width", 200.0),
            self._size(entry, "height", 120.0),
        )
        id = self._id(entry.get("id"), kind if isinstance(kind, str) and kind else "morph")
        if not known:
            self._tell(f"{id} is of a kind that this A4PS does not know: its data is kept")
        return Morph(
            id,
            str(kind) if known else "placeholder",
            rect,
            state if known else entry,
            parent if isinstance(parent, str) else ROOT,
            (),
            entry.get("collapsed") is True,
            colour if is_colour(colour) else "",
            float(angle) % 360 if _is_number(angle) and abs(angle) < FARTHEST else 0.0,
        )

    def _known(self, kind: str, state: dict[str, Any]) -> bool:
        key = KINDS.get(kind)
        if key is None or not isinstance(state.get(key), str):
            return False
        return kind != "window" or self._panes is None or state["pane"] in self._panes

    def _id(self, id: object, kind: str) -> str:
        if isinstance(id, str) and 0 < len(id) <= 200 and id != ROOT and id not in self._morphs:
            return id
        self._tell(f"an id that cannot be or is there twice was replaced: {str(id)[:40]!r}")
        stem = kind[:40]
        number = self._numbers.get(stem, 1)
        while (fresh := f"{stem}-{number}") in self._morphs:
            number += 1
        self._numbers[stem] = number + 1
        return fresh

    def _mend_parents(self, lies_in: dict[str, str]) -> None:
        """Puts into the world what lies in something that is not there, or in itself by way of others."""
        sound = {ROOT}
        for start in lies_in:
            way: dict[str, None] = {}
            at = start
            while at not in sound:
                parent = lies_in[at]
                way[at] = None
                if (parent not in lies_in and parent != ROOT) or parent in way:
                    self._tell(f"{at} lay in something that is not there, or in itself: it lies in the world now")
                    lies_in[at] = parent = ROOT
                at = parent
            sound.update(way)

    def _children(self, lies_in: dict[str, str]) -> dict[str, list[str]]:
        """Parent → what lies in it, in the script's order; what lies too deep is put into the world."""
        children: dict[str, list[str]] = {}
        for id, parent in lies_in.items():
            children.setdefault(parent, []).append(id)
        waiting = [(id, 1) for id in children.get(ROOT, ())]
        while waiting:
            id, depth = waiting.pop()
            beneath = children.get(id, [])
            if depth >= DEEPEST and beneath:
                self._tell(f"what lay in {id} lay too deep: it lies in the world now")
                children[id] = []
                children[ROOT].extend(beneath)
                lies_in.update(dict.fromkeys(beneath, ROOT))
                depth = 0
            waiting.extend((each, depth + 1) for each in beneath)
        return children

    def _size(self, entry: dict[str, Any], key: str, otherwise: float) -> float:
        return self._number(entry, key, otherwise, 1.0, LARGEST)

    def _number(self, entry: dict[str, Any], key: str, otherwise: float, low: float, high: float) -> float:
        value = entry.get(key, otherwise)
        if not _is_number(value):
            self._tell(f"{key} was no number: {str(value)[:40]!r}")
            return otherwise
        if not low <= value <= high:
            self._tell(f"{key} was out of all bounds: {str(value)[:40]}")
            return low if value < low else high
        return float(value)

    def _tell(self, sentence: str) -> None:
        if len(self._mended) < 10:
            self._mended.append(sentence)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
