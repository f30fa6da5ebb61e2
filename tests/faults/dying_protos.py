"""A program that lets children change Protos and kills them at random instants. Run by test_kill_protos.py.

Requests and answers are dying.py's. What is acknowledged is named by keys that stand as reasons in the history: the
commit's generation, "-1" for one that was refused for a conflict, and for a backup "0".
"""

from __future__ import annotations

import logging
import os
import random
import threading
from pathlib import Path
from typing import Any

from a4ps.clock import SystemClock
from a4ps.errors import Conflict
from a4ps.image import connections
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from tests.faults.dying import serve

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
PAIR = ("BRICK", "ROBIN")
COMMON = "ALFRED"
REFUSED, BACKED_UP = -1, 0


class Worker:
    """One thread of a child: does one thing after the other to the Protos, for ever."""

    def __init__(self, manager: ProtoManager, acks: int, seed: int, number: int, backups: Path) -> None:
        self.manager = manager
        self.acks = acks
        self.name = f"{seed}.{number}"
        self.chance = random.Random(self.name)
        self.number = number
        self.backups = backups
        self.swapped: list[int] = []

    def run(self) -> None:
        acts = (self.transact, self.swap, self.contend, self.revert, self.define, self.come_and_go, self.back_up)
        count = 0
        while True:
            (act,) = self.chance.choices(acts, (8, 4, 3, 3, 1, 1, 1))
            key = f"{self.name}.{count}.{act.__name__}"
            try:
                generation = act(key)
            except Conflict:
                generation = REFUSED
            if generation is not None:
                os.write(self.acks, f"{key} {generation}\n".encode())
            count += 1

    def transact(self, key: str) -> int:
        """Both of the pair, and a third one: what one loses, another gains."""
        amount = self.chance.randrange(1, 9)
        with self.manager.transaction(reason=key) as tx:
            for name, sign in zip(PAIR, (1, -1), strict=True):
                state = tx.edit(name).state
                state["a"] += sign * amount
                state["b"] -= sign * amount
                state["last"] = key
            tx.edit(COMMON).state[f"done by {self.number}"] = key
        return tx.changes[0].generation

    def swap(self, key: str) -> int:
        draft = self.manager.get_proto(f"own {self.number}").clone()
        draft.state["n"] += 1
        draft.state["list"].append(key)
        if self.chance.random() < 0.1:
            draft.state["ballast"] = self.chance.randbytes(300_000)
        self.swapped.append(self.manager.atomic_swap(draft, reason=key).generation)
        return self.swapped[-1]

    def contend(self, key: str) -> int:
        """A slot that every worker writes: of two that began alike, one is refused."""
        draft = self.manager.get_proto(COMMON).clone()
        draft.state["contended"] = key
        return self.manager.atomic_swap(draft, reason=key).generation

    def revert(self, key: str) -> int | None:
        return self.manager.revert(self.swapped.pop(), reason=key)[0].generation if self.swapped else None

    def define(self, key: str) -> int:
        with self.manager.transaction(reason=key) as tx:
            source = f"def count(self):\n    return {self.chance.randrange(9)}, {key!r}\n"
            tx.edit(f"own {self.number}").define("count", source, author="architect")
        return tx.changes[0].generation

    def come_and_go(self, key: str) -> int:
        name = f"passing {self.number}"
        if name in self.manager:
            return self.manager.remove_proto(name, reason=key).generation
        return self.manager.register_proto(Proto(name, CODEX, parents=(COMMON,)), reason=key).version

    def back_up(self, key: str) -> int:
        self.manager.backup(self.backups / f"{key}.a4ps")
        return BACKED_UP


def change_for_ever(request: dict[str, Any], acks: int) -> None:
    # So that a short life meets a checkpoint.
    connections.WAL_CHECKPOINT_PAGES = 60
    image = Path(request["image"])
    manager = ProtoManager.open(image, keys=KeyFolder(Path(request["keys"])), clock=SystemClock())
    if PAIR[0] not in manager:
        everybody = {name: Proto(name, CODEX, state={"a": 0, "b": 0}) for name in PAIR}
        everybody[COMMON] = Proto(COMMON, CODEX, state={"contended": ""})
        everybody |= {f"own {number}": Proto(f"own {number}", CODEX, state={"n": 0, "list": []}) for number in range(3)}
        manager.install({name: proto.content("architect") for name, proto in everybody.items()}, reason="install")
    workers = [
        Worker(manager, acks, request["seed"], number, image.parent / "backups") for number in range(request["threads"])
    ]
    for worker in workers[1:]:
        threading.Thread(target=worker.run, daemon=True).start()
    workers[0].run()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what this process meets is what its parent counts
    serve(change_for_ever)
