"""A draft: a Proto that is its holder's alone and may be changed freely until it is registered, swapped in or committed."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from a4ps.errors import CallerError, MethodRefused, NotBound, NotInTransaction
from a4ps.image.calls import LiveMethod, run, trust_mark
from a4ps.image.codex import Codex, as_codex
from a4ps.image.content import Content, Slot, slot_path
from a4ps.image.description import describe
from a4ps.image.draft_state import DraftState, check_name
from a4ps.image.methods import Method, check
from a4ps.image.versions import ProtoVersion, ancestors_of
from a4ps.image.waking import LIVE, Space

if TYPE_CHECKING:
    from a4ps.image.proto_manager import ProtoManager
    from a4ps.image.transaction import Transaction

_NOTHING: Mapping[str, ProtoVersion] = MappingProxyType({})


class Proto:
    """A live object in the making: codex, state, methods, parents.

    `Proto(name, codex)` makes a new one; `clone()` of a handle, a pin's Proto or a draft gives a deep, isolated copy;
    `transaction.edit(name)` one whose changes are committed. For one thread at a time. Nothing is durable before it is
    committed. A draft of a transaction becomes read-only when that ends; a container taken out of its state earlier
    cannot be watched, and what is then written into it is lost; so it is with one that was taken out before a method
    changed the same slot.

    `live` is a dict for what cannot be kept, never stored or cloned: that of the registered Proto which the draft was
    made from (see waking.py), else one of its own.
    """

    __slots__ = ("_base", "_codex", "_home", "_live", "_methods", "_name", "_parents", "_state", "_tx", "_versions")

    def __init__(
        self, name: str, codex: Codex | Mapping[str, object], *, parents: Sequence[str] = (), state: Any = None
    ) -> None:
        """Raises CallerError where the name, the codex or a parent's name cannot be."""
        self._name = check_name("Proto", name)
        self._codex = as_codex(codex)
        self._parents = _parents(parents)
        self._methods: dict[str, Method] = {}
        self._base: ProtoVersion | None = None
        self._home: ProtoManager | None = None
        self._versions = _NOTHING
        self._tx: Transaction | None = None
        self._state = DraftState(name, {}, self._ancestors)
        if state is not None:
            self._state.update(state)

    @classmethod
    def at(
        cls,
        version: ProtoVersion,
        versions: Mapping[str, ProtoVersion],
        home: ProtoManager,
        transaction: Transaction | None = None,
    ) -> Proto:
        """A draft that begins as `version` and inherits within the root map `versions`."""
        # Not by way of `__init__`: nothing of a version has to be checked again, and each change begins here.
        content = version.content
        draft = object.__new__(cls)
        draft._name = version.name
        draft._codex = content.codex
        draft._parents = content.parents
        draft._methods = dict(content.methods)
        draft._base = version
        draft._home = home
        draft._versions = versions
        draft._tx = transaction
        draft._state = DraftState(version.name, content.slots, draft._ancestors)
        return draft

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> int:
        """The generation that this draft was made from; 0 for a new one."""
        return 0 if self._base is None else self._base.generation

    @property
    def base(self) -> ProtoVersion | None:
        """The version that this draft was made from."""
        return self._base

    @property
    def codex(self) -> Codex:
        return self._codex

    @codex.setter
    def codex(self, codex: Codex | Mapping[str, object]) -> None:
        self._need_open("codex")
        self._codex = as_codex(codex)

    @property
    def parents(self) -> tuple[str, ...]:
        """Names, in the order in which they are asked; whether they exist and form no cycle is judged at the commit."""
        return self._parents

    @parents.setter
    def parents(self, parents: Sequence[str]) -> None:
        self._need_open("parents")
        self._parents = _parents(parents)

    @property
    def state(self) -> MutableMapping[str, Any]:
        """Own slots, and behind them the inherited ones, whose values are read-only: set a slot here to own it."""
        return self._state

    @state.setter
    def state(self, slots: Mapping[str, object]) -> None:
        self._need_open("state")
        for name in self._state.own():
            if name not in slots:
                del self._state[name]
        self._state.update(slots)

    @property
    def methods(self) -> Mapping[str, Method]:
        """The draft's own methods."""
        return MappingProxyType(dict(self._methods))

    def define(
        self,
        name: str,
        source: str,
        *,
        author: str = "",
        reason: str = "",
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
    ) -> None:
        """Give it a method: `source` is a `def name(self, ...)`. Raises MethodRefused where it is not, CallerError.

        `author` decides where it runs; without one, it is the author of the change that it is committed with. `reads`
        and `writes` name the slots that a sandboxed run sees and may change.
        """
        self._need_open(name)
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("__") or _is_taken(name):
            raise MethodRefused(
                f"{name!r} cannot name a method", next_step="take a name that a Proto does not have yet"
            )
        by = author or (self._tx.author if self._tx is not None else "")
        method = Method(name, source, by, _slot_names(reads), _slot_names(writes), reason)
        check(method)
        self._methods[name] = method

    def forget(self, name: str) -> None:
        """Take one of its own methods away; an ancestor's then shows through. Raises MethodRefused if it has none."""
        self._need_open(name)
        if name not in self._methods:
            raise MethodRefused(f"{self._name} has no method {name} of its own", next_step="look at its methods")
        del self._methods[name]

    def clone(self) -> Proto:
        """A deep, isolated copy that belongs to nobody's transaction. Raises Unstorable where a value has no copy."""
        copied = Proto(self._name, self._codex, parents=self._parents)
        copied._methods = dict(self._methods)
        copied._base = self._base
        copied._home = self._home
        copied._versions = self._versions
        copied._state = self._state.copied(copied._ancestors)
        return copied

    def __copy__(self) -> Proto:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, object]) -> Proto:
        return self.clone()

    def renamed(self, name: str) -> Proto:
        """A clone under another name, as a new Proto: `register_proto(get_proto("BRICK").clone().renamed("MORTAR"))`."""
        copied = Proto(name, self._codex, parents=self._parents)
        copied._methods = dict(self._methods)
        copied._home = self._home
        copied._versions = self._versions
        for slot, value in self._state.copied(copied._ancestors).own_items():
            copied._state[slot] = value
        return copied

    def get_self_description(self) -> str:
        methods = self._all_methods().values()
        mark = partial(trust_mark, home=self._home)
        return describe(self._name, self._codex, self._parents, self._state, methods, self.version, mark)

    def invoke_llm(self, prompt: str) -> str:
        """The reply of the model that is bound to this Proto's manager; blocks until it is there. Raises NotBound."""
        if self._home is None:
            raise NotBound(f"the draft {self._name} belongs to no image", next_step="register it, or clone a handle")
        return self._home.ask_model(self._name, self._codex, prompt)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") or attribute in Proto.__slots__:
            raise AttributeError(attribute)
        if attribute == LIVE:
            # Not a property: Python would take an AttributeError of on_wake for the lack of one.
            return self._live_space()
        own = self._methods.get(attribute)
        if own is not None:
            return LiveMethod(own, lambda args, kwargs: self._call(attribute, args, kwargs), self._home)
        if attribute in self._state.own():
            return self._state[attribute]
        for version in self._ancestors():
            inherited = version.content.methods.get(attribute)
            if inherited is not None:
                return LiveMethod(inherited, lambda args, kwargs: self._call(attribute, args, kwargs), self._home)
            if attribute in version.content.slots:
                return self._state[attribute]
        raise AttributeError(f"{self._name} has no method or slot {attribute!r}")

    def __repr__(self) -> str:
        return f"<draft of {self._name} from {self.version}>" if self.version else f"<new draft {self._name}>"

    # For transactions and swaps

    @property
    def home(self) -> ProtoManager | None:
        """The manager whose version it was made from."""
        return self._home

    @property
    def in_transaction(self) -> bool:
        return self._tx is not None

    def content(self, author: str) -> Content:
        """What it would be committed as, by `author`. Raises Unstorable."""
        methods = {
            name: method if method.author else replace(method, author=author) for name, method in self._methods.items()
        }
        return Content(self._codex, self._parents, methods, self._state.encoded())

    def rebased(self, version: ProtoVersion, versions: Mapping[str, ProtoVersion], home: ProtoManager) -> None:
        """Go on from `version`, which was committed from this draft."""
        self._base = version
        self._home = home
        self._versions = versions
        self._methods = dict(version.content.methods)
        self._state.rebase(version.content.slots)

    def nested(self, transaction: Transaction | None) -> Proto:
        """A clone for a transaction inside the one that this draft belongs to."""
        copied = self.clone()
        copied._state = DraftState(self._name, self._state.encoded(), copied._ancestors)
        copied._tx = transaction
        if self._is_outside:
            copied._live = self._live_space()
        return copied

    def adopt(self, nested: Proto) -> None:
        """Take over what `nested`, made by `nested`, has become."""
        self._state.adopt(nested._state.encoded(), nested._state.began_as())
        self._codex = nested._codex
        self._parents = nested._parents
        self._methods = dict(nested._methods)

    def seal(self) -> None:
        """From now on, read-only."""
        self._state.seal()

    def copy_of(self, slot: str) -> Any:
        """A copy of a slot's value, inherited or not, that is the caller's own. Raises KeyError, Unstorable."""
        path = slot_path(self._name, slot)
        return Slot.of(self._state[slot], path).fresh(path)

    def method_named(self, name: str) -> Method:
        """Its own method or the nearest ancestor's. Raises AttributeError."""
        method = self._all_methods().get(name)
        if method is None:
            raise AttributeError(f"{self._name} has no method {name!r}")
        # A text without an author is its holder's, who is at work in this process.
        return method if method.author else replace(method, author="architect")

    @property
    def _is_outside(self) -> bool:
        """Whether it was made from no version of an image."""
        return self._home is None or self._base is None

    def _live_space(self) -> Space:
        if self._home is not None and self._base is not None:
            return self._home.live_of(self._name)
        try:
            return self._live
        except AttributeError:  # first reached
            self._live: Space = {}
            return self._live

    def _all_methods(self) -> dict[str, Method]:
        inherited = [version.content.methods for version in reversed(self._ancestors())]
        methods: dict[str, Method] = {}
        for each in (*inherited, self._methods):
            methods.update(each)
        return methods

    def _ancestors(self) -> tuple[ProtoVersion, ...]:
        if not self._parents or self._home is None:
            return ()
        return ancestors_of(self._name, self._parents, self._versions)

    def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._tx is not None:
            with self._tx.nested() as inner:
                return run(inner.edit(self._name), name, args, kwargs, self._home)
        work = self.nested(None)
        value = run(work, name, args, kwargs, self._home)
        self.adopt(work)
        return value

    def _need_open(self, what: str) -> None:
        if self._state.sealed:
            raise NotInTransaction(f"{self._name}.{what}")


def _is_taken(name: str) -> bool:
    """Whether every Proto has an attribute of that name."""
    return name == LIVE or hasattr(Proto, name)


def _slot_names(names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise CallerError("slots are a sequence of names, not one text", next_step="write reads=[name]")
    return tuple(check_name("slot", name) for name in names)


def _parents(names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise CallerError("parents are a sequence of names, not one text", next_step="write parents=[name]")
    if len(set(names)) != len(names):
        raise CallerError("a parent is named twice", next_step="name each parent once")
    return tuple(check_name("Proto", name) for name in names)
