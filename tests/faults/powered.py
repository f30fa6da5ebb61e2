"""Programs whose power is cut. Run by test_power_cut.py under strace, as `python -m … NAME FOLDER`.

Each says on its standard output, in one write a line, what it is about to do ("begin KEY …") and what was acknowledged
("done KEY …"); being writes, those lines stand in the recording among the others.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from a4ps.clock import ManualClock
from a4ps.image import connections
from a4ps.image.codec import encode_slot
from a4ps.image.keys import KeyFolder
from a4ps.image.portable import write_portable
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.snapshot import PortableImage, ProtoSnapshot
from tests.image.images import CREATED

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
IMAGE_ID = bytes(range(16))
PAIR = ("BRICK", "ROBIN")


def say(*words: object) -> None:
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


def committed(key: str, change: Callable[[str], int]) -> int:
    say("begin", key)
    generation = change(key)
    say("done", key, generation)
    return generation


def live(folder: Path, life: int, commits: int) -> None:
    """Open the image, change the two Protos together, swap and revert a third; the log is written back in between."""
    with ProtoManager.open(folder / "image.a4ps", keys=KeyFolder(folder / "keys"), clock=ManualClock()) as manager:

        def register(key: str) -> int:
            return manager.register_proto(Proto(key, CODEX, state={"n": 0}), reason=key).version

        def together(key: str) -> int:
            with manager.transaction(reason=key) as tx:
                for name, sign in zip(PAIR, (1, -1), strict=True):
                    state = tx.edit(name).state
                    state["n"] += sign
                    state["ballast"] = os.urandom(9000 if state["n"] % 7 == 0 else 10)
            return tx.changes[0].generation

        def swap(key: str) -> int:
            draft = manager.get_proto("third").clone()
            draft.state["n"] += 1
            return manager.atomic_swap(draft, reason=key).generation

        def revert(key: str) -> int:
            return manager.revert(swapped, reason=key)[0].generation

        for name in (*PAIR, "third"):
            if name not in manager:
                committed(name, register)
        swapped = 0
        for number in range(commits):
            key = f"{life}.{number}"
            if number % 5 == 3:
                swapped = committed(key, swap)
            elif number % 5 == 4:
                committed(key, revert)
            else:
                committed(key, together)
        if life == 0:
            say("begin", "backup")
            manager.backup(folder / "backup.a4ps")
            say("done", "backup", 0)


def image(folder: Path) -> None:
    for number in range(3):
        live(folder, number, 12)


def one_life(folder: Path) -> None:
    live(folder, 10, 8)


def reopened(folder: Path) -> None:
    live(folder, 11, 3)


def new_home(folder: Path) -> None:
    live(folder / "new" / "home", 0, 5)


def numbered(number: int) -> PortableImage:
    slots = {"n": encode_slot(number, "n"), "ballast": encode_slot(bytes([number]) * 5000, "ballast")}
    return PortableImage(CREATED, {f"P{n}": ProtoSnapshot(f"P{n}", {"role": "r"}, slots=slots) for n in range(5)})


def portable(folder: Path) -> None:
    keys = KeyFolder(folder / "keys")
    keys.create(IMAGE_ID)
    for number in range(1, 6):
        say("begin", number)
        write_portable(folder / "image.portable", numbered(number), keys, IMAGE_ID)
        say("done", number)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what this process meets is what its parent counts
    # So that the log is written back and begun anew again and again, and not once in a thousand pages.
    connections.WAL_CHECKPOINT_PAGES = 30
    programs: dict[str, Callable[[Path], None]] = {
        "image": image,
        "one_life": one_life,
        "reopened": reopened,
        "new_home": new_home,
        "portable": portable,
    }
    programs[sys.argv[1]](Path(sys.argv[2]))
