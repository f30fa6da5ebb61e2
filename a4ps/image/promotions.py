"""The promotions of one image: rows of the kind `trust`, and what of them is in force, for readers without a lock.

A row's key is the digest of the text. Its payload is JSON:

    format       1
    level        "sandboxed", "granted" or "in-process"
    folders      absolute paths, where the level is "granted"
    writable     those of them that may be written to; absent in records of before there were such
    by, reason   of the promotion
    at           ISO 8601 with a time zone
    text_author  who wrote the text

The newest row of a digest is in force. Such rows are content like a turn's: the portable file carries them, being signed
by a key of ours, and so does a backup; loading one brings the promotions back as they were then, also those withdrawn
since. A text export has none and cannot bring any (text_export.py); importing one therefore ends those that there were.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType

from a4ps.errors import CallerError, ImageTooNew, IntegrityError, PromotionRefused
from a4ps.governance.trust import ARCHITECT, Level, Trust, level_named, needs_promotion
from a4ps.image.rows import Row
from a4ps.image.snapshot import ARCHITECTS_WORD, TRUST, PortableRecord
from a4ps.image.store import Store

TRUST_FORMAT = 1

_NONE: Mapping[str, Trust] = MappingProxyType({})


class Promotions:
    """Reads and writes the promotions of one open store. Used from any thread."""

    def __init__(self, store: Store) -> None:
        """Knows of none before the first `refresh`."""
        self._store = store
        self._reading = threading.Lock()
        self._takeovers = 0
        self.in_force: Mapping[str, Trust] = _NONE
        """Digest → newest record, a withdrawal as well; replaced as a whole, never changed."""

    def refresh(self) -> None:
        """Read what is in force anew. Raises as the store, and ImageTooNew; then nothing is in force."""
        # Read and put in place under one lock, so that no earlier reading comes after a later one.
        with self._reading:
            try:
                rows = self._store.newest(TRUST, limit=sys.maxsize)
                self.in_force = {row.key: unpack_trust(row.key, row.payload) for row in rows}
            except BaseException:
                self.in_force = _NONE
                raise

    def promote(
        self,
        digest: str,
        authors: Collection[str],
        level: Level,
        folders: Iterable[str],
        by: str,
        reason: str,
        writable: Iterable[str] = (),
    ) -> Trust:
        """See `ProtoManager.promote`; `authors` are those of the methods that have this text.

        Where the store says that the outcome is not known, what was in force stays until it is.
        """
        at = self._store.clock.now()
        author = self._author_of(digest, authors)
        named = tuple(dict.fromkeys(folders))
        trust = Trust(digest, level, named, by, reason, at, author, tuple(dict.fromkeys(writable)))
        what = f"promote {digest[:12]} to {level}"
        row = Row(TRUST, digest, pack_trust(trust))
        self._store.commit([row], author=by, reason=f"{what}: {reason}" if reason else what)
        self.refresh()
        return trust

    def history(self) -> list[Trust]:
        """Every promotion that was ever recorded, oldest first, whether it is in force or not."""
        rows = [row for digest in self._store.heads(TRUST) for row in self._store.past(TRUST, digest)]
        return [unpack_trust(row.key, row.payload) for row in sorted(rows, key=lambda row: row.place)]

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Around a commit that may replace the whole content: nothing is in force from then until it is read anew."""
        with self._reading:
            self._takeovers += 1
        try:
            yield
        finally:
            with self._reading:
                self._takeovers -= 1
            self.refresh()

    def heads_changed(self) -> None:
        """Called by the writer's thread before readers see other Protos; neither waits nor raises."""
        # The content's promotions are not read yet, and those of the content before are not for its texts.
        if self._takeovers:
            self.in_force = _NONE

    def _author_of(self, digest: str, authors: Collection[str]) -> str:
        """Who wrote a text that is to be promoted. Raises PromotionRefused where it is unknown or needs no promotion."""
        if digest in self.in_force:
            return self.in_force[digest].text_author
        if not authors:
            raise PromotionRefused(
                f"no method here has the text {ascii(digest)[:70]}", next_step="give the method itself, or its digest"
            )
        others = sorted(filter(needs_promotion, authors))
        if not others:
            raise PromotionRefused(
                f"the text is by the {min(authors) or 'holder of a draft'} and runs in this process unpromoted",
                next_step="forget the method, or define it anew, to be rid of it",
            )
        return others[0]


def check_records(records: Iterable[PortableRecord], author: str) -> None:
    """Whether `author` may bring the promotions, approvals and vouchings among `records` into an image.

    Raises PromotionRefused where they are not the Architect's to bring, CallerError where one is no promotion.
    """
    for record in records:
        if record.kind in ARCHITECTS_WORD and record.kind != TRUST and author != ARCHITECT:
            raise PromotionRefused(
                f"{author} cannot bring the architect's word into an image",
                next_step="only the architect can load this",
            )
        if record.kind != TRUST:
            continue
        try:
            trust = unpack_trust(record.key, record.payload)
        except IntegrityError as error:
            raise CallerError(error.message, next_step="take it out of the file") from error
        if trust.level is not Level.SANDBOXED and author != ARCHITECT:
            raise PromotionRefused(
                f"{author} cannot bring promotions into an image", next_step="only the architect can load this"
            )


def pack_trust(trust: Trust) -> bytes:
    fields = {
        "format": TRUST_FORMAT,
        "level": trust.level,
        "folders": trust.folders,
        "by": trust.by,
        "reason": trust.reason,
        "at": trust.at.isoformat(),
        "text_author": trust.text_author,
        **({"writable": trust.writable} if trust.writable else {}),
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def unpack_trust(digest: str, payload: bytes) -> Trust:
    """The inverse, for a payload whose row was verified. Raises ImageTooNew, IntegrityError."""
    try:
        fields = json.loads(payload)
        if fields["format"] > TRUST_FORMAT:
            raise ImageTooNew(
                f"a promotion was written in format {fields['format']}; this A4PS knows up to {TRUST_FORMAT}",
                next_step="update A4PS",
            )
        return Trust(
            digest,
            level_named(fields["level"]),
            tuple(fields["folders"]),
            fields["by"],
            fields["reason"],
            datetime.fromisoformat(fields["at"]),
            fields["text_author"],
            tuple(fields.get("writable", ())),
        )
    except (ValueError, TypeError, KeyError, PromotionRefused) as error:
        raise IntegrityError(
            f"the promotion of {ascii(digest)[:70]} cannot be read: {error}",
            next_step="run: a4ps image verify --deep, then: a4ps image restore FILE",
        ) from error
