"""What the backend and a llama.cpp worker say to each other: typed messages, and how one is a frame of bytes.

A frame is a big-endian length of four bytes, then MessagePack: a list of the message's name and its fields in order.
Nothing is pickled, and each field is checked when read, as the worker has read a file that somebody else made: what it
sends is data, never an instruction. Pure: pipes are `llamacpp_process`'s and `llamacpp_worker`'s.

A worker's life: `Load` → `Ready`; then for each call `Speak` → `Began` → `Piece`… → `Ended`, or `Embed` → `Vectors`.
`Failed` may stand for any answer. `Cancel` ends a running `Speak` as "cancelled" and means nothing for one that ended.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgpack  # type: ignore[import-untyped]

#: The longest frame that either side accepts. A prompt of a million tokens is about 5 MB.
FRAME_BYTES = 64 * 2**20
LENGTH_BYTES = 4


class WireError(ValueError):
    """A frame that is none of these messages."""


@dataclass(frozen=True, slots=True)
class Load:
    """The first message to a worker, and the only `Load`. `memory_bytes` and `num_ctx` 0 mean no limit, the model's own."""

    base: str
    loras: tuple[str, ...]
    embedding: bool
    num_ctx: int
    threads: int
    gpu_layers: int
    memory_bytes: int
    nice: int


@dataclass(frozen=True, slots=True)
class Speak:
    """One reply. `messages` are pairs of role and content, `lora` an index into `Load.loras` or -1, `schema` JSON or ""."""

    call: int
    messages: tuple[tuple[str, ...], ...]
    lora: int
    schema: str
    think: bool
    think_tokens: int
    max_tokens: int
    num_ctx: int
    temperature: float
    seed: int


@dataclass(frozen=True, slots=True)
class Embed:
    """One vector for each text."""

    call: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop that call."""

    call: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Loaded. `num_ctx` is what the model really has; `vram_bytes` what loading took from the cards."""

    load_ms: float
    num_ctx: int
    vram_bytes: int


@dataclass(frozen=True, slots=True)
class Began:
    """The prompt was counted and fits; it is being read."""

    call: int
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the reply, or of the thinking before it."""

    call: int
    thinking: bool
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The reply is over. `completion_tokens` count thinking too."""

    call: int
    reason: Literal["stop", "length", "cancelled"]
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Vectors:
    """The answer to `Embed`."""

    call: int
    rows: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer, and why: the model would not load, the prompt does not fit, or llama.cpp refused the request."""

    call: int
    kind: Literal["load", "too_long", "refused"]
    text: str


Message: TypeAlias = Load | Speak | Embed | Cancel | Ready | Began | Piece | Ended | Vectors | Failed


def _shape_of(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, hints[field.name]) for field in fields(kind))


_KINDS: dict[str, tuple[type[Any], tuple[tuple[str, Any], ...]]] = {
    kind.__name__: (kind, _shape_of(kind)) for kind in get_args(Message)
}


def encode(message: Message) -> bytes:
    """One frame. Text that is no Unicode (lone surrogates) is sent with "?" in its place."""
    name = type(message).__name__
    values = (getattr(message, field) for field, _ in _KINDS[name][1])
    packed: bytes = msgpack.packb([name, *values], unicode_errors="replace")
    if len(packed) > FRAME_BYTES:
        raise WireError(f"a message of {len(packed)} bytes is too long")
    return struct.pack(">I", len(packed)) + packed


def frame_length(head: bytes) -> int:
    """The length of the body that follows these first four bytes. Raises `WireError` for one that is too long."""
    (length,) = struct.unpack(">I", head)
    if length > FRAME_BYTES:
        raise WireError(f"a frame claims {length} bytes")
    return int(length)


def decode(body: bytes) -> Message:
    """The message of a frame's body. Raises `WireError`."""
    try:
        parts = msgpack.unpackb(body, use_list=False)
        kind, shape = _KINDS[parts[0]]
    except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
        raise WireError(f"a frame of {len(body)} bytes is no message") from error
    values = parts[1:]
    if len(values) != len(shape) or not all(_fits(value, hint) for value, (_, hint) in zip(values, shape, strict=True)):
        raise WireError(f"a {parts[0]} has fields of the wrong kind")
    made: Message = kind(*values)
    return made


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return type(value) is str and value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    return type(value) is hint
