"""The state of a draft: a mutable mapping that reads its slots when they are asked for and knows what became of them.

Nothing hooks into writes. What changed is found by encoding every slot that was read or set and comparing bytes, so a
change deep inside a list is never missed.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from a4ps.errors import CallerError, NotInTransaction
from a4ps.image.content import Slot, slot_path
from a4ps.image.plain import ATOMS
from a4ps.image.readonly import Path, owned, readonly

if TYPE_CHECKING:
    from a4ps.image.versions import ProtoVersion

_UNREAD: Any = object()
_ABSENT: Any = object()
MAX_NAME = 200


def check_name(what: str, name: object) -> str:
    """`name` if it can name a Proto or a slot: 1 to 200 characters, no control characters. Raises CallerError."""
    if not isinstance(name, str):
        raise CallerError(f"a {what}'s name is a text, not {type(name).__name__}", next_step="give it a name")
    printable = all(character >= " " and not "\x7f" <= character <= "\x9f" for character in name)
    if not 0 < len(name) <= MAX_NAME or not printable or any("\ud800" <= character <= "\udfff" for character in name):
        raise CallerError(
            f"{ascii(name)[:60]} cannot name a {what}",
            next_step=f"take 1 to {MAX_NAME} characters without control characters",
        )
    return name


class DraftState(MutableMapping[str, Any]):
    """Own slots, and behind them those of the ancestors, which are read-only until they are set here.

    `ancestors` gives the versions to inherit from, nearest first, each time they are needed. After `seal` (the end of
    the draft's transaction) everything is read-only.
    """

    __slots__ = ("_ancestors", "_name", "_own", "_sealed", "_slots")

    def __init__(self, name: str, slots: Mapping[str, Slot], ancestors: Callable[[], tuple[ProtoVersion, ...]]) -> None:
        self._name = name
        self._slots = slots
        self._own: dict[str, Any] = dict.fromkeys(slots, _UNREAD)
        self._ancestors = ancestors
        self._sealed = False

    def __getitem__(self, slot: str) -> Any:
        value = self._own.get(slot, _ABSENT)
        if value is _ABSENT:
            for version in self._ancestors():
                inherited = version.content.slots.get(slot)
                if inherited is not None:
                    return inherited.shown(slot_path(version.name, slot))
            raise KeyError(slot)
        if value is _UNREAD:
            value = self._own[slot] = self._slots[slot].fresh(slot_path(self._name, slot))
        return readonly(value, Path(slot_path(self._name, slot))) if self._sealed else value

    def __setitem__(self, slot: str, value: object) -> None:
        self._need_open(slot)
        if slot not in self._own:
            check_name("slot", slot)
        self._own[slot] = value if type(value) in ATOMS else owned(value)

    def __delitem__(self, slot: str) -> None:
        """Deletes the Proto's own slot; one of an ancestor then shows through. An inherited one raises KeyError."""
        self._need_open(slot)
        del self._own[slot]

    def __iter__(self) -> Iterator[str]:
        inherited = (slot for version in self._ancestors() for slot in version.content.slots)
        return iter(dict.fromkeys((*self._own, *inherited)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, slot: object) -> bool:
        return slot in self._own or any(slot in version.content.slots for version in self._ancestors())

    def __repr__(self) -> str:
        return repr(dict(self))

    def own(self) -> tuple[str, ...]:
        """Names of the slots that are not inherited."""
        return tuple(self._own)

    def encoded(self) -> dict[str, Slot]:
        """The own slots; the very same object where nothing changed. Raises Unstorable naming what cannot be kept."""
        slots = {}
        for name, value in self._own.items():
            before = self._slots.get(name)
            slots[name] = before if value is _UNREAD and before is not None else self._encoded(name, value, before)
        return slots

    def copied(self, ancestors: Callable[[], tuple[ProtoVersion, ...]]) -> DraftState:
        """A deep copy that shares only what cannot change. Raises Unstorable."""
        own = dict(self._own)
        mutable = [name for name, value in own.items() if value is not _UNREAD and type(value) not in ATOMS]
        if mutable:
            try:
                # All at once, so that what two slots share stays shared.
                values = pickle.loads(pickle.dumps([own[name] for name in mutable], 5))  # noqa: S301 - our own bytes
            except Exception:  # noqa: BLE001 - what pickle does not copy, the codec may (opaque), or names in its error
                return DraftState(self._name, self.encoded(), ancestors)
            own.update(zip(mutable, values, strict=True))
        return DraftState(self._name, self._slots, ancestors)._with(own)

    def adopt(self, slots: Mapping[str, Slot], before: Mapping[str, Slot]) -> None:
        """Take over what a copy made of `before`: the slots that differ."""
        for name in before.keys() - slots.keys():
            self._own.pop(name, None)
        for name, slot in slots.items():
            if before.get(name) is not slot:
                self._own[name] = slot.fresh(slot_path(self._name, name))

    def rebase(self, slots: Mapping[str, Slot]) -> None:
        """Compare with `slots` from now on, which were made of this very state."""
        self._slots = slots

    def own_items(self) -> list[tuple[str, Any]]:
        """The own slots with their values."""
        return [(name, self[name]) for name in self._own]

    def began_as(self) -> Mapping[str, Slot]:
        """The slots that it was made with."""
        return self._slots

    @property
    def sealed(self) -> bool:
        return self._sealed

    def seal(self) -> None:
        """From now on, read-only."""
        self._sealed = True

    def _with(self, own: dict[str, Any]) -> DraftState:
        self._own = own
        return self

    def _encoded(self, name: str, value: object, before: Slot | None) -> Slot:
        path = slot_path(self._name, name)
        slot = Slot.of(value, path)
        if before is None:
            return slot
        if slot == before:
            return before
        # Equal values may have different bytes (a set's order); what was read and put back is the same.
        same = type(value) not in ATOMS and slot == Slot.of(before.fresh(path), path)
        return before if same else slot

    def _need_open(self, slot: object) -> None:
        if self._sealed:
            raise NotInTransaction(slot_path(self._name, str(slot)))
