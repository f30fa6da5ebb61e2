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
        self._around: Transaction | None = outer
        self._ready: list[Delta] | None = None
        self._state = "new"
        self.author = author
        self.changes: tuple[Change, ...] = ()

    @property
    def home(self) -> ProtoManager:
        return self._home

    @property
    def state(self) -> str:
        """ "new", "open", "ended", or "given up" where a method overran in it, or by `give_up`."""
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
        with self.prepared():
            yield self
        self.commit_prepared()

    @contextmanager
    def prepared(self) -> Iterator[Transaction]:
        """Like `with`, but what changed is only encoded at the end; `commit_prepared` then makes it durable.

        So what runs in the block need not be who decides whether it counts: see kernel/console.py.
        """
        self._begin()
        try:
            yield self
        except BaseException as error:
            self._finish(error)
            raise
        self._ready = self._finish(None)

    def commit_prepared(self) -> tuple[Change, ...]:
        """Commit what `prepared` left, from whichever thread; what was committed. Blocks, and raises as leaving a `with`.

        Raises NotInTransaction where the block has not been left well, or it was given up.
        """
        if self._ready is None or self._state != "ended":
            raise NotInTransaction("what a transaction has not prepared")
        deltas, self._ready = self._ready, None
        if deltas:
            self.changes, _ = self._home.commit(deltas, self.author, self._reason)
        return self.changes

    def give_up(self) -> None:
        """Let nothing of it be committed, and nobody write in it any more, whatever still runs in its block.

        From any thread, at any time before `commit_prepared`. Also what is begun or committed in its block is refused.
        """
        self._state = "given up"
        self._ready = None
        for draft in tuple(self._drafts.values()):
            draft.seal()

    def _begin(self) -> None:
        if self._state != "new":
            raise CallerError("a transaction is used once", next_step="begin another: manager.transaction(...)")
        self._state = "open"
        self._around = _current.get()
        self._token = _current.set(self)

    def _finish(self, error: BaseException | None) -> list[Delta]:
        if self._token is not None:
            with suppress(ValueError):  # an `async with` may be left in another context than it was entered in
                _current.reset(self._token)
            self._token = None
        self._need_open()
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
        if self._state != "given up":
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

    Raises NotInTransaction in what was given up, such as a method that overran.
    """
    need_wanted()
    transaction = _current.get()
    if transaction is None or transaction.home is not home:
        return None
    return transaction if transaction.state == "open" else None


def need_wanted() -> None:
    """Raises NotInTransaction in what was given up, such as a method that overran: it may begin nothing of its own."""
    around = _current.get()
    while around is not None:
        if around._state == "given up":
            raise NotInTransaction("everything in what ran past its deadline")
        around = around._around


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
