"""Plain typed data as bytes, between the host and a guest. Standard library only: the guest imports this file too.

Carries None, bool, int of any size, float, str, bytes, list, tuple, dict, set and frozenset of exactly these types, to
`DEPTH_MAX` levels, and the kinds of wire_kinds.py: what a Proto's state may hold. Reading builds nothing else, runs
nothing, and is bounded: what a guest sends was made by whoever wrote the code in it. A value is a tag byte, then a length
of four bytes where it has one, then its content; one of the further kinds is a tag and the tuple of its parts.
An alias comes back as two values, a cycle is refused.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

#: Levels of nesting, and values in all, that either side writes or reads.
DEPTH_MAX = 64
ITEMS_MAX = 1_000_000
#: Keys of one dict or set with the same hash. More are made on purpose: looking each up costs as many comparisons.
ALIKE_MAX = 64

LENGTH_BYTES = 4
_LENGTH = struct.Struct(">I")
_FLOAT = struct.Struct(">d")
_KINDS: tuple[tuple[bytes, type[Any]], ...] = (
    (b"l", list),
    (b"t", tuple),
    (b"e", set),
    (b"z", frozenset),
)
_TAGS = {kind: tag for tag, kind in _KINDS}
_BUILT = {tag[0]: kind for tag, kind in _KINDS}


class WireError(ValueError):
    """Bytes that are no value, or a value that cannot be sent; the text says where in it."""


def frame(body: bytes) -> bytes:
    """A body with its length before it."""
    return _LENGTH.pack(len(body)) + body


def frame_length(head: bytes) -> int:
    """The length that the first four bytes of a frame announce."""
    (length,) = _LENGTH.unpack(head)
    return int(length)


def encode(value: object, *, what: str = "the value") -> bytes:
    """Raises WireError, which calls the value `what`, for other types, deeper nesting, or text over 4 GB."""
    parts: list[bytes] = []
    _write(value, parts.append, what, 0)
    if len(parts) > 3 * ITEMS_MAX:
        raise WireError(f"{what} has more than {ITEMS_MAX} parts")
    return b"".join(parts)


def _write(value: Any, put: Any, where: str, depth: int) -> None:
    if value is None or value is True or value is False:
        put(b"N" if value is None else b"T" if value else b"F")
        return
    kind = type(value)
    if kind is str:
        _put_bytes(b"s", value.encode("utf-8", "surrogatepass"), put)
    elif kind is int:
        _put_bytes(b"i", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True), put)
    elif kind is float:
        put(b"f" + _FLOAT.pack(value))
    elif kind is bytes:
        _put_bytes(b"b", value, put)
    elif kind is dict or kind in _TAGS:
        if depth >= DEPTH_MAX:
            raise WireError(f"{where} is nested deeper than {DEPTH_MAX} levels")
        put((b"d" if kind is dict else _TAGS[kind]) + _LENGTH.pack(len(value)))
        if kind is dict:
            for key, item in value.items():
                _write(key, put, f"a key of {where}", depth + 1)
                _write(item, put, f"{where}[{key!r:.40}]" if depth < 3 else where, depth + 1)
        else:
            for index, item in enumerate(value):
                _write(item, put, f"{where}[{index}]" if depth < 3 else where, depth + 1)
    else:
        parts = _kinds().parts_of(value)
        if parts is None:
            raise WireError(f"{where} is a {kind.__module__}.{kind.__qualname__}, which is not plain data")
        put(b"k")
        _write(parts, put, where, depth)


def _put_bytes(tag: bytes, content: bytes, put: Any) -> None:
    if len(content) > 0xFFFFFFFF:
        raise WireError("a text or number of more than 4 GB")
    put(tag + _LENGTH.pack(len(content)))
    put(content)


def decode(body: bytes) -> Any:
    """The value of `body`. Raises WireError for anything that `encode` would not have written."""
    reader = _Reader(body)
    try:
        value = reader.value(0)
    except (struct.error, IndexError, UnicodeDecodeError, TypeError) as error:
        raise WireError(f"{len(body)} bytes are no value: {error}") from error
    if reader.at != len(body):
        raise WireError(f"{len(body) - reader.at} bytes after a value")
    return value


class _Reader:
    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self.left = ITEMS_MAX

    def value(self, depth: int) -> Any:
        tag = self.body[self.at]
        self.at += 1
        self.left -= 1
        if self.left < 0:
            raise WireError(f"more than {ITEMS_MAX} parts")
        if tag in b"NTF":
            return None if tag == 78 else tag == 84
        if tag == 102:
            (number,) = _FLOAT.unpack_from(self.body, self.at)
            self.at += _FLOAT.size
            return number
        if tag == 107:
            return self._other(depth)
        (length,) = _LENGTH.unpack_from(self.body, self.at)
        self.at += LENGTH_BYTES
        if tag in b"sib":
            content = self._bytes(length)
            if tag == 115:
                return content.decode("utf-8", "surrogatepass")
            return content if tag == 98 else int.from_bytes(content, "big", signed=True)
        if depth >= DEPTH_MAX:
            raise WireError(f"nested deeper than {DEPTH_MAX} levels")
        if length > len(self.body) - self.at:
            raise WireError(f"a container claims {length} items")
        if tag == 100:
            return self._dict(length, depth + 1)
        kind = _BUILT.get(tag)
        if kind is None:
            raise WireError(f"no kind of value has the tag {tag}")
        items = [self.value(depth + 1) for _ in range(length)]
        if kind is set or kind is frozenset:
            _check_alike(items)
        return items if kind is list else kind(items)

    def _other(self, depth: int) -> Any:
        # Only the tuple of its parts may follow: a tag after tags would nest without a level.
        if self.body[self.at] != 116:
            raise WireError("a kind of value without parts")
        parts = self.value(depth)
        try:
            return _kinds().made_of(parts)
        except ValueError as error:
            raise WireError(f"it holds {error}") from error

    def _dict(self, length: int, depth: int) -> dict[Any, Any]:
        keys, values = [], []
        for _ in range(length):
            keys.append(self.value(depth))
            values.append(self.value(depth))
        _check_alike(keys)
        return dict(zip(keys, values, strict=True))

    def _bytes(self, length: int) -> bytes:
        content = self.body[self.at : self.at + length]
        if len(content) != length:
            raise WireError("the bytes end before the value")
        self.at += length
        return content


def _kinds() -> Any:
    """Imported when the first value of such a kind comes by; most calls have none."""
    from a4ps.sandbox import wire_kinds

    return wire_kinds


def _check_alike(keys: list[Any]) -> None:
    """Refuse keys that were chosen to share one hash, before a dict compares each with all."""
    if len(keys) > ALIKE_MAX and max(Counter(map(hash, keys)).values()) > ALIKE_MAX:
        raise WireError("too many keys with one hash")
