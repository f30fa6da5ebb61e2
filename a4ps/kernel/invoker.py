"""How a live Proto asks a model: from whatever thread its method runs in, through the kernel's engine and loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from a4ps.clock import Clock
from a4ps.errors import CallerError
from a4ps.image.codex import Codex
from a4ps.inference.engine import ChatRequest, Engine, Message
from a4ps.personas.roster import BY_PROFILE
from a4ps.settings import Settings
from a4ps.society.progress import Progress
from a4ps.society.speaking import Speaker

STEP = "invoke"


class EngineInvoker:
    """`ProtoManager`'s invoker over an engine. Made on the event loop that the engine lives on."""

    def __init__(self, engine: Engine, settings: Settings, models: Mapping[str, str], clock: Clock) -> None:
        self._speaker = Speaker(engine, clock, _unheard)
        self._settings = settings
        self._models = models
        self._clock = clock
        self._loop = asyncio.get_running_loop()

    def invoke(self, name: str, codex: Codex, prompt: str) -> str:
        """The model's reply to `prompt` in the voice of `codex`. Blocks; raises `PeerError`.

        Raises `CallerError` on the engine's own event loop, which would wait for itself.
        """
        try:
            on_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            on_loop = False
        if on_loop:
            raise CallerError("invoke_llm blocks and was called on the event loop", next_step="call it from a thread")
        return asyncio.run_coroutine_threadsafe(self._say(name, codex, prompt), self._loop).result()

    async def _say(self, name: str, codex: Codex, prompt: str) -> str:
        settings = self._settings
        by_profile = self._models.get(name) or next(iter(self._models.values()))
        request = ChatRequest(
            model=by_profile if codex.model_name == BY_PROFILE else codex.model_name,
            messages=(Message("system", codex.system_prompt), Message("user", prompt)),
            persona=name,
            step=STEP,
            think=name in settings.think,
            num_ctx=settings.num_ctx,
            max_tokens=settings.reply_tokens,
            think_tokens=settings.think_tokens,
            temperature=codex.temperature,
        )
        deadline_s = self._clock.monotonic_s() + settings.turn_budget_s
        return (await self._speaker.say(request, deadline_s=deadline_s)).contribution.text


def _unheard(progress: Progress) -> None:
    del progress
