"""Messages as MessagePack bytes and back. What comes in is bounded before it is built, and checked before it is used."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgpack  # type: ignore[import-untyped]
from pydantic import BaseModel, TypeAdapter, ValidationError

from a4ps.errors import ProtocolError
from a4ps.protocol.messages import FromBackend, FromClient, Message, Published

#: A message of a client is no longer; a document is named by its path.
MAX_BYTES = 8_000_000
#: Entries of one array or map, in either direction.
MAX_ENTRIES = 1_000_000

AnyMessage = TypeVar("AnyMessage", bound=BaseModel)

_FROM_CLIENT: TypeAdapter[FromClient] = TypeAdapter(FromClient)
_FROM_BACKEND: TypeAdapter[FromBackend] = TypeAdapter(FromBackend)
_PUBLISHED: TypeAdapter[Published] = TypeAdapter(Published)


def encode(message: Message) -> bytes:
    """One frame. Raises `ProtocolError` for a value that MessagePack does not know, such as an integer beyond 64 bits."""
    return packed(message.model_dump())


def packed(value: Any) -> bytes:
    """Plain data as MessagePack. Raises `ProtocolError`."""
    try:
        return cast("bytes", msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass"))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"this cannot be sent: {error}", next_step="see PROTOCOL.md") from error


def unpacked(data: bytes, *, bounded: bool = True) -> Any:
    """Plain data of one frame. Raises `ProtocolError` for what is no MessagePack, too long, or nested too deeply."""
    if bounded and len(data) > MAX_BYTES:
        raise ProtocolError(f"a message of {len(data):,} bytes; {MAX_BYTES:,} at most", next_step="see PROTOCOL.md")
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            unicode_errors="surrogatepass",
            strict_map_key=True,
            max_array_len=MAX_ENTRIES,
            max_map_len=MAX_ENTRIES,
        )
    except Exception as error:  # a decoder of bytes that anybody may have sent
        raise ProtocolError(f"no message: {type(error).__name__}", next_step="see PROTOCOL.md") from error


def from_client(data: bytes) -> FromClient:
    """Raises `ProtocolError`, with the message's `key` in it where that can be told."""
    return cast("FromClient", _validated(_FROM_CLIENT, data))


def from_backend(data: bytes) -> FromBackend:
    """Raises `ProtocolError`. The backend's answers may be as long as it likes."""
    return cast("FromBackend", _validated(_FROM_BACKEND, data, bounded=False))


def published(data: bytes) -> Published:
    """Raises `ProtocolError`."""
    return cast("Published", _validated(_PUBLISHED, data))


def explained(error: ValidationError) -> str:
    """What is wrong with a message, in a line and without its values: they may be anything."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:100]
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _validated(adapter: TypeAdapter[Any], data: bytes, *, bounded: bool = True) -> Any:
    value = unpacked(data, bounded=bounded)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        key = value.get("key", "") if isinstance(value, dict) else ""
        raise ProtocolError(
            f"no message of this protocol: {explained(error)}",
            key=key if isinstance(key, str) and len(key) <= 64 else "",
            next_step="see PROTOCOL.md",
        ) from error
