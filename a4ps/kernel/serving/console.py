"""Serves the requests about the console."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from a4ps.image.commands import under_no_command
from a4ps.kernel.backend import Backend
from a4ps.kernel.console import Console
from a4ps.kernel.serving.call import Call, Handler
from a4ps.personas.roster import NAMES, enrol
from a4ps.protocol.requests import console
from a4ps.protocol.requests.base import Request

#: Characters of each text of an outcome.
OUTPUT_MAX = 20_000
#: `ask` looks so often whether it was interrupted.
_SLICE_S = 0.1


async def evaluate(backend: Backend, call: Call[console.Evaluate]) -> Mapping[str, Any]:
    """`evaluate`. Cancelled, it is interrupted, and its outcome says what came of that."""
    workspace = await _workspace(backend)
    work = asyncio.create_task(asyncio.to_thread(workspace.evaluate, call.request.source, call.request.proto))
    try:
        found = await asyncio.shield(work)
    except asyncio.CancelledError:
        workspace.interrupt()
        found = await work
    return asdict(found)


async def interrupt(backend: Backend, _: Call[console.Interrupt]) -> Mapping[str, Any]:
    """`interrupt`."""
    return {"interrupted": (await _workspace(backend)).interrupt()}


async def complete(backend: Backend, call: Call[console.Complete]) -> Mapping[str, Any]:
    """`complete`."""
    workspace = await _workspace(backend)
    wanted = call.request
    return {"names": await asyncio.to_thread(workspace.complete, wanted.text, wanted.cursor, wanted.proto)}


async def _workspace(backend: Backend) -> Console:
    """The backend's one console, with what an Architect wants at hand."""
    if backend.console is None:
        with under_no_command():  # where nobody has needed a society yet, the image may lack them
            await asyncio.to_thread(enrol, backend.protos)
    if backend.console is None:
        loop = asyncio.get_running_loop()

        def ask(question: str, *, everyone: bool = False) -> str:
            """The society's answer to a question. Blocks until it is there."""
            asked = asyncio.run_coroutine_threadsafe(_answer(backend, question, everyone), loop)
            try:
                while True:
                    try:
                        return asked.result(_SLICE_S)
                    except TimeoutError:
                        if asked.done():
                            raise
            finally:
                asked.cancel()

        personas = {name.lower(): backend.protos.get_proto(name) for name in NAMES if name in backend.protos.names()}
        names = {"image": backend.protos, "ask": ask, **personas}
        backend.console = Console(
            backend.protos, names, deadline_s=backend.env.settings.console_s, output_max=OUTPUT_MAX
        )
    return backend.console


async def _answer(backend: Backend, question: str, everyone: bool) -> str:
    kernel = await backend.kernel()
    return (await kernel.ask(question, lambda _: None, everyone=everyone)).reply.answer


HANDLERS: Mapping[type[Request], Handler] = {
    console.Evaluate: evaluate,
    console.Interrupt: interrupt,
    console.Complete: complete,
}
