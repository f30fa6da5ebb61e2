"""Pickles of any depth, without recursion: a worklist that writes the same protocol-5 stream as the C pickler.

`pickle.Pickler` descends by recursion and gives up at a depth of a few hundred; raising the interpreter's limit would
let a long chain overflow the C stack and kill the process. Loading needs no counterpart, because the Unpickler is a
stack machine. Some thirty times slower than C: for what C cannot take.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Collection, Iterator
from typing import Any

_Steps = Iterator[object]


class DeepPickler:
    """Writes one value. `reduce` is what the C pickler's `reducer_override` would be: a name, or a tuple of 2 or 6."""

    def __init__(self, reduce: Callable[[object], str | tuple[Any, ...]], module: str) -> None:
        """`module` is where the names that `reduce` gives are found."""
        self._reduce = reduce
        self._module = module
        self._out = bytearray(pickle.PROTO + b"\x05")
        self._memo: dict[int, int] = {}
        self._kept: list[object] = []

    def dumps(self, value: object) -> bytes:
        """Raises what `reduce` raises. Call once."""
        steps: list[_Steps] = [self._save(value)]
        while steps:
            try:
                child = next(steps[-1])
            except StopIteration:
                steps.pop()
            else:
                if not self._wrote_at_once(child):
                    steps.append(self._save(child))
        return bytes(self._out + pickle.STOP)

    def _wrote_at_once(self, value: object) -> bool:
        """Write `value` if it is an atom or was met before."""
        kind = type(value)
        if value is None:
            self._out += pickle.NONE
        elif kind is bool:
            self._out += pickle.NEWTRUE if value else pickle.NEWFALSE
        elif isinstance(value, int) and kind is int:
            self._out += _int(value)
        elif kind is float:
            self._out += pickle.BINFLOAT + struct.pack(">d", value)
        elif id(value) in self._memo:
            self._out += pickle.LONG_BINGET + struct.pack("<I", self._memo[id(value)])
        elif isinstance(value, str) and kind is str:
            self._counted(pickle.BINUNICODE8, value.encode("utf-8", "surrogatepass"), value)
        elif isinstance(value, bytes) and kind is bytes:
            self._counted(pickle.BINBYTES8, value, value)
        elif isinstance(value, bytearray) and kind is bytearray:
            self._counted(pickle.BYTEARRAY8, value, value)
        else:
            return False
        return True

    def _save(self, value: object) -> _Steps:
        if self._wrote_at_once(value):
            return
        kind = type(value)
        if isinstance(value, list) and kind is list:
            yield from self._filled(pickle.EMPTY_LIST, value, value, pickle.APPENDS)
        elif isinstance(value, dict) and kind is dict:
            yield from self._filled(pickle.EMPTY_DICT, value, _alternating(value), pickle.SETITEMS)
        elif isinstance(value, set) and kind is set:
            yield from self._filled(pickle.EMPTY_SET, value, value, pickle.ADDITEMS)
        elif isinstance(value, tuple) and kind is tuple:
            yield from self._closed(value, value, pickle.TUPLE)
        elif isinstance(value, frozenset) and kind is frozenset:
            yield from self._closed(value, value, pickle.FROZENSET)
        else:
            yield from self._reduced(value, self._reduce(value))

    def _filled(self, empty: bytes, value: object, content: Collection[object] | _Steps, end: bytes) -> _Steps:
        """A container that exists before its content, so the content may refer to it."""
        self._out += empty
        self._memoize(value)
        self._out += pickle.MARK
        yield from content
        self._out += end

    def _closed(self, value: object, content: Collection[object], end: bytes) -> _Steps:
        """A container made from its content; where the content leads back to it, it was written on the way."""
        self._out += pickle.MARK
        yield from content
        if id(value) in self._memo:
            self._out += pickle.POP_MARK
            self._wrote_at_once(value)
        else:
            self._out += end
            self._memoize(value)

    def _reduced(self, value: object, reduction: str | tuple[Any, ...]) -> _Steps:
        if isinstance(reduction, str):
            yield self._module
            yield reduction
            self._out += pickle.STACK_GLOBAL
            self._memoize(value)
            return
        self._kept.append(reduction)
        maker, arguments, *rest = reduction
        yield maker
        yield arguments
        self._out += pickle.REDUCE
        self._memoize(value)
        if rest:
            state, _, _, setter = rest
            yield setter
            yield value
            yield state
            self._out += pickle.TUPLE2 + pickle.REDUCE + pickle.POP

    def _counted(self, instruction: bytes, content: bytes | bytearray, value: object) -> None:
        self._out += instruction + struct.pack("<Q", len(content)) + content
        self._memoize(value)

    def _memoize(self, value: object) -> None:
        self._memo[id(value)] = len(self._memo)
        self._kept.append(value)
        self._out += pickle.MEMOIZE


def _alternating(mapping: dict[object, object]) -> _Steps:
    for key, value in mapping.items():
        yield key
        yield value


def _int(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return pickle.BININT + struct.pack("<i", value)
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return pickle.LONG4 + struct.pack("<I", len(content)) + content
