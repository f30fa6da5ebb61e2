"""A transaction: drafts that become durable together, or not at all (I4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING

from a4ps.errors import CallerError, MethodOverran, NotInTransaction, UnknownProto
from a4ps.image.changes import Change
from a4ps.image.proposal import Delta, delta_of
from a4ps.image.proto import Proto
from a4ps.image.versions import ProtoVersion

if TYPE_CHECKING:
    from a4ps.image.proto_manager import ProtoManager

_current: ContextVar[Transaction | None] = ContextVar("a4ps_transaction", default=None)


class Transaction:
    """Made by `ProtoManager.transaction`. Used with `with` or `async with`, once, by one thread at a time.

    All its drafts begin with the versions of one moment. At the end of the block what changed is committed, rebased on
    whatever was committed meanwhile; where somebody changed the same slot, method, codex or parents, it raises Conflict.
    After an exception nothing is changed. `changes` holds what was committed; it is empty where nothing differed.
    """

    def __init__(
        self,
        home: ProtoManager,
        versions: Mapping[str, ProtoVersion],
        author: str,
        reason: str,
        evidence: object,
        act: str,
        outer: Transaction | None = None,
    ) -> None:
        self._home = home
        self._versions = versions
        self._reason = reason
        self._evidence = evidence
        self._act = act
        self._outer = outer
        self._drafts: dict[str, Proto] = {}
        self._token: Token[Transaction | None] | None = None
        self._state = "new"
        self.author = author
        self.changes: tuple[Change, ...] = ()

    @property
    def home(self) -> ProtoManager:
        return self._home

    @property
    def state(self) -> str:
        """ "new", "open", "ended", or "given up" where a method overran in it."""
        return self._state

    def edit(self, name: str) -> Proto:
        """The draft of `name` in this transaction, the same one each time. Raises UnknownProto, NotInTransaction."""
        self._need_open()
        draft = self._drafts.get(name)
        if draft is None:
            if self._outer is not None:
                draft = self._outer.edit(name).nested(self)
            elif name in self._versions:
                draft = Proto.at(self._versions[name], self._versions, self._home, self)
            else:
                raise UnknownProto(f"there is no Proto {name}", next_step="register it, or look at the manager's names")
            self._drafts[name] = draft
        return draft

    @contextmanager
    def nested(self) -> Iterator[Transaction]:
        """A part of this transaction that is taken back alone if it raises."""
        self._need_open()
        inner = Transaction(
            self._home, self._versions, self.author, self._reason, self._evidence, self._act, outer=self
        )
        inner._state = "open"
        token = _current.set(inner)
        try:
            yield inner
            for name, draft in inner._drafts.items():
                self._drafts[name].adopt(draft)
        except BaseException as error:
            inner._end(error)
            raise
        else:
            inner._end()
        finally:
            _current.reset(token)

    def __enter__(self) -> Transaction:
        """Raises CallerError on a running event loop, which the commit would block."""
        if _on_a_loop():
            raise CallerError(
                "a plain `with` would block the event loop", next_step="write: async with manager.transaction(...)"
            )
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        deltas = self._finish(error)
        if deltas:
            self.changes, _ = self._home.commit(deltas, self.author, self._reason)

    async def __aenter__(self) -> Transaction:
        self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancelled before the commit is handed over, nothing changes; later, its outcome is awaited first."""
        deltas = self._finish(error)
        if deltas:
            self.changes = await self._home.commit_async(deltas, self.author, self._reason)

    @contextmanager
    def blocking(self) -> Iterator[Transaction]:
        """Like `with`, but on a running event loop as well, which then waits: what a call of a method does."""
        self._begin()
        try:
            yield self
        except BaseException as error:
            self._finish(error)
            raise
        self.__exit__(None, None, None)

    def _begin(self) -> None:
        if self._state != "new":
            raise CallerError("a transaction is used once", next_step="begin another: manager.transaction(...)")
        self._state = "open"
        self._token = _current.set(self)

    def _finish(self, error: BaseException | None) -> list[Delta]:
        self._need_open()
        if self._token is not None:
            with suppress(ValueError):  # an `async with` may be left in another context than it was entered in
                _current.reset(self._token)
        try:
            return [] if error is not None else self._deltas()
        finally:
            self._end(error)

    def _deltas(self) -> list[Delta]:
        deltas = []
        for name, draft in self._drafts.items():
            content = draft.content(self.author)
            if draft.base is None or content != draft.base.content:
                deltas.append(
                    delta_of(
                        name,
                        draft.base,
                        content,
                        act=self._act,
                        author=self.author,
                        reason=self._reason,
                        evidence=self._evidence,
                    )
                )
        return deltas

    def _end(self, error: BaseException | None = None) -> None:
        # A method that overran may still be running in this transaction; it must find no way to write.
        self._state = "given up" if isinstance(error, MethodOverran) else "ended"
        for draft in self._drafts.values():
            draft.seal()

    def _need_open(self) -> None:
        if self._state != "open":
            raise NotInTransaction("a Proto of a transaction that is not running")


@contextmanager
def apart() -> Iterator[None]:
    """A block that is in nobody's transaction."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def current(home: ProtoManager) -> Transaction | None:
    """The running transaction of `home` in whose block the caller is, the innermost.

    Raises NotInTransaction in a method that was given up because it overran.
    """
    transaction = _current.get()
    if transaction is None or transaction.home is not home:
        return None
    if transaction.state == "given up":
        raise NotInTransaction("everything in a method that ran past its deadline")
    return transaction if transaction.state == "open" else None


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
