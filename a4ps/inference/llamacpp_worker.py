"""The process in which llama.cpp runs: `python -m a4ps.inference.llamacpp_worker PARENT_PID`, one base and its LoRAs each.

Started by `llamacpp_process` alone, which ends it by killing it; the messages on stdin and stdout are `llamacpp_wire`'s.
Nothing here cleans up: whatever goes wrong with a model file, llama.cpp or memory ends with this process.

- It dies with its parent: by PR_SET_PDEATHSIG, which also reaches it stopped, and by the end of stdin.
- llama.cpp's own messages go to stderr, also those that it prints; stdout carries frames only.
- llama.cpp's server cannot be had without a listener. It is given a socket in the current folder, which the parent made
  for this process alone, behind a key that nobody knows; the socket's name is deleted as soon as the model is loaded.
- One call at a time. Several at once in llama.cpp would share the context and change each other's rounding.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import queue
import resource
import secrets
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from a4ps.errors import ModelFileBad
from a4ps.inference.control_tokens import ControlTokens
from a4ps.inference.llamacpp_chat import Reply, chat_body
from a4ps.inference.llamacpp_wire import (
    LENGTH_BYTES,
    Began,
    Cancel,
    Embed,
    Ended,
    Failed,
    Load,
    Message,
    Piece,
    Ready,
    Speak,
    Vectors,
    decode,
    encode,
    frame_length,
)

#: Pieces that follow each other faster than this travel together. A held piece waits for the next one, never longer.
FLUSH_S = 0.016
#: The context of an embedder, in tokens: a longer text is refused.
EMBED_CTX = 2048
_BATCH = 512
_SOCKET = "llama.sock"
_PR_SET_PDEATHSIG = 1


class Worker:
    """The model and the one call that it answers. Used by the serving thread, but for `cancel`."""

    def __init__(self, load: Load, out: BinaryIO) -> None:
        """Loads. Raises RuntimeError where llama.cpp will not; it has then said why on stderr.

        Raises `ModelFileBad` for a vocabulary that cannot be read here.
        """
        began = time.monotonic()
        import xllamacpp

        free = _free_vram(xllamacpp)
        key = secrets.token_hex()
        self._server = xllamacpp.Server(model_params(xllamacpp, load, key))
        self._out = out
        self._loras = len(load.loras)
        self._cancelled = 0
        about = _about(key)
        Path(_SOCKET).unlink()
        template = str(about.get("chat_template", ""))
        self._thinker = "think" in template
        self._marks = ControlTokens.read(Path(load.base), template)
        num_ctx = int(about["default_generation_settings"]["n_ctx"])
        self.send(Ready((time.monotonic() - began) * 1000, num_ctx, max(0, free - _free_vram(xllamacpp))))

    def cancel(self, call: int) -> None:
        """Any thread: the call of that number ends at its next sign of life."""
        self._cancelled = call

    def send(self, message: Message) -> None:
        self._out.write(encode(message))

    def embed(self, embed: Embed) -> None:
        answer = self._server.handle_embeddings({"input": list(embed.texts)})
        if "error" in answer:
            self.send(_refusal(embed.call, answer["error"]))
            return
        rows = sorted(answer["data"], key=lambda row: row["index"])
        self.send(Vectors(embed.call, tuple(tuple(map(float, row["embedding"])) for row in rows)))

    def speak(self, speak: Speak) -> None:
        """One reply, piece by piece. What llama.cpp would swallow in its callback is raised here."""
        hearing = _Hearing(self, speak, self._thinker)
        body = chat_body(speak, loras=self._loras, thinker=self._thinker, marks=self._marks)
        try:
            self._server.handle_chat_completions(body, hearing)
        except (ValueError, RuntimeError) as error:
            # Most errors are chunks; a schema that is none and a template that objects are raised.
            hearing.refuse(str(error))
        if hearing.fault is not None:
            raise hearing.fault
        hearing.close()

    def is_cancelled(self, call: int) -> bool:
        return self._cancelled == call


class _Hearing:
    """Takes the chunks of one reply as they come, on llama.cpp's thread; true means that it is to stop."""

    def __init__(self, worker: Worker, speak: Speak, thinker: bool) -> None:
        self.fault: BaseException | None = None
        self._worker = worker
        self._call = speak.call
        self._num_ctx = speak.num_ctx
        # Without thoughts llama.cpp counts the reply's tokens itself, exactly.
        self._reply = Reply(speak.max_tokens if thinker else sys.maxsize, speak.num_ctx)
        self._failed: Failed | None = None
        self._began = False
        self._cancelled = False
        self._held: list[str] = []
        self._thinking = False
        self._flushed = 0.0

    def __call__(self, chunk: Mapping[str, Any]) -> bool:
        try:
            return self._hear(chunk)
        except BaseException as fault:  # noqa: BLE001  # raised anew by `speak`, outside llama.cpp
            self.fault = fault
            return True

    def refuse(self, text: str) -> None:
        self._failed = Failed(self._call, "refused", text)

    def _hear(self, chunk: Mapping[str, Any]) -> bool:
        if self._worker.is_cancelled(self._call):
            self._cancelled = True
            return True
        if "error" in chunk:
            self._failed = _refusal(self._call, chunk["error"])
            return True
        thought, text = self._reply.read(chunk)
        if text or thought:
            self._hold(thought or text, bool(thought))
        elif not self._began and self._reply.prompt_tokens and not self._reply.too_long:
            self._began = True
            self._worker.send(Began(self._call, self._reply.prompt_tokens))
        return self._reply.stop

    def _hold(self, text: str, thinking: bool) -> None:
        if thinking != self._thinking:
            self._flush()
            self._thinking = thinking
        self._held.append(text)
        now = time.monotonic()
        if now - self._flushed >= FLUSH_S:
            self._flush()
            self._flushed = now

    def _flush(self) -> None:
        if self._held:
            self._worker.send(Piece(self._call, self._thinking, "".join(self._held)))
            self._held.clear()

    def close(self) -> None:
        """Send what is held and how it ended."""
        reply = self._reply
        self._flush()
        if reply.too_long:
            text = f"the prompt has {reply.prompt_tokens} tokens, num_ctx is {self._num_ctx}"
            self._worker.send(Failed(self._call, "too_long", text))
        elif self._failed is not None:
            self._worker.send(self._failed)
        else:
            reason = "cancelled" if self._cancelled else reply.reason
            if reason not in ("stop", "length", "cancelled"):
                raise RuntimeError(f"a reply ended for the reason {reason!r}")
            self._worker.send(Ended(self._call, reason, reply.prompt_tokens, reply.completion_tokens))  # type: ignore[arg-type]


def main() -> None:
    """Serve until stdin ends."""
    _die_with(int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = _take_stdout()
    messages = _messages(sys.stdin.buffer)
    load = next(messages, None)
    if not isinstance(load, Load):
        raise SystemExit("the first message is to be Load")
    if load.memory_bytes:
        # Of the address space, RLIMIT_DATA counts what is written; the mapped weights and a driver's reservations are not.
        resource.setrlimit(resource.RLIMIT_DATA, (load.memory_bytes, load.memory_bytes))
    os.nice(load.nice)
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    desk: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    threading.Thread(target=_serve, args=(load, out, inbox, desk), daemon=True).start()
    worker: Worker | None = None
    for message in messages:
        if isinstance(message, Cancel):
            worker = worker or desk.get()
            worker.cancel(message.call)
        else:
            inbox.put(message)
    os._exit(0)


def _serve(load: Load, out: BinaryIO, inbox: queue.SimpleQueue[Message], desk: queue.SimpleQueue[Worker]) -> None:
    try:
        try:
            worker = Worker(load, out)
        except (RuntimeError, ModelFileBad) as error:
            out.write(encode(Failed(0, "load", str(error))))
            os._exit(1)
        desk.put(worker)
        while True:
            message = inbox.get()
            if isinstance(message, Speak):
                worker.speak(message)
            elif isinstance(message, Embed):
                worker.embed(message)
    except BaseException:  # noqa: BLE001  # the edge of this process: said on stderr, then over
        traceback.print_exc()
        os._exit(1)


def model_params(xllamacpp: Any, load: Load, key: str) -> Any:
    """xllamacpp's parameters for `load`, its listener behind `key`."""
    params = xllamacpp.CommonParams()
    params.model.path = load.base
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in load.loras]
    params.lora_init_without_apply = True
    params.n_parallel = 1
    params.n_ctx = EMBED_CTX if load.embedding else load.num_ctx
    params.n_batch = params.n_ubatch = EMBED_CTX if load.embedding else _BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = load.threads
    params.n_gpu_layers = load.gpu_layers
    # Nothing is made smaller to fit, shifted out, or guessed: a footprint that was reckoned is the one that is taken.
    params.fit_params = False
    params.ctx_shift = False
    # This cache of prompts gives what was read under one LoRA back under another; and it would take 8 GB.
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 4
    params.prefill_assistant = False
    params.warmup = False
    params.verbosity = 1
    params.hostnames = [_SOCKET]
    params.api_keys = [key]
    params.n_threads_http = 1
    params.ui = False
    params.offline = True
    if load.embedding:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.no_kv_offload = params.no_op_offload = True
    return params


def _about(key: str) -> Mapping[str, Any]:
    """What llama.cpp's server says of the model: its chat template and the context that it has."""
    line = http.client.HTTPConnection("localhost")
    line.sock = socket.socket(socket.AF_UNIX)
    line.sock.connect(_SOCKET)
    line.request("GET", "/props", headers={"Authorization": f"Bearer {key}"})
    about: Mapping[str, Any] = json.load(line.getresponse())
    line.close()
    return about


def _free_vram(xllamacpp: Any) -> int:
    """Bytes free on all cards; 0 without any. The processor's own memory is no card's."""
    cpu = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    return sum(int(device["memory_free"]) for device in xllamacpp.get_device_info() if device["type"] != cpu)


def _refusal(call: int, error: Mapping[str, Any]) -> Failed:
    """What llama.cpp answers in place of a reply: it returns errors, it does not raise them."""
    text = str(error.get("message") or error)
    long = error.get("type") == "exceed_context_size_error" or "too large to process" in text
    return Failed(call, "too_long" if long else "refused", text)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent's thread ends; exit at once if that has happened already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")


def _take_stdout() -> BinaryIO:
    """The pipe to the parent, out of reach of whatever prints."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return out


def _messages(pipe: BinaryIO) -> Iterator[Message]:
    while head := pipe.read(LENGTH_BYTES):
        yield decode(pipe.read(frame_length(head)))


if __name__ == "__main__":
    main()
