"""One version of a Proto, and a whole image, as plain values: what travels between images.

Nothing here is live: methods are source, slots are the bytes of codec.py. How the values are written down is
portable.py's and text_export.py's to say; whether a method's author is believed is not decided here either.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]

from a4ps.errors import CallerError, ImageTooNew, IntegrityError

SNAPSHOT_FORMAT: Final = 1
TRUST: Final = "trust"
"""The kind of the records that say which texts were promoted: what a stranger's image never brings along."""

APPROVAL: Final = "approval"
KEPT: Final = "approval-kept"
"""The kinds of the records that say what the Architect agreed to, and to what for good."""

VOUCHED: Final = "vouched"
"""The kind of the records that say which memories and documents the Architect vouches for (memory/records.py)."""

ARCHITECTS_WORD: Final = frozenset({TRUST, APPROVAL, KEPT, VOUCHED})
"""Kinds of records that a stranger's image never brings along."""

PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class MethodSnapshot:
    """A method's text, who wrote it and why, and the slots that a sandboxed call of it gets and may change."""

    source: str
    author: str
    reason: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProtoSnapshot:
    """`codex` is JSON data; `slots` are the Proto's own, by name, as `codec.encode_slot` wrote them."""

    name: str
    codex: Mapping[str, object]
    parents: tuple[str, ...] = ()
    methods: Mapping[str, MethodSnapshot] = field(default_factory=dict)
    slots: Mapping[str, bytes] = field(default_factory=dict)

    def to_payload(self) -> bytes:
        """A MessagePack map of the fields; a method is [source, author, reads, writes, reason].

        Raises CallerError where the codex holds anything but JSON data with integers of at most 64 bits.
        """
        fields = {
            "format": SNAPSHOT_FORMAT,
            "name": self.name,
            "codex": self.codex,
            "parents": self.parents,
            "methods": {name: (m.source, m.author, m.reads, m.writes, m.reason) for name, m in self.methods.items()},
            "slots": self.slots,
        }
        try:
            return msgpack.packb(fields, default=_as_dict, unicode_errors="surrogatepass")  # type: ignore[no-any-return]
        except (TypeError, ValueError, OverflowError) as error:
            raise CallerError(
                f"the codex of {self.name} is not JSON data: {error}", next_step="keep other values in slots"
            ) from error

    @classmethod
    def from_payload(cls, payload: bytes) -> ProtoSnapshot:
        """The inverse, for bytes whose MAC was verified. Raises ImageTooNew, IntegrityError."""
        try:
            fields: dict[str, Any] = msgpack.unpackb(payload, unicode_errors="surrogatepass", strict_map_key=False)
            if fields["format"] > SNAPSHOT_FORMAT:
                raise ImageTooNew(
                    f"a Proto was written in format {fields['format']}; this A4PS knows up to {SNAPSHOT_FORMAT}",
                    next_step="update A4PS",
                )
            methods = {
                name: MethodSnapshot(source, author, reason, tuple(reads), tuple(writes))
                for name, (source, author, reads, writes, reason) in fields["methods"].items()
            }
            return cls(fields["name"], fields["codex"], tuple(fields["parents"]), methods, fields["slots"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise IntegrityError(
                f"the bytes of a Proto cannot be read: {error}", next_step="run: a4ps image verify --deep"
            ) from error


@dataclass(frozen=True, slots=True)
class PortableRecord:
    """A row of another kind than Protos: a turn, its reply. `text` is what full-text search shall find."""

    kind: str
    key: str
    payload: bytes
    at: datetime
    text: str = ""


@dataclass(frozen=True, slots=True)
class PortableImage:
    """All that an image holds. `history` has each Proto's changes, oldest first, as JSON objects; it is for reading.

    `python` is the version that wrote the opaque slots. `foreign`: nobody knows who wrote it, so what it says of taint is
    not believed (foreign.py).
    """

    created_at: datetime
    protos: Mapping[str, ProtoSnapshot]
    history: Mapping[str, tuple[Mapping[str, object], ...]] = field(default_factory=dict)
    records: tuple[PortableRecord, ...] = ()
    python: str = PYTHON
    foreign: bool = False


def _as_dict(value: object) -> dict[object, object]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"it holds {value!r:.60}")
