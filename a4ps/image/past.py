"""How Protos were: versions and changes out of the store, their differences, and what undoing one comes to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from a4ps.errors import Conflict, Forgotten, IntegrityError, UnknownProto
from a4ps.image.changes import Change, Diff, diff, differing, merge, part_name
from a4ps.image.content import Content, Record, unpack_record
from a4ps.image.heads import Versions
from a4ps.image.proposal import GONE, KIND
from a4ps.image.proto_bars import is_barred
from a4ps.image.store import Store
from a4ps.image.tombstones import FORGOTTEN
from a4ps.image.versions import ProtoVersion, ancestors_of


class Past:
    """Reads one store. Every method raises IntegrityError where a row is not what was stored."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def heads(self) -> Versions:
        """Name → newest version, unread, of all Protos that were not removed."""
        gone = self._store.heads(GONE)
        return {
            name: ProtoVersion(name, generation, self._load)
            for name, generation in self._store.heads(KIND).items()
            if gone.get(name, 0) < generation
        }

    def history(self, name: str, versions: Versions) -> list[Change]:
        """See `ProtoManager.history`."""
        own = self._changes_of(name, inherited=False)
        if not own:
            raise UnknownProto(f"there never was a Proto {name}", next_step="a4ps image history names all that were")
        version = versions.get(name)
        ancestors = () if version is None else ancestors_of(name, version.content.parents, versions)
        inherited = [change for each in ancestors for change in self._changes_of(each.name, inherited=True)]
        return sorted([*inherited, *own], key=lambda change: change.generation)

    def all_changes(self) -> list[Change]:
        """Of every Proto that ever was, oldest first."""
        changes = [change for name in self._store.heads(KIND) for change in self._changes_of(name, inherited=False)]
        return sorted(changes, key=lambda change: change.generation)

    def changes(self, generation: int) -> list[Change]:
        """See `ProtoManager.changes`."""
        rows = self._store.rows_of(generation, KIND)
        if not rows and any(row.key.split(" ")[0] == KIND for row in self._store.rows_of(generation, FORGOTTEN)):
            raise Forgotten(f"change {generation} was forgotten", next_step="a4ps image history names what is left")
        if not rows:
            raise UnknownProto(
                f"{generation} is not a change of a Proto", next_step="a4ps image history has the numbers"
            )
        return [
            Change.of(row.key, row.generation, unpack_record(row.payload), row.at, forgotten=bool(row.forgotten))
            for row in rows
        ]

    def then(self, generation: int) -> Versions:
        """Name → version of all Protos that there were after that commit."""
        found = {}
        for name in self._store.heads(KIND):
            rows = self._store.past(KIND, name, upto=generation, limit=1)
            if rows:
                record, at = self._record(name, rows[0].generation)
                if record.content is not None:
                    found[name] = ProtoVersion.of(name, rows[0].generation, record, at)
        return found

    def contents(self, name: str, newest: int) -> list[tuple[Change, Content | None]]:
        """See `ProtoManager.contents_of`. Raises UnknownProto."""
        changes = self._changes_of(name, inherited=False)
        if not changes:
            raise UnknownProto(f"there never was a Proto {name}", next_step="a4ps image history names all that were")
        return [(change, self._record(name, change.generation)[0].content) for change in reversed(changes[:newest])]

    def diff(self, changes: Iterable[Change]) -> Diff:
        """What the changes did, one after the other."""
        return Diff(tuple(each for change in changes for each in diff(change.name, *self.around(change))))

    def around(self, change: Change) -> tuple[Content | None, Content | None]:
        """The contents before and after a change; None where there was no Proto. Raises UnknownProto."""
        after, _ = self._record(change.name, change.generation)
        before = self._record(change.name, after.base)[0].content if after.base else None
        return before, after.content

    def reverted(
        self, changes: Iterable[Change], versions: Versions
    ) -> list[tuple[str, ProtoVersion | None, Content | None]]:
        """For each change: its Proto, the current version, and the content that undoes the change in it.

        Raises Forgotten where it would bring back what was forgotten, Conflict where a later change touched the same
        part.
        """
        undone = []
        for change in changes:
            before, after = self.around(change)
            _need_remembered(change, before, after)
            head = versions.get(change.name)
            undone.append((change.name, head, _undone(change, before, after, head)))
        return undone

    def _changes_of(self, name: str, *, inherited: bool) -> list[Change]:
        return [
            Change.of(
                name,
                row.generation,
                unpack_record(row.payload),
                row.at,
                inherited=inherited,
                forgotten=bool(row.forgotten),
            )
            for row in self._store.past(KIND, name)
        ]

    def _record(self, name: str, generation: int) -> tuple[Record, datetime]:
        rows = self._store.past(KIND, name, upto=generation, limit=1)
        if not rows or rows[0].generation != generation:
            raise UnknownProto(f"{name} has no change {generation}", next_step=f"look at the history of {name}")
        newest = rows[0]
        written = unpack_record(newest.payload)
        content = None
        if written.depth:
            for row in reversed(self._store.past(KIND, name, upto=generation - 1, limit=written.depth)):
                content = unpack_record(row.payload).record(content).content
        return written.record(content), newest.at

    def _load(self, version: ProtoVersion) -> tuple[Record, datetime]:
        try:
            return self._record(version.name, version.generation)
        except UnknownProto as error:
            raise IntegrityError(
                f"version {version.generation} of {version.name} is gone from the image",
                next_step="run: a4ps image verify --deep, then: a4ps image restore FILE",
            ) from error


def _need_remembered(change: Change, before: Content | None, after: Content | None) -> None:
    barred = [part_name(change.name, part) for part, was, _ in differing(before, after) if is_barred(was)]
    if barred:
        raise Forgotten(
            f"{', '.join(barred)} was forgotten, as it was before change {change.generation}",
            next_step="set it by hand: what was forgotten cannot be brought back",
        )


def _undone(change: Change, before: Content | None, after: Content | None, head: ProtoVersion | None) -> Content | None:
    if after is None:
        if head is None:
            return before
    elif head is not None:
        if before is None:
            if head.generation == change.generation:
                return None
        else:
            merged = merge(after, before, head.content)
            if merged.content is not None:
                return merged.content
            names = tuple(part_name(change.name, part) for part in merged.clashes)
            raise Conflict(
                f"{', '.join(names)} changed again after change {change.generation}",
                current=head,
                parts=names,
                next_step="revert the later change first, or set it by hand",
            )
    raise Conflict(
        f"{change.name} changed again after change {change.generation}",
        current=head,
        next_step="revert the later change first",
    )
