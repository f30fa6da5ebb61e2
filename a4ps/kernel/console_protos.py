"""The image and its Protos as an expression of the console sees them: what it writes on them is part of its transaction.

A handle is read-only, and says so. In the console, `brick.mood = "calm"` is meant: there a Proto is its draft in the
transaction in whose block the caller is, which is the expression's, or one that the expression has begun. An expression
sees the image as it was when it began, and its own writes. Outside of any, a Proto is its handle.

Limit: a list, dict or set that was taken out of a slot belongs to the expression that took it. What a later one writes
into it is lost, as with every draft: write `brick.notes.append(...)`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, cast

from a4ps.errors import CallerError, NotInTransaction, UnknownProto
from a4ps.image import transaction
from a4ps.image.handle import Handle, PinnedProto
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.versions import ancestors_of
from a4ps.image.waking import LIVE

_SETTABLE = ("codex", "parents", "state")


class ConsoleProto:
    """One Proto by its name: slots and methods are attributes, and slots may be set and deleted as such."""

    __slots__ = ("_console_handle", "_console_home")

    _console_handle: Handle
    _console_home: ProtoManager

    def __init__(self, handle: Handle, home: ProtoManager) -> None:
        object.__setattr__(self, "_console_handle", handle)
        object.__setattr__(self, "_console_home", home)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if attribute == "state":
            return ConsoleState(self)
        return getattr(seen(self), attribute)

    def __setattr__(self, attribute: str, value: object) -> None:
        """Raises CallerError for what is no slot's name, NotInTransaction outside of an expression."""
        target = written(self)
        if attribute in _SETTABLE:
            setattr(target, attribute, value)
            return
        self._console_need_slot(attribute)
        target.state[attribute] = value

    def __delattr__(self, attribute: str) -> None:
        """Raises AttributeError where it has no such slot of its own, else as setting it."""
        target = written(self)
        self._console_need_slot(attribute)
        try:
            del target.state[attribute]
        except KeyError:
            raise AttributeError(f"{target.name} has no slot {attribute!r} of its own") from None

    def __dir__(self) -> list[str]:
        """Every attribute there is: slots and methods, inherited ones as well, and what each Proto has."""
        common = {name for name in vars(Proto) if not name.startswith("_")} & set(dir(Handle))
        return sorted({*seen(self).state, *_methods_of(self), *common, LIVE})

    def __repr__(self) -> str:
        return repr(self._console_handle)

    def _console_need_slot(self, attribute: str) -> None:
        if (
            attribute.startswith("__")
            or attribute == LIVE
            or hasattr(Proto, attribute)
            or attribute in _methods_of(self)
        ):
            name = self._console_handle.name
            raise CallerError(
                f"{name}.{attribute} is no slot",
                next_step=f"{name}.define(...) gives it a method; a slot of that name is {name}.state[{attribute!r}]",
            )


class ConsoleState(MutableMapping[str, Any]):
    """The slots of a ConsoleProto, found anew at each access: it may be kept from one expression to the next."""

    __slots__ = ("_proto",)

    def __init__(self, proto: ConsoleProto) -> None:
        self._proto = proto

    def __getitem__(self, slot: str) -> Any:
        return seen(self._proto).state[slot]

    def __setitem__(self, slot: str, value: object) -> None:
        written(self._proto).state[slot] = value

    def __delitem__(self, slot: str) -> None:
        del written(self._proto).state[slot]

    def __iter__(self) -> Iterator[str]:
        return iter(seen(self._proto).state)

    def __len__(self) -> int:
        return len(seen(self._proto).state)

    def __repr__(self) -> str:
        return repr(seen(self._proto).state)


class ConsoleImage:
    """The manager, whose handles are given as ConsoleProtos. All else it can do, it does itself.

    What commits by itself (registering, swapping, removing, reverting, promoting, loading) does so at once, as a change
    of its own, and an expression sees the outcome of that only after its end.
    """

    __slots__ = ("_console_home", "_console_protos")

    def __init__(self, home: ProtoManager) -> None:
        self._console_home = home
        self._console_protos: dict[str, ConsoleProto] = {}

    def get_proto(self, name: str) -> ConsoleProto:
        """The Proto, the same object each time. Raises UnknownProto."""
        return self._console_proto(self._console_home.get_proto(name))

    def __getitem__(self, name: str) -> ConsoleProto:
        return self.get_proto(name)

    def __contains__(self, name: object) -> bool:
        return name in self._console_home

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        if attribute == "close":
            raise CallerError("the image is the backend's to close", next_step="a4ps down")
        value = getattr(self._console_home, attribute)
        return self._console_given(value) if inspect.isroutine(value) else value

    def __dir__(self) -> list[str]:
        return sorted(name for name in vars(ProtoManager) if not name.startswith("_") and name != "close")

    def __repr__(self) -> str:
        return f"<the image {self._console_home.store.path}>"

    def _console_proto(self, handle: Handle) -> ConsoleProto:
        return self._console_protos.setdefault(handle.name, ConsoleProto(handle, self._console_home))

    def _console_given(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def given(*args: Any, **kwargs: Any) -> Any:
            value = method(*args, **kwargs)
            return found_as(value, self) if isinstance(value, Handle) else value

        return given


def found_as(value: object, image: ConsoleImage) -> object:
    """What an expression finds in the place of `value`.

    For the manager that is `image`, for its handles ConsoleProtos. A function, method or partial runs outside of the
    expression's transaction: it may hand its work to other threads, and what that commits is no part of the expression.
    """
    home = image._console_home
    if value is home:
        return image
    if isinstance(value, Handle):
        own = not isinstance(value, PinnedProto) and value.name in home and home.get_proto(value.name) is value
        return image._console_proto(value) if own else value
    return _apart(value) if inspect.isroutine(value) or isinstance(value, functools.partial) else value


def name_of(value: object) -> str:
    """The name of the Proto that a value is, "" where it is none. Of one that was removed as well."""
    kind = type(value)  # not isinstance: that asks an object for its __class__
    if issubclass(kind, ConsoleProto):
        return cast(ConsoleProto, value)._console_handle.name
    return cast(Handle, value).name if issubclass(kind, Proto | Handle) else ""


def seen(proto: ConsoleProto) -> Proto | Handle:
    """What is read of a Proto by the caller: its draft, or its handle where there is none. Raises UnknownProto.

    Raises NotInTransaction in an expression that was given up.
    """
    handle, home = proto._console_handle, proto._console_home
    running = transaction.current(home)
    if running is None:
        return handle
    try:
        return running.edit(handle.name)
    except UnknownProto:
        if handle.name in home:
            return handle  # of this expression's own making
        raise


def written(proto: ConsoleProto) -> Proto:
    """The draft that the caller writes to. Raises NotInTransaction, UnknownProto, CallerError where there is none yet."""
    target = seen(proto)
    if isinstance(target, Proto):
        return target
    if transaction.current(proto._console_home) is None:
        raise NotInTransaction(target.name, how="this thread is in no expression's transaction")
    raise CallerError(
        f"{target.name} is younger than this expression",
        next_step="change it in the next one, or before it is registered",
    )


def _methods_of(proto: ConsoleProto) -> set[str]:
    now = seen(proto)
    ancestors = ancestors_of(now.name, now.parents, proto._console_home.pin().versions)
    return {*now.methods, *(name for each in ancestors for name in each.content.methods)}


def _apart(function: Any) -> Callable[..., Any]:
    @functools.wraps(function)
    def apart(*args: Any, **kwargs: Any) -> Any:
        transaction.need_wanted()
        with transaction.apart():
            return function(*args, **kwargs)

    return apart
