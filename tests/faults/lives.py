"""A program whose children live with an image and are killed at a random instant. Run by campaign.py.

It forks, because a fork takes a thousandth of what a new Python takes; it never has an image open itself when it does.
It reads one request a line from stdin (see `Request`) and answers each with one line: what the child said, whether it
was killed before it came to its end, and what it broke on, if it did.

A child opens the image, which may migrate it (or first restores a backup), lets its threads do `acts` acts each, closes it
and ends. It says "begin KEY GENERATION" before and "done KEY RESULT SECONDS" after each act, opening and closing among
them. The instant is drawn from the whole of that: after a share of what such a life usually lasts, or, where an act is
aimed at, which the first thread then does at some time, of what that usually lasts, from its beginning on.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from a4ps.clock import SystemClock
from a4ps.image import connections
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.restore import restore
from tests.faults.acts import (
    ACTS,
    COMMON,
    INSTALL,
    MIGRATE,
    REFUSED,
    Place,
    Worker,
    act_of,
    everybody,
    finish_forgetting,
)

LEARNING = 0.2
PIECE = select.PIPE_BUF // 2 - 10


class Request(TypedDict):
    """`restore` is the worker whose backup is restored first, None for none; `aim` an act, None for by time alone."""

    folder: str
    seed: int
    threads: int
    acts: int
    restore: int | None
    aim: str | None
    share: float


class Life:
    """The child's side."""

    def __init__(self, request: Request, said: int) -> None:
        self.request = request
        self.said = said
        self.place = Place(Path(request["folder"]))

    @contextmanager
    def doing(self, key: str, generation: int = 0) -> Iterator[list[int]]:
        """Put the result into what it gives."""
        os.write(self.said, f"begin {key} {generation}\n".encode())
        result = [0]
        began = time.perf_counter()
        yield result
        os.write(self.said, f"done {key} {result[0]} {time.perf_counter() - began:.6f}\n".encode())

    def live(self) -> None:
        seed = self.request["seed"]
        # So that a short life meets a checkpoint.
        connections.WAL_CHECKPOINT_PAGES = 60
        keys = KeyFolder(self.place.keys)
        if self.request["restore"] is not None:
            key = f"{seed}.{self.request['restore']}.0.restore"
            with self.doing(key) as result:
                backup = self.place.backup(self.request["restore"])
                done = restore(self.place.image, backup, keys, SystemClock(), author="architect", reason=key)
                result[0] = done.report.generation + 1
        with self.doing(f"{seed}.0.0.{MIGRATE if self.place.is_old() else 'open'}"):
            manager = ProtoManager.open(self.place.image, keys=keys, clock=SystemClock())
        if COMMON in manager:
            with self.doing(f"{seed}.0.0.finish"):
                finish_forgetting(manager)
        if COMMON not in manager:
            key = f"{seed}.0.0.{INSTALL}"
            with self.doing(key) as result:
                contents = {name: manager.get_proto(name).current.content for name in manager.names()}
                contents |= {name: proto.content("architect") for name, proto in everybody().items()}
                result[0] = manager.install(contents, reason=key)[0].generation
        workers = [Worker(manager, self.place, seed, number) for number in range(self.request["threads"])]
        threads = [threading.Thread(target=self.work, args=(worker,), daemon=True) for worker in workers[1:]]
        for thread in threads:
            thread.start()
        self.work(workers[0])
        for thread in threads:
            thread.join()
        with self.doing(f"{seed}.0.0.close"):
            manager.close()

    def work(self, worker: Worker) -> None:
        aim, acts = self.request["aim"], self.request["acts"]
        here = worker.chance.randrange(acts) if aim in ACTS and worker.number == 0 else -1
        try:
            for number in range(acts):
                key = worker.choose(aim if number == here else None)
                with self.doing(key, worker.manager.store.generation) as result:
                    result[0] = worker.do(key)
        except BaseException:  # noqa: BLE001 - the thread's edge
            os.write(self.said, _broke())
            os._exit(1)


def _broke() -> bytes:
    """What a child ends on, short enough for a pipe to take it in one piece, whatever other threads say."""
    return f"broke {json.dumps(traceback.format_exc()[-PIECE:])}\n".encode()


class Killer:
    """The server's side: knows how long things usually last."""

    def __init__(self) -> None:
        self.usual_s: dict[str, float] = {}

    def run(self, request: Request) -> dict[str, Any]:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                Life(request, writing).live()
                os._exit(0)
            finally:
                os.write(writing, _broke())
                os._exit(1)
        os.close(writing)
        heard = b""
        wait_s = self.life_s(request) * request["share"]
        if (aim := request["aim"]) is not None:
            while not re.search(rb"^begin \S+\.%b " % aim.encode(), heard, re.MULTILINE):
                select.select([reading], [], [], 60)
                piece = os.read(reading, 65_536)
                if not piece:
                    break
                heard += piece
            wait_s = self.usual_s.get(aim, 0.01) * request["share"]
        # Waiting is the point here: the instant of the kill is drawn by chance.
        threading.Event().wait(wait_s)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        while piece := os.read(reading, 65_536):
            heard += piece
        os.close(reading)
        lines = [line.split(" ", 1) for line in heard.decode().splitlines(keepends=True) if line.endswith("\n")]
        said = [(word, *rest.split()) for word, rest in lines if word != "broke"]
        for word, key, *rest in said:
            if word == "done" and int(rest[0]) != REFUSED:
                self.learn(act_of(key), float(rest[1]))
        return {
            "said": [[word, key, int(rest[0])] for word, key, *rest in said],
            "killed": os.WIFSIGNALED(status),
            "broke": "".join(json.loads(rest) for word, rest in lines if word == "broke"),
        }

    def life_s(self, request: Request) -> float:
        usual = self.usual_s
        acts = request["threads"] * request["acts"] * usual.get("any", 0.01)
        restoring = usual.get("restore", 0.05) if request["restore"] is not None else 0.0
        opening = MIGRATE if Place(Path(request["folder"])).is_old() else "open"
        return restoring + usual.get(opening, 0.01) + acts + usual.get("close", 0.01)

    def learn(self, act: str, seconds: float) -> None:
        for name in (act,) if act in ("open", "close", "restore", MIGRATE, INSTALL) else (act, "any"):
            known = self.usual_s.setdefault(name, seconds)
            self.usual_s[name] = known + LEARNING * (seconds - known)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what this process meets is what its parent counts
    killer = Killer()
    gc.freeze()
    for request in sys.stdin:
        print(json.dumps(killer.run(json.loads(request))), flush=True)
