"""Committed Protos: a `ProtoVersion` is what one was from one commit until the next, and never changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from a4ps.errors import UnknownProto
from a4ps.image.codex import Codex
from a4ps.image.content import Content, Record, slot_path
from a4ps.image.delegation import linearise
from a4ps.image.methods import Method
from a4ps.image.readonly import Path, ReadOnlyDict

Load = Callable[["ProtoVersion"], tuple[Record, datetime]]


class ProtoVersion:
    """One version, named by its commit's number (`generation`); read from the image when it is first looked into.

    Reading raises IntegrityError where the row is not what was stored, and StorageFailed; it can then be tried again.
    """

    __slots__ = ("_load", "at", "content", "generation", "name", "record")

    at: datetime
    content: Content
    record: Record

    def __init__(self, name: str, generation: int, load: Load) -> None:
        self.name = name
        self.generation = generation
        self._load = load

    @classmethod
    def of(cls, name: str, generation: int, record: Record, at: datetime) -> ProtoVersion:
        """A version whose record is at hand. Raises UnknownProto where that records a removal."""
        version = cls(name, generation, lambda _: (record, at))
        version._fill()
        return version

    def __getattr__(self, attribute: str) -> Any:
        # Python asks here only for what is not filled in yet.
        if attribute in ("at", "content", "record"):
            self._fill()
            return object.__getattribute__(self, attribute)
        raise AttributeError(f"a ProtoVersion has no {attribute!r}")

    def _fill(self) -> None:
        record, at = self._load(self)
        if record.content is None:
            raise UnknownProto(f"{self.name} was removed by change {self.generation}", next_step="name another change")
        self.at = at
        self.record = record
        self.content = record.content

    @property
    def codex(self) -> Codex:
        return self.content.codex

    @property
    def parents(self) -> tuple[str, ...]:
        return self.content.parents

    @property
    def methods(self) -> Mapping[str, Method]:
        """The version's own methods."""
        return MappingProxyType(dict(self.content.methods))

    @property
    def state(self) -> VersionState:
        """The version's own slots, read-only at every depth."""
        return VersionState(self, ())

    def __repr__(self) -> str:
        return f"<{self.name} at {self.generation}>"


class VersionState(ReadOnlyDict):
    """The slots of a version and, behind them, of its ancestors; read-only at every depth."""

    __slots__ = ("_ancestors", "_version")

    def __init__(self, version: ProtoVersion, ancestors: tuple[ProtoVersion, ...]) -> None:
        super().__init__(None, Path(f"{version.name}.state"))
        self._version = version
        self._ancestors = ancestors

    def __getitem__(self, slot: Any) -> Any:
        for version in (self._version, *self._ancestors):
            found = version.content.slots.get(slot)
            if found is not None:
                return found.shown(slot_path(version.name, slot))
        raise KeyError(slot)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(slot for each in (self._version, *self._ancestors) for slot in each.content.slots))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, slot: object) -> bool:
        return any(slot in each.content.slots for each in (self._version, *self._ancestors))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(dict(self))

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**self.__deepcopy__({}), **other}

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, object]) -> dict[str, Any]:
        lineage = (*reversed(self._ancestors), self._version)
        owners = {slot: each for each in lineage for slot in each.content.slots}
        return {slot: owners[slot].content.slots[slot].fresh(slot_path(owners[slot].name, slot)) for slot in self}


def ancestors_of(name: str, parents: tuple[str, ...], versions: Mapping[str, ProtoVersion]) -> tuple[ProtoVersion, ...]:
    """The versions that `name` inherits from, nearest first, all out of one root map.

    Raises UnknownProto for a parent that is not in it, CycleRefused where the parents have no order.
    """
    if not parents:
        return ()

    def parents_of(each: str) -> tuple[str, ...]:
        if each == name:
            return parents
        if each not in versions:
            raise UnknownProto(f"{each}, an ancestor of {name}, is not in the image", next_step="register it first")
        return versions[each].content.parents

    return tuple(versions[each] for each in linearise(name, parents_of)[1:])
