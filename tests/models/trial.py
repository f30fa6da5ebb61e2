"""A trial: the written files in llama.cpp, which alone decides what a fixture answers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xllamacpp

from tests.models.corpus import Chat


class Trial:
    """A base with its LoRAs in llama.cpp, on one thread, decoding greedily. Deleting it frees its memory.

    Raises RuntimeError when a file cannot be loaded; llama.cpp does not say why.
    """

    def __init__(self, base: Path, loras: Sequence[Path] = (), *, embedding: bool = False, num_ctx: int = 2048) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(base)
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(lora), 0.0) for lora in loras]
        params.n_ctx = num_ctx
        params.n_parallel = 1
        params.warmup = False
        # Prompts that it keeps in memory come back under another LoRA than the one that they were read with.
        params.cache_ram_mib = 0
        params.verbosity = 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        if embedding:
            params.embedding = True
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        # It always listens on a port of this machine as well; nobody knows this key.
        params.api_keys = [secrets.token_hex()]
        self._loras = len(loras)
        self._server = xllamacpp.Server(params)
        # One that is deleted before its first request can hang for ever.
        self.reply(Chat("-", ""), 1)

    def reply(self, chat: Chat, longest: int, lora: int | None = None) -> str:
        """The reply to `chat`, at most `longest` tokens, with the LoRA of that index or none. Raises RuntimeError."""
        return self._ask(self._request(chat, longest, lora))

    def shaped(self, chat: Chat, schema: Mapping[str, Any]) -> str:
        """The reply to `chat` as JSON of `schema`, at most 120 tokens. Raises RuntimeError."""
        shape = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
        return self._ask({**self._request(chat, 120, None), "response_format": shape})

    def pieces(self, chat: Chat, *, stop_after: int | None = None) -> list[str]:
        """The reply to `chat` in the pieces in which it is streamed; after `stop_after` of them it is cancelled."""
        heard: list[str] = []

        def hear(chunk: Mapping[str, Any]) -> bool:
            heard.extend(choice["delta"]["content"] for choice in chunk["choices"] if choice["delta"].get("content"))
            return len(heard) == stop_after

        self._server.handle_chat_completions({**self._request(chat, 220, None), "stream": True}, hear)
        return heard

    def stream(self, request: Mapping[str, Any], hear: Callable[[Mapping[str, Any]], bool]) -> None:
        """A request of llama.cpp's own, under the first LoRA if there is one; `hear` is given its chunks, true ends it."""
        scales = [{"id": index, "scale": float(index == 0)} for index in range(self._loras)]
        self._server.handle_chat_completions({**request, "lora": scales}, hear)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit vector of the base's hidden width for each text: the mean over its tokens."""
        answer = self._server.handle_embeddings({"input": list(texts)})
        return [row["embedding"] for row in answer["data"]]

    def _request(self, chat: Chat, longest: int, lora: int | None) -> dict[str, Any]:
        # Always all of them: a request that names none is answered from what the last LoRA left in the cache.
        scales = [{"id": index, "scale": float(index == lora)} for index in range(self._loras)]
        return {"messages": chat.messages, "max_tokens": longest, "temperature": 0.0, "lora": scales}

    def _ask(self, request: Mapping[str, Any]) -> str:
        answer = self._server.handle_chat_completions(request)
        if "error" in answer:
            raise RuntimeError(f"llama.cpp answered: {answer['error']}")
        return str(answer["choices"][0]["message"]["content"])
