"""A call of a live method: where its text may run, and what it may leave behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from a4ps.errors import MethodRefused
from a4ps.image.method_pool import shared_pool
from a4ps.image.methods import Method, MethodCall, function_of

if TYPE_CHECKING:
    from a4ps.image.proto import Proto
    from a4ps.image.proto_manager import ProtoManager

DEADLINE_S = 10.0
"""Wall time of one call where the manager sets no other."""


class LiveMethod:
    """A method of one Proto, ready to be called; shows its text, author and docstring."""

    __slots__ = ("_call", "method")

    def __init__(self, method: Method, call: Callable[[tuple[Any, ...], dict[str, Any]], Any]) -> None:
        self.method = method
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(args, kwargs)

    @property
    def __name__(self) -> str:
        return self.method.name

    @property
    def source(self) -> str:
        return self.method.source

    def __repr__(self) -> str:
        return f"<method {self.method.name}{self.method.signature} by {self.method.author or 'its holder'}>"


def run(work: Proto, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], home: ProtoManager | None) -> Any:
    """Run a method on `work`, a copy that the caller commits or drops.

    Raises MethodOverran (the copy may still be written to and must be dropped), MethodRefused, AttributeError where
    there is no such method, and whatever the method raises.
    """
    method = work.method_named(name)
    what = f"{work.name}.{name}"
    deadline_s = DEADLINE_S if home is None else home.method_deadline_s
    if method.trusted:
        return shared_pool().run(what, lambda: function_of(work.name, method)(work, *args, **kwargs), deadline_s)
    runner = None if home is None else home.code_runner
    if runner is None:
        raise MethodRefused(
            f"{what} was written by {method.author} and may only run in a sandbox, and none is bound",
            next_step="bind one: manager.bind_code_runner(...); or read the text and define it as the architect",
        )
    slots = {slot: work.copy_of(slot) for slot in method.reads if slot in work.state}
    result = runner.run(MethodCall(work.name, method, args, kwargs, slots, deadline_s))
    foreign = sorted(set(result.written) - set(method.writes))
    if foreign:
        raise MethodRefused(
            f"{what} wrote {', '.join(foreign)}, which is not among its writes", next_step="declare the slot in writes="
        )
    for slot, value in result.written.items():
        work.state[slot] = value
    return result.value
