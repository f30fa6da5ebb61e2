"""What goes into the image and what comes out of it, and how a row's payload and text become one stored body.

A body is a flag byte and the content: payload length (4 bytes, big-endian), payload, text. The content is deflated where
that makes it shorter. A row's text mostly repeats its payload, so packing them together stores that text about once,
and the full-text index needs no copy of its own: it is contentless, and deleting from it takes the text out of the body.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from a4ps.errors import CallerError, IntegrityError

GONE_SUFFIX = "-gone"
"""A row of a kind with this behind it says that what its key named is there no longer."""

MAX_BODY_BYTES = 256 * 1024 * 1024
"""Far under SQLite's limit for a blob (1e9), and about what one commit may cost in memory."""

ORDINAL_BITS = 20
MAX_ROWS = 1 << ORDINAL_BITS
MAX_GENERATION = 1 << (62 - ORDINAL_BITS)
"""So that every place, and the one after it, fits SQLite's 64 bits; a number beyond it is damage."""

_LENGTH = struct.Struct(">I")
_PLAIN, _DEFLATED = b"\x00", b"\x01"
_WORTH_DEFLATING_BYTES = 512
"""A shorter content saves no page of the disk, and deflating it costs as much as signing it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """What a caller writes. `text` is what full-text search shall find; "" means that the row is not indexed.

    `at` is given where the row is older than the commit that brings it, as one taken over from another image.
    """

    kind: str
    key: str
    payload: bytes
    text: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row that was read and whose MAC was right. `ordinal` is its place within its commit.

    `forgotten` is the commit that forgot the rest of it, 0 where it is as it was written.
    """

    kind: str
    key: str
    payload: bytes
    generation: int
    at: datetime
    ordinal: int = 0
    forgotten: int = 0

    @property
    def place(self) -> int:
        """Orders all rows of an image."""
        return place_of(self.generation, self.ordinal)


@dataclass(frozen=True, slots=True)
class Commit:
    """One durable group of rows. `generation` counts from 1 without gaps; `id` is 16 random bytes."""

    generation: int
    id: bytes
    at: datetime
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class PackedRow:
    """A row ready to be signed and inserted. Packed by the caller's thread, so that the writer's has less to do."""

    kind: str
    key: str
    body: bytes
    text: str
    at_us: int | None = None


def pack(row: Row) -> PackedRow:
    """Check and encode one row; CallerError where a string cannot be stored or the body is too long."""
    if not row.kind:
        raise CallerError("a row needs a kind", next_step="give the row a kind such as 'turn'")
    check_text("kind", row.kind)
    check_text("key", row.key)
    check_text("text", row.text)
    content = b"".join((_LENGTH.pack(len(row.payload)), row.payload, row.text.encode()))
    if len(content) > MAX_BODY_BYTES:
        raise CallerError(
            f"the {row.kind} {row.key!r} has {len(content)} bytes, more than the {MAX_BODY_BYTES} that a row may have",
            next_step="store it in pieces, or as a file outside the image",
        )
    body = _PLAIN + content
    if len(content) >= _WORTH_DEFLATING_BYTES:
        deflated = zlib.compress(content, 1)
        if len(deflated) < len(content):
            body = _DEFLATED + deflated
    return PackedRow(row.kind, row.key, body, row.text, None if row.at is None else to_us(row.at))


def unpack(body: bytes) -> tuple[bytes, str]:
    """Payload and text of a body whose MAC was verified; called with anything else, it may raise what it likes."""
    content = zlib.decompress(body[1:]) if body[:1] == _DEFLATED else body[1:]
    end = _LENGTH.size + _LENGTH.unpack_from(content)[0]
    return content[_LENGTH.size : end], content[end:].decode()


def unpack_unverified(body: bytes) -> tuple[bytes, str]:
    """`unpack` for a body that nobody vouches for. Raises IntegrityError where `pack` cannot have made it."""
    content = body[1:]
    if body[:1] == _DEFLATED:
        inflating = zlib.decompressobj()
        try:
            content = inflating.decompress(content, MAX_BODY_BYTES)
        except zlib.error as error:
            raise IntegrityError(f"a row's body is damaged: {error}") from error
        if not inflating.eof or inflating.unused_data:
            raise IntegrityError("a row's body does not end where it should")
    elif body[:1] != _PLAIN:
        raise IntegrityError("a row's body begins with no flag")
    if len(content) < _LENGTH.size or _LENGTH.size + _LENGTH.unpack_from(content)[0] > len(content):
        raise IntegrityError("a row's body is cut short")
    end = _LENGTH.size + _LENGTH.unpack_from(content)[0]
    try:
        return content[_LENGTH.size : end], content[end:].decode()
    except UnicodeDecodeError as error:
        raise IntegrityError(f"a row's text is damaged: {error}") from error


def check_text(name: str, value: str) -> None:
    """CallerError where `value` is no text, or holds lone surrogates, which neither UTF-8 nor SQLite can carry."""
    if not isinstance(value, str):
        raise CallerError(f"the {name} is a text, not {type(value).__name__}", next_step="give a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CallerError(f"the {name} {value!r} is not valid Unicode", next_step="remove the broken characters") from (
            error
        )


def is_text(value: str) -> bool:
    """Whether a row can hold `value`: lone surrogates, as stand for odd bytes of a command line, are in none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def place_of(generation: int, ordinal: int) -> int:
    return generation << ORDINAL_BITS | ordinal


def generation_of(place: int) -> int:
    return place >> ORDINAL_BITS


def ordinal_of(place: int) -> int:
    return place & (MAX_ROWS - 1)


def to_us(at: datetime) -> int:
    """Whole microseconds since 1970; `at` must be aware."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def from_us(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)
