"""A call of a live method: where its text may run, and what it may leave behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from a4ps.errors import MethodRefused, NotInTransaction
from a4ps.governance.trust import Place, needs_promotion, place_of
from a4ps.image.failures import failed_call
from a4ps.image.method_pool import shared_pool
from a4ps.image.methods import Method, MethodCall, function_of

if TYPE_CHECKING:
    from a4ps.image.handle import PinnedProto
    from a4ps.image.proto import Proto
    from a4ps.image.proto_manager import ProtoManager

DEADLINE_S = 10.0
"""Wall time of one call where the manager sets no other."""


class LiveMethod:
    """A method of one Proto, ready to be called; shows its text, its author and, of a model's, where it runs."""

    __slots__ = ("_call", "_home", "method")

    def __init__(
        self, method: Method, call: Callable[[tuple[Any, ...], dict[str, Any]], Any], home: ProtoManager | None
    ) -> None:
        self.method = method
        self._call = call
        self._home = home

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(args, kwargs)

    @property
    def __name__(self) -> str:
        return self.method.name

    @property
    def source(self) -> str:
        return self.method.source

    def __repr__(self) -> str:
        mark = trust_mark(self.method, self._home)
        author = self.method.author or "its holder"
        return f"<method {self.method.name}{self.method.signature} by {author}{mark and f', {mark}'}>"


def place(method: Method, home: ProtoManager | None) -> Place:
    """Where a method runs; `home` is the manager whose promotions count."""
    return place_of(method.author, method.source, {} if home is None else home.trusts)


def trust_mark(method: Method, home: ProtoManager | None) -> str:
    """The place of a text that needs a promotion to run in this process, such as "granted /data"; "" of any other."""
    return str(place(method, home)) if needs_promotion(method.author) else ""


def run(work: Proto, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], home: ProtoManager | None) -> Any:
    """Run a method on `work`, a copy that the caller commits or drops. What fails in a transaction is noted (failures.py).

    Raises MethodOverran (the copy may still be written to and must be dropped), MethodRefused, AttributeError where
    there is no such method, and whatever the method raises.
    """
    method = work.method_named(name)
    if home is None or not work.in_transaction:  # a draft's own call is a trial
        return _run(work, method, args, kwargs, home)
    try:
        value = _run(work, method, args, kwargs, home)
    except Exception as error:
        at, where = home.store.clock.now(), str(place(method, home).level)
        home.failures.note(failed_call(error, work.name, work.version, method, args, kwargs, where, at))
        raise
    home.failures.passed(work.name, name)
    return value


def _run(work: Proto, method: Method, args: tuple[Any, ...], kwargs: dict[str, Any], home: ProtoManager | None) -> Any:
    what = f"{work.name}.{method.name}"
    deadline_s = DEADLINE_S if home is None else home.method_deadline_s
    where = place(method, home)
    if where.in_process:
        return shared_pool().run(what, lambda: function_of(work.name, method)(work, *args, **kwargs), deadline_s)
    runner = None if home is None else home.code_runner
    if runner is None:
        raise _refused(what, method, "and none is bound", "bind one: manager.bind_code_runner(...); or ")
    slots = {slot: work.copy_of(slot) for slot in method.reads if slot in work.state}
    result = runner.run(MethodCall(work.name, method, args, kwargs, slots, deadline_s, where.folders, where.writable))
    foreign = sorted(set(result.written) - set(method.writes))
    if foreign:
        raise MethodRefused(
            f"{what} wrote {', '.join(foreign)}, which is not among its writes", next_step="declare the slot in writes="
        )
    for slot, value in result.written.items():
        work.state[slot] = value
    return result.value


def wake(seen: PinnedProto, method: Method, home: ProtoManager) -> None:
    """Run an on_wake in this process; it can fill `live`, and write nothing that is committed.

    Raises MethodRefused where its text is not trusted that far, NotInTransaction where it writes, MethodOverran, and
    whatever it raises.
    """
    what = f"{seen.name}.{method.name}"
    if not place(method, home).in_process:
        raise _refused(what, method, "which cannot build what lives in this process")
    try:
        shared_pool().run(what, lambda: function_of(seen.name, method)(seen), home.method_deadline_s)
    except NotInTransaction as error:
        raise not_while_waking(error.path) from error


def not_while_waking(path: str) -> NotInTransaction:
    return NotInTransaction(
        path, how="on_wake fills self.live and nothing else", next_step="write state in a method that is called"
    )


def _refused(what: str, method: Method, why: str, step: str = "") -> MethodRefused:
    return MethodRefused(
        f"{what} was written by {method.author} and may only run in a sandbox, {why}",
        next_step=f'{step}read the text and promote it: manager.promote(proto.{method.name}, "in-process", reason=...)',
    )
