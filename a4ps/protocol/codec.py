"""Messages as MessagePack bytes and back. What comes in is bounded before it is built, and checked before it is used."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgpack  # type: ignore[import-untyped]
from pydantic import BaseModel, TypeAdapter, ValidationError

from a4ps.errors import ProtocolError
from a4ps.protocol.messages import (
    PROTOCOL_VERSION,
    Command,
    FromBackend,
    FromClient,
    Hello,
    Message,
    Published,
    Result,
)

#: A message of a client is no longer; a document is named by its path.
MAX_BYTES = 8_000_000
#: Entries of one array or map of a client's message, and how many arrays and maps there may be: each takes many times
#: its bytes once it is built.
MAX_ENTRIES, MAX_CONTAINERS = 1_000_000, 100_000
#: In a result, MessagePack's extension of this number is an integer beyond 64 bits: its bytes, signed, the highest first.
LONG_INTEGER = 1
#: What is told of a value that anybody may have sent.
_TOLD_CHARS = 200

AnyMessage = TypeVar("AnyMessage", bound=BaseModel)

_FROM_CLIENT: TypeAdapter[FromClient] = TypeAdapter(FromClient)
_FROM_BACKEND: TypeAdapter[FromBackend] = TypeAdapter(FromBackend)
_PUBLISHED: TypeAdapter[Published] = TypeAdapter(Published)


def encode(message: Message) -> bytes:
    """One frame. Raises `ProtocolError` for a value that MessagePack does not know."""
    try:
        plain = message.model_dump()
    except (ValueError, RecursionError) as error:  # nested too deeply
        raise _cannot_be_sent(error) from error
    return packed(plain, extended=isinstance(message, Result))


def packed(value: Any, *, extended: bool = False) -> bytes:
    """Plain data as MessagePack; `extended`: with long integers. Raises `ProtocolError`."""
    default = _extended if extended else None
    try:
        return cast("bytes", msgpack.packb(value, default=default, use_bin_type=True, unicode_errors="surrogatepass"))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _cannot_be_sent(error) from error


def checked(command: Command) -> Command:
    """The same, where it can be sent and is short enough to be taken. Raises `ProtocolError`."""
    _check_length(len(encode(command)))
    return command


def from_client(data: bytes) -> FromClient:
    """Raises `ProtocolError`, with the message's `key` in it where that can be told.

    Of a greeting in another version of the protocol only that is read, so that the answer can name both.
    """
    _check_length(len(data))
    value = _unpacked(data, bounded=True)
    if (other := _other_version(value)) is not None:
        return other
    return cast("FromClient", _validated(_FROM_CLIENT, value))


def from_backend(data: bytes) -> FromBackend:
    """Raises `ProtocolError`, with the message's `key`. The backend's answers may be as long as it likes."""
    return cast("FromBackend", _validated(_FROM_BACKEND, _unpacked(data, bounded=False)))


def published(data: bytes) -> Published:
    """Raises `ProtocolError`."""
    return cast("Published", _validated(_PUBLISHED, _unpacked(data, bounded=False)))


def explained(error: ValidationError) -> str:
    """What is wrong with a message, in a line and without its values: they may be anything."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "union_tag_invalid":  # whose message has the value in it
        return "unknown kind"
    where = readable(".".join(str(part)[:40] for part in first["loc"]))[:100]
    told = readable(str(first["msg"]))[:_TOLD_CHARS]
    return f"{where}: {told}" if where else told


def readable(text: str) -> str:
    """`text` as it can be sent and stored: what no encoding has becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _unpacked(data: bytes, *, bounded: bool) -> Any:
    """Plain data of one frame. Raises `ProtocolError` for what is no MessagePack or nested too deeply, and, `bounded`,
    for what would take far more memory than its bytes.
    """
    built = 0

    def counted(container: Any) -> Any:
        nonlocal built
        built += 1
        if built > MAX_CONTAINERS:
            raise ValueError(f"more than {MAX_CONTAINERS:,} arrays and maps")
        return container

    limits: dict[str, Any] = {"ext_hook": _integer}
    if bounded:
        limits = {
            "ext_hook": _nothing_else,
            "max_array_len": MAX_ENTRIES,
            "max_map_len": MAX_ENTRIES,
            "list_hook": counted,
            "object_hook": counted,
        }
    try:
        return msgpack.unpackb(data, raw=False, unicode_errors="surrogatepass", strict_map_key=True, **limits)
    except Exception as error:  # a decoder of bytes that anybody may have sent
        raise ProtocolError(f"no message: {type(error).__name__}", next_step="see PROTOCOL.md") from error


def _extended(value: object) -> msgpack.ExtType:
    if type(value) is not int:
        raise TypeError(f"a {type(value).__name__}")
    return msgpack.ExtType(LONG_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _integer(code: int, data: bytes) -> int:
    if code != LONG_INTEGER:
        raise ValueError(f"extension {code}")
    return int.from_bytes(data, "big", signed=True)


def _nothing_else(code: int, data: bytes) -> Any:
    raise ValueError(f"extension {code} of {len(data)} bytes")


def _check_length(length: int) -> None:
    if length > MAX_BYTES:
        raise ProtocolError(f"a message of {length:,} bytes; {MAX_BYTES:,} at most", next_step="see PROTOCOL.md")


def _other_version(value: Any) -> Hello | None:
    match value:
        case {"kind": "hello", "protocol": int(protocol)} if protocol != PROTOCOL_VERSION:
            package = value.get("package")
            told = readable(package)[:_TOLD_CHARS] if isinstance(package, str) else "another version"
            return Hello(protocol=int(protocol), package=told, client="", token="")
    return None


def _validated(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        key = value.get("key", "") if isinstance(value, dict) else ""
        raise ProtocolError(
            f"no message of this protocol: {explained(error)}",
            key=readable(key) if isinstance(key, str) and len(key) <= 64 else "",
            next_step="see PROTOCOL.md",
        ) from error


def _cannot_be_sent(error: Exception) -> ProtocolError:
    return ProtocolError(f"this cannot be sent: {readable(str(error))[:_TOLD_CHARS]}", next_step="see PROTOCOL.md")
