"""Where the words of a reply come from: a script today; whatever gives pieces for messages can stand behind the server."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from a4ps.inference.lexical import embed as lexical
from tests.doubles.schema_instance import instance

if TYPE_CHECKING:
    from tests.doubles.ollama.runners import Runner

#: One token: what kind of text it is, and the text.
Piece: TypeAlias = tuple[Literal["thinking", "content"], str]


@dataclass(frozen=True)
class End:
    """The last of a reply whose tokens were really counted, in the place of a count of its pieces."""

    reason: Literal["stop", "length"]
    tokens: int


#: From the body of a chat (its messages, options, format) to the reply's pieces. It may raise `BrokenTokenError`.
ReplySource: TypeAlias = Callable[[Mapping[str, Any]], AsyncIterator[Piece]]
#: The same for scripts: the whole reply at once, or (thinking, reply).
Responder: TypeAlias = Callable[[Mapping[str, Any]], "str | tuple[str, str]"]
#: More than so many equal pieces in a row end a reply, and nothing says so.
EQUAL_PIECES = 30
VECTOR_LENGTH = 192


class Brain(Protocol):
    """A real model behind the server, in the place of a `ReplySource` and of counted words. Told of loaded runners only."""

    async def count(self, runner: Runner, messages: list[dict[str, Any]]) -> int:
        """The tokens of the prompt that they make. Raises `RunnerDiedError`, as the others do."""
        ...

    def reply(self, runner: Runner, body: Mapping[str, Any]) -> AsyncGenerator[Piece | End, None]:
        """The reply, a piece a token as far as letters allow, then one `End`."""
        ...

    async def embed(self, runner: Runner, texts: list[str]) -> list[list[float]]:
        """A unit vector a text."""
        ...


class BrokenTokenError(Exception):
    """The model made bytes that are no UTF-8: Ollama ends such a reply without a last line."""


def default_responder(body: Mapping[str, Any]) -> str:
    """An instance of the schema where one is asked for, else sentences that quote the last user message."""
    if isinstance(body.get("format"), Mapping):
        return json.dumps(instance(body["format"]))
    asked = next((str(m.get("content") or "") for m in reversed(body["messages"]) if m.get("role") == "user"), "")
    words = " ".join(asked.split()[:8])
    return f"You ask: {words}. The plain reading holds up best. It would fail if its first premise fell."


def scripted(responder: Responder) -> ReplySource:
    """A source that gives what `responder` says, in pieces about as long as tokens."""

    async def pieces(body: Mapping[str, Any]) -> AsyncIterator[Piece]:
        said = responder(body)
        thinking, text = ("", said) if isinstance(said, str) else said
        for piece in split_tokens(thinking):
            yield "thinking", piece
        for piece in split_tokens(text):
            yield "content", piece

    return pieces


def split_tokens(text: str) -> list[str]:
    """Pieces about as long as tokens; joined, they are `text`."""
    return re.findall(r"\s*\S{1,5}|\s+", text)


def count_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    return 3 + sum(4 + count_words(str(m.get("content") or "")) for m in messages)


def count_words(text: str) -> int:
    return len(re.findall(r"\w{1,6}|[^\w\s]", text))


def vector(text: str, dimensions: int = 0) -> list[float]:
    """A unit vector of a text; shorter where `dimensions` says so."""
    folded = [0.0] * VECTOR_LENGTH
    for place, value in enumerate(lexical(text)):
        folded[place % VECTOR_LENGTH] += value
    kept: Sequence[float] = folded[: dimensions or VECTOR_LENGTH]
    length = math.sqrt(sum(value * value for value in kept))
    return [value / length for value in kept] if length else [1.0, *([0.0] * (len(kept) - 1))]
