"""Reads the header of a GGUF file: what the model is, and where each tensor would lie. Never a tensor's data.

Nothing that the file says is believed before it is checked against the bytes that are there: counts, lengths, types,
offsets. Whatever the file says, time and memory stay bounded by the limits below, which lie far above any real model.

Stricter than the format in one point: nested arrays, which it allows, are refused, as llama.cpp refuses them. What
llama.cpp's own reader demands (unique names, tensors back to back, four dimensions) is demanded here as well, so that a
file that passes is not refused later for its structure. A file that passes is well-formed; it may still hold nonsense.

Format: docs/gguf.md of github.com/ggml-org/ggml; rules and block sizes: ggml/src/gguf.cpp and gguf-py's constants of
github.com/ggml-org/llama.cpp, as of November 2026. The standard library only: `gguf_child` starts it in milliseconds.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from a4ps.errors import ModelFileBad

#: The limits. The largest headers known (vocabularies of 262,144 tokens with as many merges) are about 20 MB.
HEADER_BYTES = 256 * 2**20
MAX_KEYS = 10_000
MAX_TENSORS = 65_536
MAX_STRINGS = 2_000_000
KEPT_BYTES = 16 * 2**20
KEPT_ITEMS = 4096
KEY_CHARS = 256
#: llama.cpp's GGML_MAX_NAME and GGML_MAX_DIMS.
NAME_BYTES = 64
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32

#: Number of a tensor type → its name, elements a block, bytes a block.
TENSOR_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}
BLOCKS: Mapping[str, tuple[int, int]] = {name: (elements, size) for name, elements, size in TENSOR_TYPES.values()}

#: `llama_token_type` of llama.cpp's include/llama.h.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
_TOKENS, _TOKEN_TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"

_STRING, _ARRAY, _BOOL = 8, 9, 7
#: Number of a value type → its struct format. 8 is a string, 9 an array.
_SCALARS: Mapping[int, str] = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_U64 = struct.Struct("<Q")

Scalar: TypeAlias = bool | int | float | str
#: A file's first bytes: read, or mapped where the caller can live with SIGBUS if someone cuts the file meanwhile.
Head: TypeAlias = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class Omitted:
    """An array that was checked but not kept: of strings, or of more than `KEPT_ITEMS` numbers."""

    count: int


Value: TypeAlias = Scalar | tuple[int | float | bool, ...] | Omitted


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: `shape` in GGUF's order, a row's length first; `offset` from the start of the tensors' data."""

    name: str
    type: str
    shape: tuple[int, ...]
    size_bytes: int
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """A well-formed header. `expected_bytes` is where the last tensor ends; a file may be longer, never shorter."""

    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    expected_bytes: int
    file_bytes: int


def tensor_bytes(type_name: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor of that type and shape.

    Raises `ModelFileBad` for an unknown type, or rows that do not divide into the type's blocks.
    """
    if type_name not in BLOCKS:
        raise _bad(f"has tensors of a type that is not known here: {type_name[:40]!r}")
    elements, size = BLOCKS[type_name]
    if (shape[0] if shape else 1) % elements:
        raise _bad(f"has a {type_name} tensor whose rows of {shape[0]} elements are no multiple of {elements}")
    return math.prod(shape) // elements * size


def read_header(head: Head, file_bytes: int) -> Header:
    """Read the header at the start of `head`, which holds the file's first min(`file_bytes`, `HEADER_BYTES`) bytes or more.

    Raises `ModelFileBad` saying what is wrong; its message is a phrase that follows the file's name ("is cut: ...").
    """
    scan = _Scan(head, file_bytes)
    version = _version(scan)
    tensor_count, key_count = scan.u64("the number of tensors"), scan.u64("the number of keys")
    if key_count > MAX_KEYS:
        raise _bad(f"claims {key_count} keys; no model has more than {MAX_KEYS}")
    if tensor_count > MAX_TENSORS:
        raise _bad(f"claims {tensor_count} tensors; no model has more than {MAX_TENSORS}")
    metadata: dict[str, Value] = {}
    for number in range(key_count):
        key = scan.text(f"key {number + 1} of {key_count}")
        if not 0 < len(key) <= KEY_CHARS:
            raise _bad(f"has a key of {len(key)} characters; 1 to {KEY_CHARS} are possible")
        if key in metadata:
            raise _bad(f"has the key {key!r} twice")
        metadata[key] = _value(scan, key)
    alignment = _alignment(metadata)
    tensors: list[Tensor] = []
    names: set[str] = set()
    end = 0
    for number in range(tensor_count):
        tensor = _tensor(scan, f"tensor {number + 1} of {tensor_count}")
        if tensor.name in names:
            raise _bad(f"has the tensor {tensor.name!r} twice")
        if tensor.offset != _padded(end, alignment):
            raise _bad(
                f"puts the tensor {tensor.name!r} at {tensor.offset}; after the one before it comes "
                f"{_padded(end, alignment)}"
            )
        names.add(tensor.name)
        tensors.append(tensor)
        end = tensor.offset + tensor.size_bytes
    expected = _padded(scan.at, alignment) + end if tensors else scan.at
    if expected > file_bytes:
        raise _bad(f"is cut: it has {file_bytes} of {expected} bytes")
    return Header(version, metadata, tuple(tensors), expected, file_bytes)


def read_vocabulary(head: Head, file_bytes: int) -> tuple[tuple[str, int], ...]:
    """Each token's text and type, in the order of their numbers, from a `head` as `read_header` takes it.

    Types are llama.cpp's `llama_token_type`; without any in the file all are `NORMAL`. Empty where it has no tokens. Raises
    `ModelFileBad`.
    """
    scan = _Scan(head, file_bytes)
    _version(scan)
    scan.u64("the number of tensors")
    found: dict[str, _Scan] = {}
    for number in range(scan.u64("the number of keys")):
        key = scan.text(f"key {number + 1}")
        found[key] = _Scan(head, file_bytes, scan.at)
        _value(scan, key)
    texts = found[_TOKENS].strings(_TOKENS) if _TOKENS in found else ()
    types = found[_TOKEN_TYPES].integers(_TOKEN_TYPES) if _TOKEN_TYPES in found else (NORMAL,) * len(texts)
    if len(types) != len(texts):
        raise _bad(f"has {len(texts)} tokens and types for {len(types)}")
    return tuple(zip(texts, types, strict=True))


class _Scan:
    """A position in the head, and what was spent of the limits. Every step checks what is left before it reads."""

    def __init__(self, head: Head, file_bytes: int, at: int = 0) -> None:
        self._head = head
        self._end = min(len(head), file_bytes)
        self._whole = self._end == file_bytes
        self._strings = 0
        self._kept = 0
        self.at = at

    def take(self, count: int, what: str) -> int:
        """Where the next `count` bytes begin; moves past them."""
        start = self.at
        if count > self._end - start:
            raise self._short(what)
        self.at = start + count
        return start

    def raw(self, count: int, what: str) -> bytes:
        start = self.take(count, what)
        return self._head[start : start + count]

    def number(self, form: str, what: str) -> int | float | bool:
        packed = struct.Struct("<" + form)
        value: int | float | bool = packed.unpack_from(self._head, self.take(packed.size, what))[0]
        return value

    def u32(self, what: str) -> int:
        return int(self.number("I", what))

    def u64(self, what: str) -> int:
        return int(self.number("Q", what))

    def text(self, what: str) -> str:
        length = self.u64(f"the length of {what}")
        self._keep(length, what)
        return self.raw(length, what).decode("utf-8", "replace")

    def numbers(self, form: str, count: int, what: str) -> tuple[int | float | bool, ...] | Omitted:
        start = self.take(count * struct.calcsize("<" + form), what)
        if count > KEPT_ITEMS:
            return Omitted(count)
        self._keep(count * 32, what)
        return struct.unpack_from(f"<{count}{form}", self._head, start)

    def skip_strings(self, count: int, what: str) -> Omitted:
        self._strings += count
        if self._strings > MAX_STRINGS:
            raise _bad(f"claims {count} strings in {what}; no model has more than {MAX_STRINGS} in all")
        head, end, at = self._head, self._end, self.at
        for _ in range(count):
            if end - at < 8:
                raise self._short(what)
            at += 8 + _U64.unpack_from(head, at)[0]
        if at > end:
            raise self._short(what)
        self.at = at
        return Omitted(count)

    def strings(self, what: str) -> tuple[str, ...]:
        """An array of strings, which `_value` has passed before."""
        kind, of, count = self.u32(what), self.u32(what), self.u64(what)
        if (kind, of) != (_ARRAY, _STRING):
            raise _bad(f"has {what} that are no strings")
        found = []
        for _ in range(count):
            (length,) = _U64.unpack_from(self._head, self.take(_U64.size, what))
            found.append(self.raw(length, what).decode("utf-8", "replace"))
        return tuple(found)

    def integers(self, what: str) -> tuple[int, ...]:
        """An array of numbers, which `_value` has passed before, as integers."""
        kind, of, count = self.u32(what), self.u32(what), self.u64(what)
        if kind != _ARRAY or _SCALARS.get(of) not in tuple("BbHhIiQq"):
            raise _bad(f"has {what} that are no whole numbers")
        start = self.take(count * struct.calcsize("<" + _SCALARS[of]), what)
        return struct.unpack_from(f"<{count}{_SCALARS[of]}", self._head, start)

    def _keep(self, count: int, what: str) -> None:
        self._kept += count
        if self._kept > KEPT_BYTES and count <= self._end - self.at:
            raise _bad(f"keeps more than {KEPT_BYTES >> 20} MiB of text in its header, as no model does ({what})")

    def _short(self, what: str) -> ModelFileBad:
        if self._whole:
            return _bad(f"ends within {what}: it is cut, or a length in it is wrong")
        return _bad(f"has a header of more than {HEADER_BYTES >> 20} MiB ({what} lies beyond), as no model has")


def _version(scan: _Scan) -> int:
    magic = scan.raw(4, "its first four bytes")
    if magic != b"GGUF":
        known = {b"PK\x03\x04": "a zip archive", b"GGML": "an older GGML file", b"ggjt": "an older GGML file"}
        looks = known.get(magic, "a safetensors or other file")
        raise _bad(f"is no GGUF file but looks like {looks}: it begins with {magic!r}")
    version = scan.u32("its version")
    if version in (2, 3):
        return version
    if version & 0xFFFF == 0:
        raise _bad("is a GGUF file for machines of the other byte order")
    raise _bad(f"is a GGUF file of version {version}; versions 2 and 3 can be read")


def _value(scan: _Scan, key: str) -> Value:
    kind = scan.u32(f"the type of {key!r}")
    if kind == _STRING:
        return scan.text(repr(key))
    if kind in _SCALARS:
        return scan.number(_SCALARS[kind], repr(key))
    if kind != _ARRAY:
        raise _bad(f"gives {key!r} the type {kind}, which does not exist")
    of, count = scan.u32(f"the type of {key!r}'s items"), scan.u64(f"the number of {key!r}'s items")
    if of == _STRING:
        return scan.skip_strings(count, repr(key))
    if of in _SCALARS:
        return scan.numbers(_SCALARS[of], count, repr(key))
    raise _bad(f"has arrays within the array {key!r}" if of == _ARRAY else f"gives {key!r}'s items the type {of}")


def _alignment(metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 2**20 or value & (value - 1):
        raise _bad(f"asks for an alignment of {str(value)[:40]}, which is no power of two up to a mebibyte")
    return value


def _tensor(scan: _Scan, what: str) -> Tensor:
    name = scan.text(f"the name of {what}")
    if not name or len(name.encode()) >= NAME_BYTES:
        raise _bad(f"gives {what} a name of {len(name)} characters; it must have some, in less than {NAME_BYTES} bytes")
    dimensions = scan.u32(f"the dimensions of {name!r}")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise _bad(f"gives the tensor {name!r} {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are possible")
    shape = tuple(scan.u64(f"the shape of {name!r}") for _ in range(dimensions))
    if 0 in shape or math.prod(shape) >= 2**63:
        raise _bad(f"gives the tensor {name!r} an impossible shape: {' × '.join(map(str, shape))}")
    kind = scan.u32(f"the type of {name!r}")
    if kind not in TENSOR_TYPES:
        raise _bad(f"gives the tensor {name!r} the type {kind}, which is not known here")
    type_name = TENSOR_TYPES[kind][0]
    return Tensor(name, type_name, shape, tensor_bytes(type_name, shape), scan.u64(f"the place of {name!r}"))


def _padded(at: int, alignment: int) -> int:
    return -(-at // alignment) * alignment


def _bad(what: str) -> ModelFileBad:
    return ModelFileBad(what, next_step="fetch the file again, from where it was first published")
