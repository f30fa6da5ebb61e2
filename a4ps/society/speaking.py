"""One persona speaks once: a call of the engine becomes a contribution, streamed on the way.

With a schema the reply is JSON whose `say` field is what the persona says; it is streamed as it grows. A reply that does
not fit is asked for once more with the fault named; a second failure is the caller's to handle.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cache
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from a4ps.clock import Clock
from a4ps.errors import EngineGarbled
from a4ps.image.turns import Contribution
from a4ps.inference.engine import ChatRequest, Engine, Finished, JsonSchema, Loading, Message, Text, Thinking
from a4ps.inference.tokens import estimate_prompt
from a4ps.society.progress import Began, Listener, LoadingModel, Noted, Restarted, Spoke, Thought, Token


class Shaped(BaseModel):
    """A reply with a shape. `say` is its spoken part."""

    say: str


ShapeT = TypeVar("ShapeT", bound=Shaped)


@dataclass(frozen=True, slots=True)
class Spoken(Generic[ShapeT]):
    """A contribution, and the shape it came in where one was asked for and given."""

    contribution: Contribution
    shape: ShapeT | None


class _Unfit(Exception):
    """A reply that is not what was asked; the text says what is wrong with it, for the model to read."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Asks `engine` on behalf of personas and tells `listener` what happens. `deadline_s` is on `clock.monotonic_s`."""

    engine: Engine
    clock: Clock
    listener: Listener

    async def say(self, request: ChatRequest, *, round_: int = 1, deadline_s: float | None = None) -> Contribution:
        """Speak in plain text. Past `deadline_s` the reply ends where it is and a note says so. Raises `PeerError`."""
        self.listener(Began(request.persona, request.step, request.model, round_))
        began = self.clock.monotonic_s()
        text, finished, cut = await self._stream(request, deadline_s)
        if not text.strip():
            raise EngineGarbled(
                f"{request.model} answered {request.persona} with nothing", next_step="a4ps ask --resume"
            )
        if cut:
            self.listener(Noted(f"{request.persona} was cut short to keep the turn's time."))
        elif finished.reason == "length":
            self.listener(
                Noted(f"{request.persona} was cut off at {request.max_tokens} tokens (setting reply_tokens).")
            )
        return self._spoke(request, text.strip(), (finished,), began)

    async def say_shaped(self, request: ChatRequest, shape: type[ShapeT], *, round_: int = 1) -> Spoken[ShapeT]:
        """Speak as JSON of `shape`, with one repair. Where that fails, `shape` is None and the text is what was said.

        Raises `PeerError` where the engine itself fails.
        """
        self.listener(Began(request.persona, request.step, request.model, round_))
        began = self.clock.monotonic_s()
        request = replace(request, schema=_schema_of(shape))
        calls: list[Finished] = []
        asked = request
        said = ""
        for attempt in (1, 2):
            try:
                text, finished, _ = await self._stream(asked)
                calls.append(finished)
                parsed = _parse(text, shape, finished)
            except (_Unfit, EngineGarbled) as fault:
                said = (_spoken_part(text) if isinstance(fault, _Unfit) else "") or said
                if attempt == 2:
                    break
                self.listener(Restarted(request.persona))
                asked = _ask_again(request, str(fault))
            else:
                return Spoken(self._spoke(request, parsed.say.strip(), tuple(calls), began), parsed)
        return Spoken(self._spoke(request, said.strip(), tuple(calls), began), None)

    async def _stream(self, request: ChatRequest, deadline_s: float | None = None) -> tuple[str, Finished, bool]:
        """Stream one call. Plain text is passed on as it comes, of JSON what grows in its spoken part.

        Returns the text, its end, and whether it was cut for time.
        """
        whole = ""
        shown = ""
        pieces = 0
        spoken = _spoken_part if request.schema is not None else None
        async with aclosing(self.engine.stream(request)) as chunks:
            async for chunk in chunks:
                match chunk:
                    case Text(text):
                        whole += text
                        pieces += 1
                        if spoken is None:
                            self.listener(Token(request.persona, text))
                        elif (grown := spoken(whole)).startswith(shown) and len(grown) > len(shown):
                            self.listener(Token(request.persona, grown[len(shown) :]))
                            shown = grown
                        if deadline_s is not None and self.clock.monotonic_s() > deadline_s and whole.strip():
                            return (
                                whole.rstrip() + "…",
                                Finished("length", estimate_prompt(request.messages), pieces),
                                True,
                            )
                    case Loading(model):
                        self.listener(LoadingModel(request.persona, model))
                    case Thinking(text):
                        self.listener(Thought(request.persona, text))
                    case Finished(notes=notes):
                        for note in notes:
                            self.listener(Noted(note))
                        return whole, chunk, False
        raise EngineGarbled(f"{self.engine.name} ended a stream without saying how")

    def _spoke(self, request: ChatRequest, text: str, calls: tuple[Finished, ...], began: float) -> Contribution:
        contribution = Contribution(
            persona=request.persona,
            role=request.step,
            text=text,
            model=request.model,
            prompt_tokens=sum(call.prompt_tokens for call in calls),
            completion_tokens=sum(call.completion_tokens for call in calls),
            ms=round((self.clock.monotonic_s() - began) * 1000, 1),
        )
        if text:
            self.listener(Spoke(contribution))
        return contribution


@cache
def _schema_of(shape: type[Shaped]) -> JsonSchema:
    return shape.model_json_schema()


def _spoken_part(json_text: str) -> str:
    """The `say` field of JSON that may still be growing; "" while there is none."""
    try:
        value = from_json(json_text, allow_partial="trailing-strings")
    except ValueError:
        return ""
    said = value.get("say", "") if isinstance(value, dict) else ""
    return said if isinstance(said, str) else ""


def _parse(text: str, shape: type[ShapeT], finished: Finished) -> ShapeT:
    if finished.reason == "length":
        raise _Unfit("The reply was cut off because it was too long. Be much briefer.")
    try:
        parsed = shape.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the reply"
        raise _Unfit(f"The reply did not have the shape asked for: {where}: {first['msg']}.") from error
    if not parsed.say.strip():
        raise _Unfit('The reply said nothing: "say" was empty.')
    return parsed


def _ask_again(request: ChatRequest, fault: str) -> ChatRequest:
    *earlier, last = request.messages
    return replace(
        request, messages=(*earlier, Message(last.role, f"{last.content}\n\n{fault} Reply again, as JSON only."))
    )
