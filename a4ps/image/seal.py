"""What is signed, with what, and in which order of bytes. Pure: no file, no clock, no SQLite.

Every MAC is HMAC-SHA256 with the image's key over length-prefixed parts that begin with the name of the record and the
id of the image, so no record can pass for another kind, another place or another image. Numbers are 8 bytes, signed.

    meta     format, created at
    row      generation, ordinal, at, kind, key, SHA-256(salt ‖ body)
    commit   previous MAC, generation, id, at, author, reason, row MACs in order
    witness  generation, MAC of that commit
    checkpoint  turn, type, SHA-256(content): a value in the cache, which is no part of the image

    forgotten row      generation, ordinal, at, kind, key, the row's MAC, the forgetting's generation, body
    forgotten words    the forgetting's generation, the commit's MAC, and the commit's parts as they now are

What is forgotten keeps the MAC that it had, so that the chain stays whole, and is signed anew with what is left of it and
with the commit that forgot it. The MAC it had says nothing of what is gone: a row's is over the digest of its body with a
salt, and the salt goes with the body. A row's time is signed with it, so that reading one row proves its time.

This guards against damage, foreign files and replay; it does not guard against code that can read the key.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable

MAC_BYTES = 32

_LENGTH = struct.Struct(">Q")
_META = struct.Struct(">QqQq")
_ROW = struct.Struct(">Qqqq")
_NUMBER = struct.Struct(">Qq")


class Seal:
    """Signs and checks for one image. Immutable; used from any thread."""

    def __init__(self, key: bytes, image_id: bytes) -> None:
        # Each record begins with the same bytes, so the HMAC over them is made once and copied.
        self._meta = _begun(key, b"a4ps meta 1", image_id)
        self._row = _begun(key, b"a4ps row 1", image_id)
        self._commit = _begun(key, b"a4ps commit 1", image_id)
        self._witness = _begun(key, b"a4ps witness 1", image_id)
        self._checkpoint = _begun(key, b"a4ps checkpoint 1", image_id)
        self._forgotten_row = _begun(key, b"a4ps forgotten row 1", image_id)
        self._forgotten_words = _begun(key, b"a4ps forgotten words 1", image_id)

    def meta(self, format_version: int, created_us: int) -> bytes:
        return _mac(self._meta, _META.pack(8, format_version, 8, created_us))

    def row(self, generation: int, ordinal: int, at_us: int, kind: str, key: str, salt: bytes, body: bytes) -> bytes:
        named, digest = _part(kind.encode()) + _part(key.encode()), hashlib.sha256(salt + body).digest()
        return _mac(self._row, _ROW.pack(24, generation, ordinal, at_us) + named + _part(digest))

    def commit(
        self,
        previous_mac: bytes,
        generation: int,
        commit_id: bytes,
        at_us: int,
        author: str,
        reason: str,
        row_macs: Iterable[bytes],
    ) -> bytes:
        return _mac(self._commit, _commit(previous_mac, generation, commit_id, at_us, author, reason, row_macs))

    def forgotten_row(
        self, generation: int, ordinal: int, at_us: int, kind: str, key: str, mac: bytes, forgotten: int, body: bytes
    ) -> bytes:
        """What makes a row the rest of one whose MAC was `mac`, by the commit `forgotten`."""
        named = _part(kind.encode()) + _part(key.encode()) + _part(mac) + _NUMBER.pack(8, forgotten)
        return _mac(self._forgotten_row, _ROW.pack(24, generation, ordinal, at_us) + named + _part(body))

    def forgotten_words(
        self,
        forgotten: int,
        mac: bytes,
        previous_mac: bytes,
        generation: int,
        commit_id: bytes,
        at_us: int,
        author: str,
        reason: str,
        row_macs: Iterable[bytes],
    ) -> bytes:
        """The same of a commit whose MAC was `mac` and which now says `author` and `reason`."""
        now = _commit(previous_mac, generation, commit_id, at_us, author, reason, row_macs)
        return _mac(self._forgotten_words, _NUMBER.pack(8, forgotten) + _part(mac) + now)

    def witness(self, generation: int, commit_mac: bytes) -> bytes:
        return _mac(self._witness, _NUMBER.pack(8, generation) + _part(commit_mac))

    def checkpoint(self, turn: str, kind: str, content: bytes) -> bytes:
        named = _part(turn.encode()) + _part(kind.encode())
        return _mac(self._checkpoint, named + _part(hashlib.sha256(content).digest()))


def same(left: bytes, right: bytes) -> bool:
    return hmac.compare_digest(left, right)


def _commit(
    previous_mac: bytes,
    generation: int,
    commit_id: bytes,
    at_us: int,
    author: str,
    reason: str,
    row_macs: Iterable[bytes],
) -> bytes:
    before = _part(previous_mac) + _NUMBER.pack(8, generation) + _part(commit_id) + _NUMBER.pack(8, at_us)
    words = _part(author.encode()) + _part(reason.encode())
    return before + words + _part(b"".join(row_macs))


def _begun(key: bytes, domain: bytes, image_id: bytes) -> hmac.HMAC:
    return hmac.new(key, _part(domain) + _part(image_id), "sha256")


def _mac(begun: hmac.HMAC, message: bytes) -> bytes:
    mac = begun.copy()
    mac.update(message)
    return mac.digest()


def _part(content: bytes) -> bytes:
    return _LENGTH.pack(len(content)) + content
