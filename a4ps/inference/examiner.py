"""Examines a model file in a child process that can do little and lives short: the backend never parses one itself.

The child is `gguf_child`. What runs over its deadline is killed; what dies without an answer is refused; the shape of an
answer is checked. Each file has a child of its own, about 50 ms.

This bounds what a crafted header can cost. It is no sandbox: the child runs as the user and could read what the user can,
if a header could make Python's own code run astray.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from a4ps.errors import ModelFileBad, ModelUnexamined, WorldError
from a4ps.inference.examined import Examined, shown

DEADLINE_S = 1.9
ANSWER_BYTES = 2**20
#: Isolated mode: neither the environment nor the current folder decides what the child imports.
CHILD = ("-I", "-m", "a4ps.inference.gguf_child")
_MESSAGE_CHARS = 400


async def examine(path: Path, *, deadline_s: float = DEADLINE_S) -> Examined:
    """What the file at `path` holds, looked at once.

    Raises `ModelFileBad` for what is no well-formed GGUF file, its child `ModelUnexamined` for one with which the examiner
    did not finish, `WorldError` where it cannot be opened. Cancelled, the child is killed. The file is only read.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise WorldError(f"{path} cannot be read: {error.strerror}", next_step=f"ls -l {path}") from error
    try:
        if not stat.S_ISREG(os.fstat(source).st_mode):
            raise ModelFileBad(f"{path} is no file", next_step="name a GGUF file")
        answer = await _ask_child(source, deadline_s)
    except _NoAnswer as silence:
        raise _unexamined(path, str(silence)) from silence
    finally:
        os.close(source)
    return _judge(path, answer)


class _NoAnswer(Exception):
    """The child gave none; the text says why."""


async def _ask_child(source: int, deadline_s: float) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable, *CHILD, stdin=source, stdout=PIPE, stderr=DEVNULL, env={}
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(deadline_s):
            try:
                answer = await child.stdout.readexactly(ANSWER_BYTES)
            except asyncio.IncompleteReadError as end:
                answer = end.partial
                await child.wait()
    except TimeoutError:
        raise _NoAnswer(f"that took longer than {deadline_s:g} s") from None
    finally:
        if child.returncode is None:
            child.kill()
            # Not `wait`: asyncio says that a child is gone only once all that it wrote has been read.
            await child.communicate()
    if child.returncode != 0:
        raise _NoAnswer(f"its examiner ended with {child.returncode}")
    return answer


def _judge(path: Path, answer: bytes) -> Examined:
    """The child's answer as a value. Raises the error that it names, or the one for an answer that is none."""
    try:
        spoken = json.loads(answer)
        if isinstance(spoken, dict) and "bad" in spoken:
            raise ModelFileBad(f"{path} {shown(str(spoken['bad']), _MESSAGE_CHARS)}", next_step=str(spoken.get("next")))
        return TypeAdapter(Examined).validate_json(answer, strict=True)
    except (ValueError, ValidationError) as error:
        raise _unexamined(path, "its examiner gave no answer that can be read") from error


def _unexamined(path: Path, why: str) -> ModelUnexamined:
    return ModelUnexamined(
        f"{path} could not be examined: {why}", next_step="try again when the machine is less busy; else do not use it"
    )
