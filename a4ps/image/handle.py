"""Handles and pins: how committed Protos are seen. Everything on them is read-only at every depth.

A handle finds its version by one look into the root map at each access, without a lock. A pin is the root map of one
moment; its Protos are handles that stay there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, SupportsIndex

from a4ps.errors import NotInTransaction, UnknownProto
from a4ps.image.calls import LiveMethod, trust_mark
from a4ps.image.codex import Codex
from a4ps.image.content import slot_path
from a4ps.image.description import describe
from a4ps.image.heads import Root, Versions
from a4ps.image.methods import Method
from a4ps.image.proto import Proto
from a4ps.image.versions import ProtoVersion, VersionState, ancestors_of
from a4ps.image.waking import LIVE

if TYPE_CHECKING:
    from a4ps.image.proto_manager import ProtoManager


class Handle:
    """The current version of one name, whichever that is at each access; the same object per name for ever.

    Slots and methods can be reached as attributes; a name that is both is the method. Calling a method runs it on a
    copy: in the caller's transaction, or in one of its own that is committed once when it returns.

    `live` is a dict for what cannot be kept (locks, sockets, tasks), one per open image and name; see waking.py.
    """

    __slots__ = ("__weakref__", "_home", "_name", "_root")

    def __init__(self, name: str, root: Root, home: ProtoManager) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_root", root)
        object.__setattr__(self, "_home", home)

    _name: str
    _root: Root
    _home: ProtoManager

    @property
    def name(self) -> str:
        return self._name

    @property
    def current(self) -> ProtoVersion:
        """The version of this moment. Raises UnknownProto where the Proto was removed."""
        return self._seen()[0]

    @property
    def version(self) -> int:
        """The generation of the current version: which change made it."""
        return self._seen()[0].generation

    @property
    def codex(self) -> Codex:
        return self.current.content.codex

    @property
    def parents(self) -> tuple[str, ...]:
        return self.current.content.parents

    @property
    def methods(self) -> Mapping[str, Method]:
        """The Proto's own methods."""
        return self.current.methods

    @property
    def state(self) -> VersionState:
        """The slots, own and inherited, of one version: what is taken out of it later is still of that version."""
        version, versions = self._seen()
        return VersionState(version, ancestors_of(version.name, version.content.parents, versions))

    def clone(self) -> Proto:
        """A draft: a deep, isolated copy that may be changed and swapped in."""
        version, versions = self._seen()
        return Proto.at(version, versions, self._home)

    def define(
        self,
        name: str,
        source: str,
        *,
        author: str = "architect",
        reason: str = "",
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
    ) -> None:
        """Give it a method, in the caller's transaction or one of its own. Raises as `Proto.define`, and Conflict."""
        because = reason or f"define {self._name}.{name}"
        with self._home.joined("define", author, because, self._basis()) as transaction:
            transaction.edit(self._name).define(name, source, author=author, reason=reason, reads=reads, writes=writes)

    def forget(self, name: str, *, author: str = "architect", reason: str = "") -> None:
        """Take one of its own methods away, in the caller's transaction or one of its own."""
        because = reason or f"forget {self._name}.{name}"
        with self._home.joined("forget", author, because, self._basis()) as transaction:
            transaction.edit(self._name).forget(name)

    def get_self_description(self) -> str:
        version, versions = self._seen()
        ancestors = ancestors_of(version.name, version.content.parents, versions)
        methods: dict[str, Method] = {}
        for each in (*reversed(ancestors), version):
            methods.update(each.content.methods)
        slots = VersionState(version, ancestors)
        mark = functools.partial(trust_mark, home=self._home)
        return describe(self._name, version.codex, version.parents, slots, methods.values(), version.generation, mark)

    def invoke_llm(self, prompt: str) -> str:
        """The reply of this persona's model; blocks until it is there. Raises NotBound where no model is wired."""
        return self._home.ask_model(self._name, self.codex, prompt)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") or attribute in Handle.__slots__:
            raise AttributeError(attribute)
        if attribute == LIVE:
            # Not a property: Python would take an AttributeError of on_wake for the lack of one.
            return self._home.live_of(self._name)
        version, versions = self._seen()
        for each in (version, *ancestors_of(version.name, version.content.parents, versions)):
            method = each.content.methods.get(attribute)
            if method is not None:
                return LiveMethod(method, functools.partial(self._call, method), self._home)
            slot = each.content.slots.get(attribute)
            if slot is not None:
                return slot.shown(slot_path(each.name, attribute))
        raise AttributeError(f"{self._name} has no method or slot {attribute!r}")

    def __setattr__(self, attribute: str, value: object) -> NoReturn:
        raise NotInTransaction(self._place(attribute))

    def __delattr__(self, attribute: str) -> NoReturn:
        raise NotInTransaction(self._place(attribute))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"the handle of {self._name} belongs to this process; keep its name instead")

    def __repr__(self) -> str:
        version = self._root.versions.get(self._name)
        return f"<{self._name}, removed>" if version is None else f"<{self._name} at {version.generation}>"

    def _place(self, attribute: str) -> str:
        taken = attribute == LIVE or hasattr(Handle, attribute)
        return f"{self._name}.{attribute}" if taken else slot_path(self._name, attribute)

    def _seen(self) -> tuple[ProtoVersion, Versions]:
        versions = self._root.versions
        version = versions.get(self._name)
        if version is None:
            raise _unknown(self._name)
        return version, versions

    def _basis(self) -> Versions:
        return self._root.versions

    def _call(self, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._home.call(self._name, method.name, args, kwargs, method.author, self._root.versions)


def handle_of(name: str, root: Root, home: ProtoManager) -> Handle:
    """A handle whose way to its version is as short as Python allows.

    In a class with `__getattr__` each look at `self` takes several times as long as one at a closure, and this is what
    every reader does at every access.
    """

    class OneHandle(Handle):
        __slots__ = ()

        @property
        def current(self) -> ProtoVersion:
            try:
                return root.versions[name]
            except KeyError:
                raise _unknown(name) from None

        @property
        def version(self) -> int:
            try:
                return root.versions[name].generation
            except KeyError:
                raise _unknown(name) from None

    OneHandle.__name__ = OneHandle.__qualname__ = Handle.__name__
    return OneHandle(name, root, home)


class PinnedProto(Handle):
    """A Proto as a pin sees it. Its methods run on that version; what they write is rebased on the current one."""

    __slots__ = ()

    def define(self, name: str, *_args: object, **_kwargs: object) -> NoReturn:
        raise NotInTransaction(f"{self._name}.{name}")

    def forget(self, name: str, **_kwargs: object) -> NoReturn:
        raise NotInTransaction(f"{self._name}.{name}")


class Pin(Mapping[str, PinnedProto]):
    """All Protos as they were at one moment: a consistent view that no later commit changes. Costs nothing to hold."""

    __slots__ = ("_home", "_root")

    def __init__(self, versions: Versions, home: ProtoManager) -> None:
        self._root = Root(versions)
        self._home = home

    @property
    def home(self) -> ProtoManager:
        """The manager whose Protos these were."""
        return self._home

    @property
    def versions(self) -> Versions:
        """Name → version."""
        return self._root.versions

    def __getitem__(self, name: str) -> PinnedProto:
        if name not in self._root.versions:
            raise KeyError(name)
        return PinnedProto(name, self._root, self._home)

    def get_proto(self, name: str) -> PinnedProto:
        """Like `[name]`, but raises UnknownProto."""
        if name not in self._root.versions:
            raise _unknown(name)
        return self[name]

    def __copy__(self) -> Pin:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Pin:
        return self

    def __iter__(self) -> Iterator[str]:
        return iter(self._root.versions)

    def __len__(self) -> int:
        return len(self._root.versions)


def _unknown(name: str) -> UnknownProto:
    return UnknownProto(f"there is no Proto {name}", next_step="register it, or look at the manager's names")
