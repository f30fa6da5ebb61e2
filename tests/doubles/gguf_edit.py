"""A GGUF file with another text under one of its keys, for models that a test needs and nobody trains.

Format: docs/gguf.md of github.com/ggml-org/ggml. Reads only what it must skip; good for well-formed files.
"""

from __future__ import annotations

import struct

_STRING, _ARRAY = 8, 9
#: Number of a value's type → its size in bytes.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_ALIGNMENT = 32


def with_text(model: bytes, key: str, text: str | None) -> bytes:
    """`model` whose string `key` is `text`, or which has no such key where `text` is None."""
    tensors, pairs = struct.unpack_from("<QQ", model, 8)
    kept: list[bytes] = []
    at = 24
    for _ in range(pairs):
        start = at
        name, at = _text(model, at)
        (kind,) = struct.unpack_from("<I", model, at)
        at = _after_value(model, at + 4, kind)
        if name != key:
            kept.append(model[start:at])
    if text is not None:
        kept.append(_packed(key) + struct.pack("<I", _STRING) + _packed(text))
    infos = at
    for _ in range(tensors):
        _, at = _text(model, at)
        (dimensions,) = struct.unpack_from("<I", model, at)
        at += 4 + 8 * dimensions + 4 + 8
    header = model[:16] + struct.pack("<Q", len(kept)) + b"".join(kept) + model[infos:at]
    return header + bytes(-len(header) % _ALIGNMENT) + model[at + -at % _ALIGNMENT :]


def _packed(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _text(model: bytes, at: int) -> tuple[str, int]:
    length = int.from_bytes(model[at : at + 8], "little")
    end = at + 8 + length
    return model[at + 8 : end].decode(), end


def _after_value(model: bytes, at: int, kind: int) -> int:
    if kind == _STRING:
        return _text(model, at)[1]
    if kind != _ARRAY:
        return at + _SIZES[kind]
    of = int.from_bytes(model[at : at + 4], "little")
    count = int.from_bytes(model[at + 4 : at + 12], "little")
    at += 12
    if of != _STRING:
        return at + count * _SIZES[of]
    for _ in range(count):
        _, at = _text(model, at)
    return at
