"""What llama.cpp is asked for one reply, and what its chunks mean: values in, values out, no model and no process.

xllamacpp takes the JSON of llama.cpp's own server (`/v1/chat/completions`); the keys beyond OpenAI's are explained here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from a4ps.inference.control_tokens import ControlTokens
from a4ps.inference.llamacpp_wire import Speak
from a4ps.inference.stepped_schema import stepped

#: Room for the marks around a thought ("<think>", "</think>", line breaks), which are a few tokens each.
MARK_TOKENS = 32


def chat_body(speak: Speak, *, loras: int, thinker: bool, marks: ControlTokens) -> dict[str, Any]:
    """The request. `loras` is how many the worker has; `thinker` whether the chat template knows of thinking.

    What messages say is text, whatever is in it: see `control_tokens`.

    A thinker has room for thoughts besides the reply, which the worker then bounds by counting: see `Reply`.
    """
    # A budget of 0 is not kept by llama.cpp where the template has opened the thought already; 1 ends it at once.
    budget = max(1, speak.think_tokens) if speak.think else 1
    body: dict[str, Any] = {
        "messages": [{"role": role, "content": marks.as_text(content)} for role, content in speak.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        # Reports before and while the prompt is read: the prompt's length before any work, and chances to stop it.
        "return_progress": True,
        "max_tokens": max(1, speak.max_tokens) + (budget + MARK_TOKENS if thinker else 0),
        "temperature": speak.temperature,
        "seed": speak.seed,
        "lora": [{"id": index, "scale": float(index == speak.lora)} for index in range(loras)],
    }
    if thinker:
        body["chat_template_kwargs"] = {"enable_thinking": speak.think}
        body["thinking_budget_tokens"] = budget
    if speak.schema:
        shape = {"name": "reply", "schema": stepped(json.loads(speak.schema))}
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    return body


@dataclass(slots=True)
class Reply:
    """Follows the chunks of one reply. `stop` says that nothing more may come: a limit is reached that is kept here.

    `most_text` bounds the reply's own tokens, `num_ctx` prompt and reply together. While the reply runs a piece counts as
    a token; the last chunk brings the exact numbers.
    """

    most_text: int
    num_ctx: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reason: str = ""
    too_long: bool = False
    stop: bool = False
    _texts: int = 0

    def read(self, chunk: Mapping[str, Any]) -> tuple[str, str]:
        """The thinking and the text that `chunk` brings: one of them, or neither."""
        choices = chunk["choices"]
        if not choices:
            usage = chunk["usage"]
            self.prompt_tokens, self.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
            return "", ""
        choice = choices[0]
        delta = choice["delta"]
        text = delta.get("content") or ""
        thought = delta.get("reasoning_content") or ""
        if text or thought:
            return self._count(thought, text)
        if choice["finish_reason"]:
            self.reason = choice["finish_reason"]
        elif "prompt_progress" in chunk:
            self.prompt_tokens = chunk["prompt_progress"]["total"]
            self.too_long = self.stop = self.prompt_tokens >= self.num_ctx
        return "", ""

    def _count(self, thought: str, text: str) -> tuple[str, str]:
        if text and self._texts >= self.most_text:
            self.reason, self.stop = "length", True
            return "", ""
        self._texts += bool(text)
        self.completion_tokens += 1
        if self.prompt_tokens + self.completion_tokens >= self.num_ctx:
            self.reason, self.stop = "length", True
        return thought, text
