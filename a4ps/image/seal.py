"""What is signed, with what, and in which order of bytes. Pure: no file, no clock, no SQLite.

Every MAC is HMAC-SHA256 with the image's key over length-prefixed parts that begin with the name of the record and the
id of the image, so no record can pass for another kind, another place or another image. Numbers are 8 bytes, signed.

    meta     format, created at
    row      generation, ordinal, at, kind, key, SHA-256(salt ‖ body)
    commit   previous MAC, generation, id, at, author, reason, row MACs in order
    witness  generation, MAC of that commit

A row is signed by the digest of its body: a row that has to be forgotten can later lose salt and body, keep the digest,
and leave the chain whole; the salt keeps a short body from being guessed from its digest. The commit's time is signed
with each row, so that reading one row proves its time without reading its whole commit.

This guards against damage, foreign files and replay; it does not guard against code that can read the key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

MAC_BYTES = 32


class Seal:
    """Signs and checks for one image. Immutable; used from any thread."""

    def __init__(self, key: bytes, image_id: bytes) -> None:
        self._key = key
        self._image_id = image_id

    def meta(self, format_version: int, created_us: int) -> bytes:
        return self._mac(b"a4ps meta 1", _number(format_version), _number(created_us))

    def row(self, generation: int, ordinal: int, at_us: int, kind: str, key: str, salt: bytes, body: bytes) -> bytes:
        digest = hashlib.sha256(salt + body).digest()
        numbers = _number(generation) + _number(ordinal) + _number(at_us)
        return self._mac(b"a4ps row 1", numbers, kind.encode(), key.encode(), digest)

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
        return self._mac(
            b"a4ps commit 1",
            previous_mac,
            _number(generation),
            commit_id,
            _number(at_us),
            author.encode(),
            reason.encode(),
            b"".join(row_macs),
        )

    def witness(self, generation: int, commit_mac: bytes) -> bytes:
        return self._mac(b"a4ps witness 1", _number(generation), commit_mac)

    def _mac(self, domain: bytes, *parts: bytes) -> bytes:
        message = b"".join(len(part).to_bytes(8, "big") + part for part in (domain, self._image_id, *parts))
        return hmac.digest(self._key, message, "sha256")


def same(left: bytes, right: bytes) -> bool:
    return hmac.compare_digest(left, right)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)
