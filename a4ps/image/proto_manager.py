"""The universe of Protos: what is current, how it changes, how it was.

Reading takes no lock: a reader follows one reference to the root map, which the writer's thread replaces after the
fsync of the commits that changed it, before it acknowledges them; events come after that. Conflicts are judged by the
writer's thread, in the order of its queue (see proposal.py). Nothing here knows a model, a sandbox or a home: they are
bound from outside.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol, cast

from a4ps import ports
from a4ps.clock import Clock, SystemClock
from a4ps.errors import A4PSError, CallerError, NotBound, StorageFailed, UnknownProto
from a4ps.events import Calling, Event, Subject, event_bus
from a4ps.governance.trust import ARCHITECT, Level, Trust, digest_of, level_named, need_readable
from a4ps.image import calls, transaction
from a4ps.image.backup import dated
from a4ps.image.calls import LiveMethod
from a4ps.image.changes import Change, Diff
from a4ps.image.codex import Codex
from a4ps.image.content import Content
from a4ps.image.draft_state import check_name
from a4ps.image.failures import Failures
from a4ps.image.foreign import distrusted
from a4ps.image.handle import Handle, Pin, PinnedProto, handle_of
from a4ps.image.heads import Root, Versions
from a4ps.image.keys import KeyFolder
from a4ps.image.methods import CodeRunner, Method
from a4ps.image.past import Past
from a4ps.image.portable import read_portable, write_portable
from a4ps.image.promotions import Promotions, check_records
from a4ps.image.proposal import Delta, Judging, Upon, delta_of
from a4ps.image.proto import Proto
from a4ps.image.snapshot import PortableImage
from a4ps.image.store import Store
from a4ps.image.text_export import export_text, import_text
from a4ps.image.transaction import Transaction
from a4ps.image.transfer import Takeover, contents_of, rows_towards, whole_of
from a4ps.image.verify import Tell, VerifyReport, tell_nobody
from a4ps.image.versions import ProtoVersion, ancestors_of
from a4ps.image.waking import ON_WAKE, Lives, Space
from a4ps.image.writer import Judge


class Invoker(Protocol):
    """Asks a model in a Proto's name.

    Called by `invoke_llm` in whatever thread calls that, never in the writer's; blocks until the reply is there. Raises
    A4PSError. Keeps nothing that it was given.
    """

    def invoke(self, name: str, codex: Codex, prompt: str) -> str: ...


class Home(Protocol):
    """Where the process's own image and its keys are; made by the wiring, asked when `ProtoManager()` is first used."""

    def open_manager(self) -> ProtoManager:
        """Called once at a time, and again only after what it gave was closed."""
        ...

    def keys(self) -> KeyFolder: ...


class ProtoManager:
    """One open image of Protos. Every method may be called from any thread.

    `ProtoManager()` is the process's own, the same object each time, opened on first use; `ProtoManager.open` another.
    Reading raises IntegrityError where a row is not what was stored; everything raises CallerError after `close`.
    """

    _own: ClassVar[ProtoManager | None] = None
    _own_gate: ClassVar[threading.RLock] = threading.RLock()

    # Set by `over`: `__init__` would run again at each `ProtoManager()`.
    _store: Store
    _owns_store: bool
    _closed: bool
    _events: Subject
    _past: Past
    _promotions: Promotions
    _failures: Failures
    _lives: Lives
    _root: Root
    _handles: dict[str, Handle]
    _takeover: threading.Lock
    _invoker: Invoker | None
    _code_runner: CodeRunner | None
    _services: list[Callable[[], None]]
    method_deadline_s: float

    def __new__(cls) -> ProtoManager:
        """Raises NotBound where no home is wired, and what opening the home's image raises."""
        with cls._own_gate:
            if cls._own is None or cls._own.closed:
                cls._own = cls._wired().open_manager()
            return cls._own

    @classmethod
    def bind_default(cls, home: Home | None) -> None:
        """Say where the process's own manager and the keys come from; a manager that is open already stays."""
        ports.current().home = home

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        keys: KeyFolder | None = None,
        clock: Clock | None = None,
        method_deadline_s: float = calls.DEADLINE_S,
    ) -> ProtoManager:
        """Open the image at `path`, or make an empty one; its key is in `keys`, by default the home's.

        Raises what `Store.open` raises, and NotBound where no home is wired to take the keys from.
        """
        folder = cls._wired().keys() if keys is None else keys
        store = Store.open(Path(path), folder, clock or SystemClock())
        try:
            return cls.over(store, owns_store=True, method_deadline_s=method_deadline_s)
        except BaseException:
            store.close()
            raise

    @classmethod
    def over(
        cls, store: Store, *, owns_store: bool = False, method_deadline_s: float = calls.DEADLINE_S
    ) -> ProtoManager:
        """The Protos of an open store, whose other kinds of rows are somebody else's; at most one manager a store.

        `close` closes the store only if it is owned.
        """
        self = object.__new__(cls)
        self._store = store
        self._owns_store = owns_store
        self._closed = False
        self._events = Subject()
        self._past = Past(store)
        self._promotions = Promotions(store)
        self._failures = Failures()
        self._lives = Lives()
        self._handles = {}
        self._takeover = threading.Lock()
        self._invoker = None
        self._code_runner = None
        self._services = []
        self.method_deadline_s = method_deadline_s
        self._root = Root({})
        store.judge_by(self._read_back, self._flip)
        return self

    def make_own(self) -> ProtoManager:
        """Let `ProtoManager()` be this one from now on; returns it. Handles of an earlier one stay with that."""
        with self._own_gate:
            type(self)._own = self
        return self

    @property
    def store(self) -> Store:
        return self._store

    @property
    def failures(self) -> Failures:
        """The last failed call of each live method, in this process."""
        return self._failures

    @property
    def closed(self) -> bool:
        return self._closed

    # Services from outside

    def bind_invoker(self, invoker: Invoker | None) -> None:
        """Say who asks the models; None takes the answer back."""
        self._invoker = invoker

    def bind_code_runner(self, runner: CodeRunner | None) -> None:
        """Say who runs methods whose authors are not trusted; without one they are refused."""
        self._code_runner = runner

    @property
    def code_runner(self) -> CodeRunner | None:
        return self._code_runner

    def close_with(self, service: Callable[[], None]) -> None:
        """Have `service` called when this manager is closed, after the store: for what only lives on its behalf."""
        self._services.append(service)

    def ask_model(self, name: str, codex: Codex, prompt: str) -> str:
        """What `invoke_llm` of a Proto does. Raises NotBound, and what the invoker raises."""
        if self._invoker is None:
            raise NotBound(
                f"{name} has no model to ask: nothing is wired to this image",
                next_step="bind one: manager.bind_invoker(...), or speak with it: a4ps ask",
            )
        return self._invoker.invoke(name, codex, prompt)

    # Trust

    def promote(
        self,
        text: Method | LiveMethod | str,
        level: Level | str,
        *,
        folders: Sequence[str | Path] = (),
        writable: Sequence[str | Path] = (),
        author: str = ARCHITECT,
        reason: str = "",
    ) -> Trust:
        """Say how far a text is trusted, to the letter: "sandboxed", "granted" (with folders) or "in-process".

        Those of `folders` that are also `writable` may be written to. `text` is a method, or the digest of one. To withdraw
        a promotion is to promote to "sandboxed". Durable when this returns, and in force from then on, for every method of
        that text, in this image and no other; it is part of no transaction. Raises what `Store.commit` raises, and
        PromotionRefused where `author` is not the Architect, level and folders do not go together, no text of that digest
        is here, or it is one that needs no promotion, or one for this process that is not what a reader sees.
        """
        self._need_open()
        digest, authors, source = self._text_of(text)
        need_readable(source, level_named(level))
        return self._promotions.promote(
            digest, authors, level_named(level), map(str, folders), author, reason, map(str, writable)
        )

    def promote_text(
        self,
        source: str,
        text_author: str,
        level: Level | str,
        *,
        folders: Sequence[str | Path] = (),
        writable: Sequence[str | Path] = (),
        author: str = ARCHITECT,
        reason: str = "",
    ) -> Trust:
        """`promote` for a text that is no method, such as a tool's: whoever holds it vouches for `text_author`.

        Those of `folders` that are also `writable` may be written to.
        """
        self._need_open()
        need_readable(source, level_named(level))
        return self._promotions.promote(
            digest_of(source), {text_author}, level_named(level), map(str, folders), author, reason, map(str, writable)
        )

    @property
    def trusts(self) -> Mapping[str, Trust]:
        """The newest promotion of each text by its digest, a withdrawal as well; never changed, read without a lock."""
        return self._promotions.in_force

    def trust_of(self, digest: str) -> Trust | None:
        """The promotion of a text that is in force, a withdrawal as well; None where there never was one."""
        return self.trusts.get(digest)

    def promotions(self) -> list[Trust]:
        """Every promotion that was ever recorded in this image, oldest first, whether it is still in force or not."""
        return self._promotions.history()

    # Reading

    def live_of(self, name: str) -> Space:
        """What `live` of a Proto is: built first by its on_wake, where that was not done yet.

        Raises UnknownProto, MethodRefused where the on_wake is not trusted, NotInTransaction where it writes,
        MethodOverran, and whatever it raises; the next call then tries again.
        """
        return self._lives.reach(name, lambda: self._on_wake(name), self.method_deadline_s)

    def names(self) -> list[str]:
        """All Protos of this moment, sorted."""
        return sorted(self._root.versions)

    def get_proto(self, name: str) -> Handle:
        """The handle of `name`, the same object each time. Raises UnknownProto."""
        if name not in self._root.versions:
            raise UnknownProto(f"there is no Proto {name}", next_step=_names_step(self._root.versions))
        return self._handle(name)

    def __contains__(self, name: object) -> bool:
        return name in self._root.versions

    def pin(self, generation: int | None = None) -> Pin:
        """All Protos as they are now, or were after commit `generation`, unchanged by whatever is committed later."""
        return Pin(self._root.versions if generation is None else self._past.then(generation), self)

    def history(self, name: str | None = None) -> list[Change]:
        """The changes of `name`, oldest first, and among them those of its ancestors, marked as inherited.

        Without a name, those of all Protos that ever were. Raises UnknownProto for a name that never was.
        """
        return self._past.all_changes() if name is None else self._past.history(name, self._root.versions)

    def changes(self, generation: int) -> list[Change]:
        """The changes of one commit, one a Proto. Raises UnknownProto where it is no commit of Protos."""
        return self._past.changes(generation)

    def contents_of(self, name: str, newest: int) -> list[tuple[Change, Content | None]]:
        """The `newest` own changes of a Proto, oldest first, each with what it made of it; None where it removed it."""
        return self._past.contents(name, newest)

    def diff(self, change: Change | int) -> Diff:
        """What a change changed (by its number: what its whole commit did); printing it shows it."""
        return self._past.diff(self._named(change))

    # Changing

    def transaction(
        self, *, author: str = ARCHITECT, reason: str = "", evidence: object = None, pin: Pin | None = None
    ) -> Transaction:
        """Begin a transaction: `with manager.transaction(reason=...) as tx: tx.edit("BRICK").state["mood"] = "calm"`.

        With a `pin` of this manager, its drafts begin with the versions of that moment. `evidence` is plain JSON data.
        Raises CallerError for a pin of another manager, whose versions of the same number are others.
        """
        _check_author(author)
        if pin is not None and pin.home is not self:
            raise CallerError("the pin is of another open image", next_step="pin this one: manager.pin()")
        versions = self._root.versions if pin is None else pin.versions
        return Transaction(self, versions, author, reason, evidence, "transaction")

    def register_proto(
        self, proto: Proto, *, author: str = ARCHITECT, reason: str = "", evidence: object = None
    ) -> Handle:
        """Make a draft a Proto of this image. Blocks until it is durable; its handle is returned also where somebody has
        removed it again since.

        Raises Conflict where the name is taken, TypeError where it is not a draft, UnknownProto, CycleRefused,
        Unstorable, and what `Store.commit` raises.
        """
        self._put(proto, None, "register", author, reason, evidence)
        return self._handle(proto.name)

    def atomic_swap(
        self, proto: Proto, *, author: str = ARCHITECT, reason: str = "", evidence: object = None
    ) -> Change:
        """Put a draft in the place of the version that it was made from. Blocks until it is durable.

        A name that the image does not have is registered, and recorded so. The draft can be changed and swapped in
        again. Raises Conflict, with both versions, where the draft was made from an older one; TypeError where it is
        not a draft; UnknownProto, CycleRefused, Unstorable, and what `Store.commit` raises.
        """
        _need_draft(proto)
        base = proto.base if proto.home is self else None
        known = base is not None or proto.name in self._root.versions
        return self._put(proto, base, "swap" if known else "register", author, reason, evidence)

    def remove_proto(self, name: str, *, author: str = ARCHITECT, reason: str = "", evidence: object = None) -> Change:
        """Take a Proto away; its history stays, and `revert` brings it back. Raises UnknownProto, CycleRefused."""
        _check_author(author)
        base = self.get_proto(name).current
        delta = delta_of(name, base, None, act="remove", author=author, reason=reason, evidence=evidence, strict=True)
        changes, _ = self.commit([delta], author, reason)
        return changes[0]

    def revert(
        self, change: Change | int, *, author: str = ARCHITECT, reason: str = "", evidence: object = None
    ) -> list[Change]:
        """Undo a change (by its number: all of its commit), as a new change; what came later stays.

        Raises Conflict where a later change touched the same slot, method, codex or parents; UnknownProto.
        """
        _check_author(author)
        named = self._named(change)
        because = reason or f"revert {', '.join(f'{each.name} {each.generation}' for each in named)}"
        contents = self._past.reverted(named, self._root.versions)
        changes, _ = self.commit(
            [
                delta_of(name, base, content, act="revert", author=author, reason=because, evidence=evidence)
                for name, base, content in contents
            ],
            author,
            because,
        )
        return list(changes)

    def install(
        self, contents: Mapping[str, Content], *, author: str = ARCHITECT, reason: str = "", evidence: object = None
    ) -> list[Change]:
        """Make `contents` all that there is, in one commit; Protos that are not among them are removed.

        Raises Conflict where something was committed meanwhile, UnknownProto, CycleRefused.
        """
        versions = self._root.versions
        deltas = self._towards(contents, versions, author, reason, evidence)
        judging = self._judging(deltas)
        if deltas:
            self._commit(judging, Upon(versions, judging), author, reason)
        return list(judging.changes)

    def _towards(
        self, contents: Mapping[str, Content], versions: Versions, author: str, reason: str, evidence: object = None
    ) -> list[Delta]:
        _check_author(author)
        wanted: dict[str, Content | None] = {**dict.fromkeys(versions), **contents}
        return [
            delta_of(
                check_name("Proto", name),
                versions.get(name),
                content,
                act="install" if content is not None else "remove",
                author=author,
                reason=reason,
                evidence=evidence,
                strict=True,
            )
            for name, content in wanted.items()
            if name not in versions or versions[name].content != content
        ]

    def subscribe(self, observer: Callable[[Change], object]) -> Callable[[], None]:
        """Have `observer` called with each change of this image, in order, by a thread of its own; call the result to end
        that. What it raises is logged. `event_bus` tells the same of every image of the process.
        """
        calling = Calling(observer)  # one's own: who subscribes twice may end the one and keep the other
        self._events.attach(calling, Event.SWAP)
        return functools.partial(self._events.detach, calling)

    # The image

    def content(self) -> PortableImage:
        """All that the image holds, as a value: Protos, their history, the turns and whatever else there is.

        Reads the whole image. Raises IntegrityError where a row is not what was stored.
        """
        return whole_of(self._store).image

    def save_image(self, path: str | Path) -> None:
        """Put the whole content into one file that is signed with the image's key, in place of what was at `path`.

        Raises CallerError where `path` is the image's own; else what `content` and `write_portable` raise.
        """
        target, own = Path(path).resolve(), self._store.path
        if target in {own.with_name(own.name + suffix) for suffix in ("", "-wal", "-shm", ".lock")}:
            raise CallerError(f"{target} belongs to the image itself", next_step="name another file")
        write_portable(Path(path), self.content(), self._store.keys, self._store.image_id)

    @staticmethod
    def load_image(path: str | Path, *, author: str = ARCHITECT, reason: str = "") -> ProtoManager:
        """`load` a file into the process's own image, and return its manager."""
        manager = ProtoManager()
        manager.load(path, author=author, reason=reason)
        return manager

    def load(self, path: str | Path, *, author: str = ARCHITECT, reason: str = "") -> Path | None:
        """Make what `save_image` wrote the image's content, in one commit; returns where the image was kept before.

        All of the file is verified first. Protos, turns and other rows that are not in it are there no longer, but their
        history is, and `revert` brings a Proto back. The promotions are those of the file, also such as were withdrawn
        since, and only the Architect may load it if it has any. Raises KeyLost where the file was signed by a key that
        is not here, what `read_portable` and `become` raise, and then has changed nothing.
        """
        return self.become(read_portable(Path(path), self._store.keys), author=author, reason=reason or f"load {path}")

    def export_text(self, folder: str | Path) -> None:
        """Write the whole content as texts that people and git can read; see text_export.py."""
        export_text(Path(folder), self.content())

    def import_text(self, folder: str | Path, *, author: str = ARCHITECT, reason: str = "") -> Path | None:
        """`load` for a text export, which is a stranger's: its methods are not trusted, nothing opaque is loaded.

        It brings no promotions, and those that there were end with the content that they were for. What it says of taint is
        not believed.
        """
        return self.become(import_text(Path(folder)), author=author, reason=reason or f"import {folder}")

    def become(self, image: PortableImage, *, author: str = ARCHITECT, reason: str = "") -> Path | None:
        """Make `image` the content of this one, in one commit, after keeping a verified backup beside it.

        Of a `foreign` one, what is not here to the letter is given the labels of files. Returns where the backup is, None
        where the image was empty. Raises CallerError where something in `image` cannot be held, PromotionRefused where it
        has promotions and `author` is not the Architect, Conflict where something was committed meanwhile, and what `backup`
        and `Store.commit` raise; nothing has changed then, except that after StorageFailed the backup stays.
        """
        check_records(image.records, author)
        # One after the other: two at once would give one name to what they keep, and one of them be refused anyway.
        with self._takeover:
            before = whole_of(self._store)
            if image.foreign:
                image = distrusted(image, before.image)
            contents = contents_of(image)
            rows = rows_towards(before.image, image)
            versions = self._root.versions
            judging = self._judging(self._towards(contents, versions, author, reason))
            kept = dated(self._store.path, self._store.clock.now()) if before.generation else None
            if kept is not None:
                self.backup(kept)
            with self._promotions.replaced():
                try:
                    self._commit(judging, Takeover(Upon(versions, judging), rows, before.generation), author, reason)
                except A4PSError as error:
                    # Where the outcome is not known, the backup may be the only way back.
                    if kept is not None and not isinstance(error, StorageFailed):
                        kept.unlink(missing_ok=True)
                    raise
            return kept

    def backup(self, path: str | Path, *, tell: Tell = tell_nobody) -> VerifyReport:
        """A verified copy of the image at `path`; see `Store.backup`."""
        return self._store.backup(Path(path), tell=tell)

    def verify(self, *, deep: bool = False, tell: Tell = tell_nobody) -> VerifyReport:
        """Check the image; see `Store.verify`."""
        return self._store.verify(deep=deep, tell=tell)

    def close(self) -> None:
        """Serve what waits, tell observers of it, close the store if it is owned, end what `close_with` named; idempotent.

        What was read already can still be read; committing raises CallerError.
        """
        self._closed = True
        self._lives.close()
        if self._owns_store:
            self._store.close()
        self._events.close()
        while self._services:
            self._services.pop()()

    def __enter__(self) -> ProtoManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # For transactions and handles

    def commit(
        self, deltas: Sequence[Delta], author: str, reason: str
    ) -> tuple[tuple[Change, ...], Mapping[str, ProtoVersion | None]]:
        """Have `deltas` judged and made durable as one commit. Blocks; raises as the judgement and the store do."""
        judging = self._judging(deltas)
        self._commit(judging, judging, author, reason)
        return judging.changes, judging.versions

    async def commit_async(self, deltas: Sequence[Delta], author: str, reason: str) -> tuple[Change, ...]:
        """`commit` without blocking the loop; cancellation as in `Store.commit_async`."""
        judging = self._judging(deltas)
        await self._store.commit_async(
            judging, author=author, reason=reason, then=lambda _: self._announce(judging.changes)
        )
        return judging.changes

    @contextmanager
    def joined(self, act: str, author: str, reason: str, versions: Versions) -> Iterator[Transaction]:
        """The caller's transaction, or one of its own around the block; that one may block an event loop."""
        outer = transaction.current(self)
        if outer is not None:
            with outer.nested() as inner:
                yield inner
            return
        _check_author(author)
        with Transaction(self, versions, author, reason, None, act).blocking() as own:
            yield own

    def call(
        self, name: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], author: str, versions: Versions
    ) -> Any:
        """Call a method of the Proto `name`, in the caller's transaction or in one of its own."""
        with self.joined("call", author, f"call {name}.{method}", versions) as joined:
            return calls.run(joined.edit(name), method, args, kwargs, self)

    def _judging(self, deltas: Sequence[Delta]) -> Judging:
        self._need_open()
        return Judging(tuple(deltas))

    def _need_open(self) -> None:
        if self._closed:
            raise CallerError(f"the image {self._store.path} is closed", next_step="open it again")
        transaction.need_wanted()
        if self._lives.unfinished_here():
            raise calls.not_while_waking("the image")

    def _commit(self, judging: Judging, judge: Judge, author: str, reason: str) -> None:
        self._store.commit(judge, author=author, reason=reason, then=lambda _: self._announce(judging.changes))

    def _put(
        self, proto: Proto, base: ProtoVersion | None, act: str, author: str, reason: str, evidence: object
    ) -> Change:
        _need_draft(proto)
        _check_author(author)
        content = proto.content(author)
        delta = delta_of(
            proto.name, base, content, act=act, author=author, reason=reason, evidence=evidence, strict=True
        )
        changes, versions = self.commit([delta], author, reason)
        version = versions[proto.name]
        assert version is not None
        proto.rebased(version, self._root.versions, self)
        return changes[0]

    def _announce(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._events.notify(Event.SWAP, change)
            event_bus.notify(Event.SWAP, change)

    def _handle(self, name: str) -> Handle:
        handle = self._handles.get(name)
        return handle if handle is not None else self._handles.setdefault(name, handle_of(name, self._root, self))

    def _named(self, change: Change | int) -> list[Change]:
        return [change] if isinstance(change, Change) else self._past.changes(change)

    def _text_of(self, text: Method | LiveMethod | str) -> tuple[str, set[str], str]:
        """A text's digest, the authors of the methods that have it, and the text itself, "" where there is none here."""
        if isinstance(text, LiveMethod):
            text = text.method
        if isinstance(text, Method):
            return text.digest, {text.author}, text.source
        methods = (method for version in self._root.versions.values() for method in version.content.methods.values())
        having = [method for method in methods if method.digest == text]
        return text, {method.author for method in having}, having[0].source if having else ""

    def _on_wake(self, name: str) -> tuple[str | None, Callable[[], object] | None]:
        versions = self._root.versions
        seen = Pin(versions, self).get_proto(name)
        version = seen.current
        for each in (version, *ancestors_of(name, version.content.parents, versions)):
            method = each.content.methods.get(ON_WAKE)
            if method is not None:
                return method.source, functools.partial(self._wake, seen, method)
        return None, None

    def _wake(self, seen: PinnedProto, method: Method) -> None:
        # A transaction of whoever reached `live` is none of its business: it would write there.
        with transaction.apart():
            calls.wake(seen, method, self)

    def _read_back(self) -> Versions:
        self._promotions.refresh()
        return self._past.heads()

    def _flip(self, versions: Versions) -> None:
        self._promotions.heads_changed()
        self._root.versions = versions
        self._lives.keep(versions)

    @classmethod
    def _wired(cls) -> Home:
        home = ports.current().home
        if home is None:
            raise NotBound(
                "this process has no home yet", next_step="ProtoManager.bind_default(...), or open(path, keys=...)"
            )
        return cast(Home, home)


def _need_draft(proto: object) -> None:
    if not isinstance(proto, Proto):
        hint = ": pass a clone() of it" if isinstance(proto, Handle) else ""
        raise TypeError(f"this takes a draft (Proto), not a {type(proto).__name__}{hint}")
    if proto.in_transaction:
        raise CallerError(
            f"this draft of {proto.name} belongs to a transaction, which commits it", next_step="pass a clone() of it"
        )


def _check_author(author: object) -> None:
    if not isinstance(author, str) or not author:
        raise CallerError("a change needs an author", next_step='give one: author="architect"')


def _names_step(versions: Versions) -> str:
    return f"there are: {', '.join(sorted(versions)[:10])}" if versions else "register one first"
