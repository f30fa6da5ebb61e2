"""A program that lets children commit to an image and kills them at random instants. Run by test_kill.py and others.

It forks, because a fork takes a thousandth of what a new Python takes; it never has an image open itself when it does.
It reads one request a line from stdin (JSON: image, keys, seed, threads, acks, wait_s), and answers each with one line:
the acknowledged commits as [key, generation] pairs, and whether the child had come to its end by itself.

A child is killed when it has acknowledged `acks` commits, or `wait_s` seconds after it began where `acks` is 0.
"""

from __future__ import annotations

import json
import logging
import os
import random
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from a4ps.clock import SystemClock
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Row, Store

BIG_BYTES = 400_000


def payload_of(key: str) -> bytes:
    """What the child commits under `key`: the parent can tell it from the key alone. Some are big enough to make SQLite
    write its log back in the middle."""
    chance = random.Random(key)
    return chance.randbytes(BIG_BYTES if chance.random() < 0.03 else chance.randrange(3000))


def text_of(key: str) -> str:
    return f"common {key.replace('.', ' ')}"


def commit_for_ever(request: dict[str, Any], acks: int) -> None:
    store = Store.open(Path(request["image"]), KeyFolder(Path(request["keys"])), SystemClock())

    def work(name: int) -> None:
        number = 0
        while True:
            key = f"{request['seed']}.{name}.{number}"
            row = Row("turn", key, payload_of(key), text_of(key))
            generation = store.commit([row, Row("log", key, b"")], author="child", reason="test").generation
            os.write(acks, f"{key} {generation}\n".encode())
            number += 1

    for name in range(1, request["threads"]):
        threading.Thread(target=work, args=(name,), daemon=True).start()
    work(0)


def run(request: dict[str, Any], work: Callable[[dict[str, Any], int], None]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(request, writing)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    heard = b""
    if not request["acks"]:
        # Waiting is the point here: the instant of the kill is drawn by chance.
        threading.Event().wait(request["wait_s"])
    while heard.count(b"\n") < request["acks"]:
        select.select([reading], [], [], 60)
        piece = os.read(reading, 65_536)
        if not piece:
            break
        heard += piece
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while piece := os.read(reading, 65_536):
        heard += piece
    os.close(reading)
    acknowledged = [line.split() for line in heard.decode().splitlines(keepends=True) if line.endswith("\n")]
    return {
        "acknowledged": [[key, int(generation)] for key, generation in acknowledged],
        "killed": os.WIFSIGNALED(status),
    }


def serve(work: Callable[[dict[str, Any], int], None]) -> None:
    """Let children do `work`, which gets the request and where to write acknowledgements, until stdin ends."""
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line), work)), flush=True)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what this process meets is what its parent counts
    serve(commit_for_ever)
