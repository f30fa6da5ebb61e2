"""The process behind a runner of the test server: `tiny_child KIND CONTEXT BASE [LORA]`, a real model in llama.cpp.

Lines of JSON. In: {"id", "chat": a request of llama.cpp's} · {"id", "count": the same} · {"id", "embed": texts} ·
{"stop": id}. Out, all with their id: {"piece": text} any number of times, then one of {"end": reason, "tokens": n},
{"counted": n}, {"vectors": rows}, {"failed": text}; before all else {"id": 0, "end": "stop"}, when the model is loaded. It
ends with its stdin.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from tests.models.trial import Trial


class _Voice:
    """Serves one request after another on a thread of its own; `stopped` is the id of the one that is to end."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.stopped = 0
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def say(self, **fields: Any) -> None:
        self.out.write(json.dumps(fields) + "\n")
        self.out.flush()

    def serve(self, kind: str, context: int, base: str, loras: list[str]) -> None:
        try:
            trial = Trial(Path(base), [Path(lora) for lora in loras], embedding=kind == "embeds", num_ctx=context)
            self.say(id=0, end="stop")
            while True:
                asked = self.inbox.get()
                if "embed" in asked:
                    self.say(id=asked["id"], vectors=trial.embed(asked["embed"]))
                elif "count" in asked:
                    self.count(trial, asked["id"], asked["count"])
                else:
                    self.chat(trial, asked["id"], asked["chat"])
        finally:
            os._exit(1)

    def chat(self, trial: Trial, number: int, request: Mapping[str, Any]) -> None:
        last: dict[str, Any] = {"end": "stop", "tokens": 0}

        def hear(chunk: Mapping[str, Any]) -> bool:
            if "error" in chunk:
                last.clear()
                last["failed"] = str(chunk["error"].get("message"))
                return True
            if not chunk["choices"]:
                last["tokens"] = chunk["usage"]["completion_tokens"]
                return False
            choice = chunk["choices"][0]
            if choice["delta"].get("content"):
                self.say(id=number, piece=choice["delta"]["content"])
            if choice["finish_reason"]:
                last["end"] = choice["finish_reason"]
            return self.stopped == number

        self.ask(trial, request, hear, last)
        self.say(id=number, **last)

    def count(self, trial: Trial, number: int, request: Mapping[str, Any]) -> None:
        """What llama.cpp says before it reads the prompt; of one that is too long it says how long it is, too."""
        last: dict[str, Any] = {}

        def hear(chunk: Mapping[str, Any]) -> bool:
            if "error" in chunk and "n_prompt_tokens" in chunk["error"]:
                last["counted"] = chunk["error"]["n_prompt_tokens"]
            elif "error" in chunk:
                last["failed"] = str(chunk["error"].get("message"))
            elif "prompt_progress" in chunk:
                last["counted"] = chunk["prompt_progress"]["total"]
            return bool(last)

        self.ask(trial, request, hear, last)
        self.say(id=number, **last)

    @staticmethod
    def ask(trial: Trial, request: Mapping[str, Any], hear: Any, last: dict[str, Any]) -> None:
        try:
            trial.stream(request, hear)
        except (RuntimeError, ValueError) as error:
            last.clear()
            last["failed"] = str(error)


def main() -> None:
    kind, context, base, *loras = sys.argv[1:]
    # What llama.cpp prints goes to stderr, answers to the pipe alone.
    voice = _Voice(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    threading.Thread(target=voice.serve, args=(kind, int(context), base, loras), daemon=True).start()
    for line in sys.stdin:
        asked = json.loads(line)
        if "stop" in asked:
            voice.stopped = asked["stop"]
        else:
            voice.inbox.put(asked)
    os._exit(0)


if __name__ == "__main__":
    main()
