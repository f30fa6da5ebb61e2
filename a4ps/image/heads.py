"""Which version of each Proto is the current one: the root map, and what a group of commits is about to make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from a4ps.image.versions import ProtoVersion

Versions = Mapping[str, "ProtoVersion"]


_UNCHANGED: Any = object()


class Root:
    """The one reference that readers follow. `versions` is replaced as a whole, never changed."""

    __slots__ = ("versions",)

    def __init__(self, versions: Versions) -> None:
        self.versions = versions


class Heads:
    """The root map with the changes of waiting commits laid over it. A value: `replaced` makes a new one.

    The changes of a group are few, so one more costs a copy of them and not of the whole map.
    """

    __slots__ = ("_changed", "_versions")

    def __init__(self, versions: Versions, changed: Mapping[str, ProtoVersion | None] | None = None) -> None:
        self._versions = versions
        self._changed = changed or {}

    def get(self, name: str) -> ProtoVersion | None:
        changed = self._changed.get(name, _UNCHANGED)
        return self._versions.get(name) if changed is _UNCHANGED else changed

    def names(self) -> list[str]:
        return [name for name in {**self._versions, **self._changed} if self.get(name) is not None]

    def are(self, versions: Versions) -> bool:
        """Whether they are the very map `versions`, as a reader has seen it, with nothing laid over it."""
        return self._versions is versions and not self._changed

    def replaced(self, changed: Mapping[str, ProtoVersion | None]) -> Heads:
        """With `changed` laid over it; None takes a name away."""
        return Heads(self._versions, {**self._changed, **changed})

    def merged(self) -> Versions:
        """The root map that readers are to see once all of it is durable."""
        versions = dict(self._versions)
        for name, version in self._changed.items():
            if version is None:
                versions.pop(name, None)
            else:
                versions[name] = version
        return versions
