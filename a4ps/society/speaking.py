"""One persona speaks once: a call of the engine becomes a contribution, streamed on the way.

With a shape the reply is JSON whose `say` field is what the persona says; it is streamed as it grows. A reply that does
not fit is asked for once more with the fault named; a second failure is the caller's to handle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from a4ps.clock import Clock
from a4ps.errors import EngineGarbled
from a4ps.image.turns import Contribution
from a4ps.inference.engine import (
    ChatRequest,
    Engine,
    Finished,
    Held,
    JsonSchema,
    Loading,
    Message,
    Text,
    Thinking,
)
from a4ps.inference.loop_guard import ENDED
from a4ps.inference.tokens import estimate_prompt
from a4ps.society.progress import (
    Began,
    Listener,
    LoadingModel,
    Noted,
    Restarted,
    Spoke,
    Thought,
    Token,
    WaitingForModel,
)

#: A model with a string field `say`. Its fields are generated in their order, so what is to be thought first comes first.
ShapeT = TypeVar("ShapeT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Spoken(Generic[ShapeT]):
    """A contribution, the shape it came in where one was asked for and given, and what the user was told about it."""

    contribution: Contribution
    shape: ShapeT | None
    notes: tuple[str, ...] = ()


class TooLate(Exception):
    """A call that may be left out had said nothing when its time was over."""


class _Unfit(Exception):
    """A reply that is not what was asked; the text says what is wrong with it, for the model to read."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """One call as it was heard. `cut` if it was ended for time."""

    text: str
    finished: Finished
    cut: bool = False


def _unmeasured(persona: str, text: str) -> None:
    """The figure of a speaker that measures no character."""
    del persona, text


@dataclass(frozen=True, slots=True)
class Speaker:
    """Asks `engine` on behalf of personas and tells `listener` what happens. Deadlines are on `clock.monotonic_s`.

    `character` measures how far a persona's text is from its codex. `calls_ms` grows by the wall time of each
    contribution, failed attempts included.
    """

    engine: Engine
    clock: Clock
    listener: Listener
    character: Callable[[str, str], float | None] = _unmeasured
    calls_ms: list[float] = field(default_factory=list)

    async def say(
        self, request: ChatRequest, *, deadline_s: float, round_: int = 1, optional: bool = False
    ) -> Spoken[BaseModel]:
        """Speak in plain text. Past the deadline the reply ends where it is.

        A call that has said nothing by then goes on until the engine's own deadlines, since a model may be loading; an
        `optional` one raises `TooLate`. Raises `PeerError`.
        """
        began = self._begin(request, round_)
        heard = await self._stream(request, deadline_s, optional)
        if not heard.text.strip():
            raise EngineGarbled(f"{request.model} answered {request.persona} with nothing")
        return Spoken(self._spoke(request, heard.text.strip(), (heard,), began), None, self._notes(request, (heard,)))

    async def say_shaped(
        self, request: ChatRequest, shape: type[ShapeT], *, deadline_s: float, round_: int = 1
    ) -> Spoken[ShapeT]:
        """Speak as JSON of `shape`, with one repair while there is time.

        Where that fails, `shape` is None and the text is what was said last, perhaps nothing. Raises `PeerError` where
        the engine itself fails.
        """
        began = self._begin(request, round_)
        request = replace(request, schema=_schema_of(shape))
        calls: list[_Heard] = []
        asked = request
        said = ""
        for attempt in (1, 2):
            try:
                heard = await self._stream(asked, deadline_s, optional=False)
                calls.append(heard)
                said = _spoken_part(heard.text) or said
                parsed = _parse(heard, shape)
            except (_Unfit, EngineGarbled) as fault:
                if attempt == 2 or self.clock.monotonic_s() > deadline_s:
                    break
                self.listener(Restarted(request.persona))
                asked = _ask_again(request, str(fault))
            else:
                spoken = self._spoke(request, _say(parsed), tuple(calls), began)
                return Spoken(spoken, parsed, self._notes(request, tuple(calls)))
        return Spoken(self._spoke(request, said.strip(), tuple(calls), began), None, self._notes(request, tuple(calls)))

    def _begin(self, request: ChatRequest, round_: int) -> float:
        self.listener(Began(request.persona, request.step, request.model, round_))
        return self.clock.monotonic_s()

    async def _stream(self, request: ChatRequest, deadline_s: float, optional: bool) -> _Heard:
        """Stream one call. Plain text is passed on as it comes, of JSON what grows in its spoken part."""
        whole = ""
        shown = ""
        pieces = 0
        begun = False
        spoken = _Growing() if request.schema is not None else None
        left_s = max(0.0, deadline_s - self.clock.monotonic_s())
        try:
            async with (
                asyncio.timeout(left_s if optional else None) as limit,
                aclosing(self.engine.stream(request)) as chunks,
            ):
                async for chunk in chunks:
                    if isinstance(chunk, Text):
                        text = chunk.text
                        whole += text
                        pieces += 1
                        if not begun and not optional and whole.strip():
                            begun = True
                            left_s = max(0.0, deadline_s - self.clock.monotonic_s())
                            limit.reschedule(asyncio.get_running_loop().time() + left_s)
                        if spoken is None:
                            self.listener(Token(request.persona, text))
                        elif (grown := spoken.after(whole, text)).startswith(shown) and len(grown) > len(shown):
                            self.listener(Token(request.persona, grown[len(shown) :]))
                            shown = grown
                        if self.clock.monotonic_s() > deadline_s and whole.strip():
                            return self._cut(request, whole, pieces)
                        continue
                    match chunk:
                        case Held(_, why):
                            self.listener(WaitingForModel(request.persona, why))
                        case Loading(model):
                            self.listener(LoadingModel(request.persona, model))
                        case Thinking(text):
                            self.listener(Thought(request.persona, text))
                        case Finished():
                            return _Heard(whole, chunk)
        except TimeoutError:
            if not whole.strip():
                raise TooLate from None
            return self._cut(request, whole, pieces)
        raise EngineGarbled(f"{self.engine.name} ended a stream without saying how")

    @staticmethod
    def _cut(request: ChatRequest, whole: str, pieces: int) -> _Heard:
        """What was heard of a call that was ended for time. The engine gave no counts, so the prompt's is estimated."""
        text = whole if request.schema is not None else whole.rstrip() + "…"
        return _Heard(text, Finished("length", estimate_prompt(request.messages), pieces), cut=True)

    def _notes(self, request: ChatRequest, calls: tuple[_Heard, ...]) -> tuple[str, ...]:
        """What the user should know of these calls; told to the listener as well."""
        notes = [note for call in calls for note in call.finished.notes]
        if calls and calls[-1].cut:
            notes.append(f"{request.persona} was cut short to keep the turn's time.")
        elif calls and calls[-1].finished.reason == "length" and not any(note.startswith(ENDED) for note in notes):
            notes.append(f"{request.persona} was cut off at {request.max_tokens} tokens (setting reply_tokens).")
        for note in notes:
            self.listener(Noted(note))
        return tuple(notes)

    def _spoke(self, request: ChatRequest, text: str, calls: tuple[_Heard, ...], began: float) -> Contribution:
        ms = round((self.clock.monotonic_s() - began) * 1000, 1)
        self.calls_ms.append(ms)
        contribution = Contribution(
            persona=request.persona,
            role=request.step,
            text=text,
            model=request.model,
            prompt_tokens=sum(call.finished.prompt_tokens for call in calls),
            completion_tokens=sum(call.finished.completion_tokens for call in calls),
            ms=ms,
            character=self.character(request.persona, text),
            shares=request.shares,
        )
        if text:
            self.listener(Spoke(contribution))
        return contribution


@cache
def _schema_of(shape: type[BaseModel]) -> JsonSchema:
    return shape.model_json_schema()


def _spoken_part(json_text: str) -> str:
    """The `say` field of JSON that may still be growing; "" while there is none."""
    if '"say"' not in json_text:  # cheaper than to parse what comes before it again at each word
        return ""
    try:
        value = from_json(json_text, allow_partial="trailing-strings")
    except ValueError:
        return ""
    said = value.get("say", "") if isinstance(value, dict) else ""
    return said if isinstance(said, str) else ""


class _Growing:
    """`_spoken_part` of JSON that grows piece by piece. While a piece can only be more of it, nothing is parsed."""

    def __init__(self) -> None:
        self._said = ""
        self._is_open = False

    def after(self, json_text: str, piece: str) -> str:
        """What is spoken in `json_text`, which ends with `piece` and has grown by it since the last call."""
        if self._is_open and piece.isprintable() and '"' not in piece and "\\" not in piece:
            self._said += piece
        else:
            self._said = _spoken_part(json_text)
            before = json_text.removesuffix(f'"{self._said}').rstrip()
            self._is_open = before.endswith(":") and before[:-1].rstrip().endswith('"say"') and bool(self._said)
        return self._said


def _say(shape: BaseModel) -> str:
    return str(getattr(shape, "say", "")).strip()


def _parse(heard: _Heard, shape: type[ShapeT]) -> ShapeT:
    if heard.finished.reason == "length":
        raise _Unfit("The reply was cut off because it was too long. Be much briefer.")
    try:
        parsed = shape.model_validate_json(heard.text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the reply"
        raise _Unfit(f"The reply did not have the shape asked for: {where}: {first['msg']}.") from error
    if not _say(parsed):
        raise _Unfit('The reply said nothing: "say" was empty.')
    return parsed


def _ask_again(request: ChatRequest, fault: str) -> ChatRequest:
    *earlier, last = request.messages
    return replace(
        request, messages=(*earlier, Message(last.role, f"{last.content}\n\n{fault} Reply again, as JSON only."))
    )
