"""A society that wants a tool, behind an Ollama test server: who makes it says what a test gives it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.doubles.ollama.replies import Responder
from tests.doubles.ollama_server import OllamaServer, default_responder
from tests.tools.workshop import SLUG_SPEC, SLUG_TESTS, alfreds_reply


@dataclass
class ToolSociety:
    """What the models say: the plan wants a tool for `task`, and BRICK writes `texts` in turn, then the last again."""

    texts: list[str]
    task: str = "turn a title into a slug"
    say: str = "The slug first."

    def __call__(self, body: Mapping[str, Any]) -> str:
        asked = str(body["messages"][-1]["content"])
        wanted = body["format"].get("properties", {}) if isinstance(body.get("format"), Mapping) else {}
        if "contract" in wanted:
            return json.dumps(SLUG_SPEC)
        if "cases" in wanted:
            return alfreds_reply(SLUG_TESTS)
        if "tool" in wanted:
            known = "slugify(text" in asked
            wish = (
                {"tool": "slugify", "arguments": {"text": "Hello, World"}}
                if known
                else {"tool": "NEW", "task": self.task}
            )
            return json.dumps({"kind": "question", "say": self.say, "research": "slugs", "arguments": {}, **wish})
        if set(wanted) == {"text"}:
            return json.dumps({"text": "Hello, World"})
        if "```python" in asked:
            return f"```python\n{self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]}```"
        return default_responder(body)


@contextmanager
def serving(responder: Responder) -> Iterator[str]:
    """An Ollama test server in a thread of this process; yields its address."""
    started: list[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = []
    ready = threading.Event()

    async def serve() -> None:
        async with OllamaServer(responder=responder) as server:
            stop = asyncio.Event()
            started.append((server.url, asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    url, loop, stop = started[0]
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
