"""A world of morphs, as a value: each change gives another world, which shares what is the same.

So undoing is going back to an earlier world, and whoever draws one compares by identity what has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from a4ps.errors import CallerError
from a4ps.ui.model.geometry import ORIGIN, Point, Rect

#: The id of what all else lies in.
ROOT = "world"

#: What a morph of some kind keeps about itself: JSON values.
State = Mapping[str, Any]

EMPTY: State = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Morph:
    """One thing that can be seen. `rect` is relative to its parent's corner; `children` are ids, the topmost last.

    `kind` says what draws it and what it does ("persona", "window", "tool", "note", …), `state` is what that kind keeps.
    `colour` "" is the kind's own; `angle` is degrees clockwise.
    """

    id: str
    kind: str
    rect: Rect
    state: State = field(default_factory=lambda: EMPTY)
    parent: str = ROOT
    children: tuple[str, ...] = ()
    collapsed: bool = False
    colour: str = ""
    angle: float = 0.0


def _root() -> Mapping[str, Morph]:
    return {ROOT: Morph(ROOT, "world", Rect(0, 0, 1600, 1000), parent="")}


@dataclass(frozen=True, slots=True)
class World:
    """All morphs by id; the root is one of them."""

    morphs: Mapping[str, Morph] = field(default_factory=_root)

    @property
    def root(self) -> Morph:
        return self.morphs[ROOT]

    def __getitem__(self, id: str) -> Morph:
        """Raises CallerError where there is none."""
        try:
            return self.morphs[id]
        except KeyError:
            raise CallerError(f"there is no morph {id!r} in this world") from None

    def __contains__(self, id: object) -> bool:
        return id in self.morphs

    def __len__(self) -> int:
        """How many morphs there are besides the root."""
        return len(self.morphs) - 1

    def under(self, id: str = ROOT) -> Iterator[Morph]:
        """The morph and all beneath it, each before its children, the lowest first."""
        waiting = [id]
        while waiting:
            morph = self[waiting.pop()]
            yield morph
            waiting.extend(reversed(morph.children))

    def of_kind(self, kind: str) -> Iterator[Morph]:
        return (each for each in self.under() if each.kind == kind)

    def ancestors(self, id: str) -> Iterator[Morph]:
        """From the parent up to the root."""
        parent = self[id].parent
        while parent:
            yield self[parent]
            parent = self[parent].parent

    def corner(self, id: str) -> Point:
        """Where the morph's upper left corner is in the world."""
        at = self[id].rect.corner
        for each in self.ancestors(id):
            at += each.rect.corner if each.id != ROOT else ORIGIN
        return at

    def rect(self, id: str) -> Rect:
        """The morph's rectangle in the world."""
        at, own = self.corner(id), self[id].rect
        return Rect(at.x, at.y, own.width, own.height)

    # Changes

    def put(self, morph: Morph) -> World:
        """With this morph in place of the one of its id, which must be there and keeps its parent and children."""
        before = self[morph.id]
        return World({**self.morphs, morph.id: replace(morph, parent=before.parent, children=before.children)})

    def add(self, morph: Morph, parent: str = ROOT) -> World:
        """With a new morph on top within `parent`. Raises CallerError where its id is taken."""
        if morph.id in self.morphs:
            raise CallerError(f"there is a morph {morph.id!r} in this world")
        above = self[parent]
        return World(
            {
                **self.morphs,
                parent: replace(above, children=(*above.children, morph.id)),
                morph.id: replace(morph, parent=parent, children=()),
            }
        )

    def remove(self, id: str) -> World:
        """Without the morph and what is beneath it. Raises CallerError for the root."""
        if id == ROOT:
            raise CallerError("the world itself cannot be dismissed")
        gone = {each.id for each in self.under(id)}
        above = self[self[id].parent]
        left = {key: each for key, each in self.morphs.items() if key not in gone}
        left[above.id] = replace(above, children=tuple(each for each in above.children if each != id))
        return World(left)

    def raised(self, id: str) -> World:
        """With the morph topmost among its siblings, and what it lies in among theirs."""
        morphs: dict[str, Morph] | None = None
        child = id
        for each in self.ancestors(id):
            if each.children[-1] != child:
                morphs = dict(self.morphs) if morphs is None else morphs
                morphs[each.id] = replace(each, children=(*(one for one in each.children if one != child), child))
            child = each.id
        return self if morphs is None else World(morphs)

    def moved_into(self, id: str, parent: str) -> World:
        """With the morph embedded in another, where it is seen now. Raises CallerError where that lies beneath it."""
        if parent == id or any(each.id == id for each in self.ancestors(parent)):
            raise CallerError("a morph cannot be put into itself")
        at = self.corner(id) - (self.corner(parent) if parent != ROOT else ORIGIN)
        morph = self[id]
        moved = replace(morph, parent=parent, rect=Rect(at.x, at.y, morph.rect.width, morph.rect.height))
        old = self[morph.parent]
        morphs = {**self.morphs, id: moved}
        morphs[old.id] = replace(old, children=tuple(each for each in old.children if each != id))
        new = morphs[parent]
        morphs[parent] = replace(new, children=(*new.children, id))
        return World(morphs)

    def fresh_id(self, stem: str) -> str:
        """An id that is not taken: `stem`, or with a number behind it."""
        if stem not in self.morphs:
            return stem
        number = 2
        while f"{stem}-{number}" in self.morphs:
            number += 1
        return f"{stem}-{number}"
