"""The instructions of pickle that an encoded value may contain, and the check that it contains no other.

`pickle.Unpickler` asks `find_class` before it touches a name, but offers no say in the rest: BUILD sets attributes of
whatever lies on the stack, and LONG_BINPUT with a great index makes it clear gigabytes of memory. Both are absent
from what plain.py writes, so the bytes are read once, by a compiled pattern, before they are loaded.

Nothing here knows what a value means. Not covered: the depth of tuples, which the interpreter walks recursively when a
tuple is hashed.
"""

from __future__ import annotations

import pickle
import re

from a4ps.errors import IntegrityError

_HEADER = pickle.PROTO + b"\x05"
_ALONE = (
    pickle.NONE,
    pickle.NEWTRUE,
    pickle.NEWFALSE,
    pickle.EMPTY_LIST,
    pickle.APPEND,
    pickle.APPENDS,
    pickle.EMPTY_TUPLE,
    pickle.TUPLE,
    pickle.TUPLE1,
    pickle.TUPLE2,
    pickle.TUPLE3,
    pickle.EMPTY_DICT,
    pickle.SETITEM,
    pickle.SETITEMS,
    pickle.EMPTY_SET,
    pickle.ADDITEMS,
    pickle.FROZENSET,
    pickle.MARK,
    pickle.POP,
    pickle.POP_MARK,
    pickle.MEMOIZE,
    pickle.STACK_GLOBAL,
    pickle.REDUCE,
)
_COUNTED = {
    pickle.BINUNICODE[0]: 4,
    pickle.BINBYTES[0]: 4,
    pickle.LONG4[0]: 4,
    pickle.BINUNICODE8[0]: 8,
    pickle.BINBYTES8[0]: 8,
    pickle.BYTEARRAY8[0]: 8,
}
"""Instructions followed by a little-endian length of so many bytes and as many bytes of content."""


_LENGTHS = b"|".join(re.escape(bytes([length])) + b".{%d}" % length for length in range(256))
_RUN = re.compile(
    b"(?:[" + re.escape(pickle.SHORT_BINUNICODE + pickle.SHORT_BINBYTES + pickle.LONG1) + b"](?:" + _LENGTHS + b")"
    + re.escape(pickle.MEMOIZE) + b"?"
    b"|[" + re.escape(b"".join(_ALONE)) + b"]++"
    b"|[" + re.escape(pickle.BININT1 + pickle.BINGET) + b"]."
    b"|" + re.escape(pickle.BININT2) + b".."
    b"|[" + re.escape(pickle.BININT + pickle.LONG_BINGET) + b"].{4}"
    b"|[" + re.escape(pickle.BINFLOAT + pickle.FRAME) + b"].{8}"
    b")*+",
    re.DOTALL,
)  # fmt: skip


def check(data: bytes, start: int) -> None:
    """Raise IntegrityError unless `data[start:]` is one pickle 5 stream of allowed instructions, and no more.

    Takes about as long as loading the same bytes. Whether the names it asks for may be had is find_class's to say.
    """
    if data[start : start + len(_HEADER)] != _HEADER:
        raise IntegrityError("this is not a pickle of protocol 5")
    at = start + len(_HEADER)
    end = len(data) - 1
    while at < end:
        run = _RUN.match(data, at)
        at = run.end() if run else at
        if at >= end:
            break
        width = _COUNTED.get(data[at])
        if width is None:
            raise IntegrityError(f"byte {at} is the instruction {data[at]:#04x}, which no stored value contains")
        at += 1 + width + int.from_bytes(data[at + 1 : at + 1 + width], "little")
    if at != end or data[end] != pickle.STOP[0]:
        raise IntegrityError("the stored value is cut short or goes on after its end")
