"""HTTP as Go's server speaks it: requests read, answers written, in the recorded order of headers. No Ollama in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Literal, TypeAlias

End: TypeAlias = Literal["chunked", "length", "none", "bare", "cut", "reset", "silence"]
Header: TypeAlias = tuple[str, str]

JSON = "application/json; charset=utf-8"
#: What answers of the streaming calls say when they are asked not to stream.
PLAIN_JSON = "application/json"
NDJSON = "application/x-ndjson"
PHRASES = {
    200: "OK", 201: "Created", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip
#: Go's net/http sends a length of its own accord up to this many bytes, and chunks what is longer.
GO_BUFFER_BYTES = 2048


@dataclass(frozen=True)
class Call:
    """One request as it arrived. `cut`: the client left, or closed its side, before the body was whole."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes = b""
    cut: bool = False

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None


@dataclass(frozen=True)
class Answer:
    """What to send. `pieces` are written one by one, each as a chunk of its own where `end` is not "length".

    `end`: the terminating chunk; a complete length; "none" as for HEAD, with the length that GET would have, "bare"
    without; "cut" closes without the terminating chunk; "reset" closes with RST; "silence" leaves the connection open
    until the client goes. `status` 0 sends no head. `after` is called once, however the answer ends.
    """

    status: int = 200
    headers: tuple[Header, ...] = ()
    pieces: Iterable[bytes] | AsyncIterator[bytes] = ()
    end: End = "length"
    after: Callable[[], None] | None = None


def play(response: Mapping[str, Any], *, end: End | None = None) -> Answer:
    """A recorded response as an answer; `end` overrides the recorded end ("reset" and "silence" were never recorded)."""
    pieces = []
    for line in response.get("lines", ()):
        text = line["text"] if "text" in line else json.dumps(line["json"], separators=(",", ":"), ensure_ascii=False)
        pieces.append((text + ("" if line.get("no_trailing_newline") else "\n")).encode())
    ends: dict[str, End] = {
        "terminating chunk": "chunked",
        "content-length complete": "length",
        "no body (HEAD)": "none",
        "CLIENT closed the connection": "silence",
        "PREMATURE eof: no terminating chunk": "cut",
        "eof before headers complete": "cut",
    }
    headers = tuple((name, value) for name, value in response.get("headers") or () if name != "Content-Length")
    return Answer(response.get("status") or 0, headers, tuple(pieces), end or ends[response["end"]])


async def read_call(reader: asyncio.StreamReader, ahead: bytes) -> Call | None:
    """The next request of a connection, None at its end. Raises `IncompleteReadError` for a head that is cut."""
    first = ahead + await reader.readline()
    if not first.strip():
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers = {}
    while (line := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    path = target.partition("?")[0]
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Call(method, path, headers, await _read_chunked(reader))
    try:
        raw, cut = await reader.readexactly(int(headers.get("content-length", 0))), False
    except asyncio.IncompleteReadError as exc:
        raw, cut = exc.partial, True
    return Call(method, path, headers, raw, cut)


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return bytes(body)


async def each(pieces: Iterable[bytes] | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(pieces, AsyncIterator):
        async for piece in pieces:
            yield piece
    else:
        for piece in pieces:
            yield piece


def head(answer: Answer, call: Call, framing: tuple[Header, ...]) -> bytes:
    """Go's order: the handler's headers, Date, then Content-Length before Connection, but Transfer-Encoding after it."""
    headers = list(answer.headers)
    names = {name for name, _ in headers}
    if "Date" not in names:
        headers.append(("Date", formatdate(usegmt=True)))
    close = [("Connection", "close")] if call.headers.get("connection", "").lower() == "close" else []
    rest = [*framing, *close] if framing and framing[0][0] == "Content-Length" else [*close, *framing]
    headers += [(name, value) for name, value in rest if name not in names]
    lines = [f"HTTP/1.1 {answer.status} {PHRASES.get(answer.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode(value: Mapping[str, Any]) -> bytes:
    """One line of NDJSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def json_answer(
    value: Mapping[str, Any],
    *,
    status: int = 200,
    extra: tuple[Header, ...] = (),
    head_only: bool = False,
    kind: str = JSON,
    end: End | None = None,
    newline: bool = False,
) -> Answer:
    """One object; in chunks where Go would. `extra[0]` goes before the content type, the rest after it."""
    body = encode(value) if newline else encode(value)[:-1]
    natural: End = "none" if head_only else ("chunked" if len(body) > GO_BUFFER_BYTES else "length")
    return Answer(status, (*extra[:1], ("Content-Type", kind), *extra[1:]), (body,), end or natural)


def error(status: int, text: str) -> Answer:
    return json_answer({"error": text}, status=status)


def early_error(status: int, text: str, *, chunked: bool = False) -> Answer:
    """An error at the head of what could have been a stream: another content type."""
    return json_answer({"error": text}, status=status, kind=PLAIN_JSON, end="chunked" if chunked else None)


def plain(
    status: int, text: str, extra: tuple[Header, ...] = (), *, kind: str = "text/plain", head_only: bool = False
) -> Answer:
    return Answer(status, (*extra, ("Content-Type", kind)), (text.encode(),), "none" if head_only else "length")


def parse(raw: bytes, into: str = "ChatRequest") -> dict[str, Any] | str:
    """The body, or the text of Go's complaint about it. What follows the first JSON value is ignored, as Go does."""
    text = raw.decode("utf-8", "replace")
    if not text:
        return "missing request body"
    try:
        body, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as exc:
        if exc.pos >= len(text.rstrip()):
            return "unexpected EOF"
        return f"invalid character '{text[exc.pos]}' looking for beginning of value"
    if not isinstance(body, dict):
        return f"json: cannot unmarshal {_go_kind(body)} into Go value of type api.{into}"
    for key, wanted, go in (
        ("messages", list, "[]api.Message"),
        ("stream", bool, "bool"),
        ("options", dict, "map[string]interface {}"),
        ("tools", list, "api.Tools"),
    ):
        if body.get(key) is not None and not isinstance(body[key], wanted):
            return f"json: cannot unmarshal {_go_kind(body[key])} into Go struct field {into}.{key} of type {go}"
    return body


def _go_kind(value: object) -> str:
    kinds = {list: "array", str: "string", bool: "bool", dict: "object"}
    return kinds.get(type(value), "number")
