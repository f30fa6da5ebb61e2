"""A program that lets children walk through a turn and die at a named point of it. Run by test_durable_turns.py.

The turn uses a tool that reaches out: one that writes a file to a granted folder, or one in this process that adds a line
to a file; or it has one made. The child kills itself with SIGKILL where the point says. One request a line on stdin (JSON:
folder, level, point); the answer is how the child ended: the signal's number, or 0.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from a4ps.image.effects import Effects
from a4ps.image.turns import TurnLog
from a4ps.inference.engine import ChatRequest
from a4ps.kernel.kernel import Kernel
from a4ps.society.graph import StepSaver
from a4ps.society.progress import Progress
from a4ps.tools import granted_folders
from a4ps.tools.cases import Case, Gives
from a4ps.tools.specification import Specification
from a4ps.tools.tool import Evidence, Tool
from tests.doubles.here_runner import HereRunner
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import ScriptedEngine
from tests.tools.workshop import SLUG, Craftsmen

QUESTION = "Please keep a note of what the greenhouse needs."
POLICIES = {"file-write": "always", "tool-in-process": "always", "tool-forge": "always", "tool-keep": "always"}
TASK = "turn a title into a slug"
SOURCES = {
    "granted": "def keep(path, text):\n    write_file(path, text)\n    return 'kept'\n",
    "in-process": "def keep(path, text):\n    with open(path, 'a') as f:\n        print(text, file=f)\n    return 'kept'\n",
}
SPECIFICATION: Mapping[str, Any] = {
    "name": "keep",
    "parameters": [{"name": "path", "type": "str"}, {"name": "text", "type": "str"}],
    "returns": "str",
    "contract": "Keeps the text.",
    "errors": [],
    "deterministic": False,
}


def ignore(progress: Progress) -> None:
    del progress


def note(folder: Path, line: str) -> None:
    """Add a line to the account of what was done, whoever dies next."""
    with (folder / "account").open("a") as account:
        account.write(f"{line}\n")


@asynccontextmanager
async def acting_kernel(folder: Path, level: str, point: str = "") -> AsyncIterator[Kernel]:
    """A kernel whose next turn uses the tool; it dies at `point`. Steps and files put in place are noted in the account."""
    (folder / "notes").mkdir(exist_ok=True)
    path = str(folder / "notes" / "a.txt")

    def at(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    craftsmen = Craftsmen([SLUG])

    async def script(request: ChatRequest) -> str | Mapping[str, Any] | None:
        note(folder, f"step {request.step}")
        at(f"inside {request.step}")
        if request.step != "plan":
            return {"text": "Hello World"} if request.step == "tool_arguments" else await craftsmen(request)
        plan = {"kind": "question", "say": "Keep it.", "research": ""}
        if level == "forge":
            return {**plan, "tool": "NEW", "task": TASK}
        return {**plan, "tool": "keep", "arguments": {"path": path, "text": "water"}}

    checkpoints = 0
    put, begin, done, answer = StepSaver.aput, Effects.begin, Effects.done, TurnLog.answer

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal checkpoints
        checkpoints += 1
        at(f"before checkpoint {checkpoints}")
        result = await put(*args, **options)
        at(f"after checkpoint {checkpoints}")
        return result

    def begun(self: Effects, where: Any, *args: Any, **options: Any) -> None:
        at(f"before intent {where.ordinal}")
        begin(self, where, *args, **options)
        at(f"after intent {where.ordinal}")

    def ended(self: Effects, where: Any, *args: Any, **options: Any) -> None:
        at(f"before done {where.ordinal}")
        done(self, where, *args, **options)
        at(f"after done {where.ordinal}")

    async def answered(*args: Any) -> None:
        at("before the answer")
        await answer(*args)
        at("after the answer")

    write = granted_folders.GrantedFolders.write_file

    def written(*args: Any) -> None:
        note(folder, "put in place")
        write(*args)

    with (
        patch.object(StepSaver, "aput", counted),
        patch.object(Effects, "begin", begun),
        patch.object(Effects, "done", ended),
        patch.object(TurnLog, "answer", answered),
        patch.object(granted_folders.GrantedFolders, "write_file", written),
    ):
        engine = ScriptedEngine(script)
        async with open_kernel(folder, engine, runner=HereRunner(), policies=POLICIES) as kernel:
            await _install(kernel, folder, level)
            yield kernel


async def _install(kernel: Kernel, folder: Path, level: str) -> None:
    assert kernel.society.forge is not None
    registry = kernel.society.forge.registry
    if level != "forge" and "keep" not in registry:
        specification = Specification.from_plain(SPECIFICATION)
        tests = (Case(("p", "t"), Gives("kept"), "example"),)
        made = kernel.clock.now()
        tool = Tool("keep", SOURCES[level], specification, tests, Evidence(1, 3, 1), 1, "BRICK", "keeps", made)
        await asyncio.to_thread(registry.install, tool)
        folders = [folder / "notes"] if level == "granted" else []
        registry.promote("keep", level, folders=folders, writable=folders)


async def walk(folder: Path, level: str, point: str) -> None:
    async with acting_kernel(folder, level, point) as kernel:
        await kernel.ask(QUESTION, ignore)


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(walk(Path(request["folder"]), request["level"], request["point"]))
            except BaseException:  # noqa: BLE001 - the edge of the child
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), flush=True)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what this process meets is what its parent counts
    main()
