"""How the forge asks a persona: one call of the engine, as text or as JSON that is checked, with one repair."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import ValidationError

from a4ps.errors import EngineBroke, EngineGarbled, ToolRefused
from a4ps.image.codex import Codex
from a4ps.inference.calls import Who
from a4ps.inference.engine import ChatRequest, Engine, Finished, JsonSchema, Message, Text
from a4ps.personas import prompting

T = TypeVar("T")

#: A function and its thoughts are longer than what a persona says in a turn.
REPLY_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Voice:
    """With what a persona speaks: its codex, and the model's name."""

    codex: Codex
    model: str


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks `engine`; `voice` gives the persona's codex and model. `turn` is the turn that this belongs to, "" for none.

    `who` is on whose behalf: what can wait gives way to the Architect's turns.
    """

    engine: Engine
    voice: Callable[[str], Voice]
    num_ctx: int = 8192
    turn: str = ""
    who: Who = "architect"

    async def text(self, persona: str, step: str, **parts: str) -> str:
        """What `persona` says in `step`. Raises PeerError, EngineBroke where it was cut off for its length."""
        return await self._said(self._request(persona, step, None, parts))

    async def shaped(self, persona: str, step: str, schema: JsonSchema, read: Callable[[str], T], **parts: str) -> T:
        """What `read` makes of a reply of that schema.

        A ValidationError, ValueError, RecursionError or ToolRefused of `read` is told to the model once; the second is
        raised as EngineGarbled. Raises PeerError.
        """
        asked = request = self._request(persona, step, schema, parts)
        fault = ""
        for _ in range(2):
            try:
                return read(await self._said(asked))
            except ToolRefused as error:
                fault = f"{error.message} ({error.next_step})"
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                fault = f"{'.'.join(map(str, first['loc'])) or 'the reply'}: {first['msg']}"
            except RecursionError:
                fault = "the reply is nested too deeply"
            except (ValueError, EngineGarbled, EngineBroke) as error:
                fault = str(error)
            *earlier, last = request.messages
            again = Message(
                last.role, f"{last.content}\n\nThe last reply was refused: {fault}\nReply again, as JSON only."
            )
            asked = replace(request, messages=(*earlier, again))
        raise EngineGarbled(
            f"{persona} gave nothing that can be used: {fault}", next_step="try again, or another model"
        )

    def _request(self, persona: str, step: str, schema: JsonSchema | None, parts: dict[str, str]) -> ChatRequest:
        voice = self.voice(persona)
        return ChatRequest(
            model=voice.model,
            messages=prompting.speak_as(voice.codex, step, **parts),
            persona=persona,
            step=step,
            schema=schema,
            num_ctx=self.num_ctx,
            max_tokens=min(REPLY_TOKENS, self.num_ctx // 2),
            temperature=min(voice.codex.temperature, 0.4),
            turn=self.turn,
            who=self.who,
        )

    async def _said(self, request: ChatRequest) -> str:
        whole = ""
        async with aclosing(self.engine.stream(request)) as chunks:
            async for chunk in chunks:
                match chunk:
                    case Text(text):
                        whole += text
                    case Finished(reason="length"):
                        raise EngineBroke(
                            f"{request.persona} was cut off at {request.max_tokens} tokens", partial=whole
                        )
        return whole
