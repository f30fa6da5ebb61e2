"""A home somebody has lived in, with a secret in every place where words can be."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from a4ps.clock import ManualClock
from a4ps.image.drafts import PREFIX
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.rows import Row
from a4ps.image.turns import Contribution, MemoryUsed, Reply, Turn, TurnLog
from a4ps.kernel.forgetter import Forgetter
from a4ps.kernel.wiring import forgetter_of
from a4ps.places import Places

SECRET = "Rumpelstilz 7734"
QUESTION = f"My bank PIN is {SECRET}, where do I keep it?"
OTHER = "Why do cats purr?"


def places_in(folder: Path) -> Places:
    return Places(folder / "home", folder / "state")


def opened(places: Places) -> ProtoManager:
    return ProtoManager.open(places.image, keys=KeyFolder(places.keys), clock=ManualClock())


def forgetter(places: Places, manager: ProtoManager) -> Forgetter:
    return forgetter_of(places, manager)


def asked(manager: ProtoManager, question: str, *, recalled: tuple[int, ...] = (), said: str = "No.") -> None:
    """An answered turn, under the next number."""

    async def both(log: TurnLog) -> None:
        turn = await log.accept(Turn("", question, manager.store.clock.now(), "scripted", {}, {}))
        spoken = Contribution("ALFRED", "synthesis", said, "m", 1, 1, 1.0)
        used = tuple(MemoryUsed(str(each), 1.0, "full text") for each in recalled)
        await log.answer(
            turn, Reply((spoken,), None, estimated=False, rounds=0, model_ms=1.0, overhead_ms=1.0, memories_used=used)
        )

    asyncio.run(both(TurnLog(manager.store)))


def lived_in(folder: Path) -> Places:
    """Turn 1 tells the secret, turn 2 recalled it, turn 3 has nothing to do with it."""
    places = places_in(folder)
    with opened(places) as manager:
        codex = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
        manager.register_proto(
            Proto("BRICK", codex, state={"notes": ["tea", QUESTION], "n": 0}), reason=f"since {SECRET}"
        )
        asked(manager, QUESTION)
        asked(manager, "Is that safe?", recalled=(1,), said="In a drawer.")
        asked(manager, OTHER)
        for number in range(3):
            with manager.transaction() as tx:
                tx.edit("BRICK").state["n"] = number
        use = b'{"calls": 2, "failures": 1, "ms": 2.0, "failed": [{"args": "(\'%s\',)", "why": "x", "at": "y"}]}'
        manager.store.commit([Row("tool-use", "bank", use % SECRET.encode())], author="package", reason="bank was used")
        manager.backup(places.home / "image-20261122-100000.a4ps")
    places.chat_history.write_text(f"\n# 2026-11-22 12:00:00\n+{OTHER}\n\n# 2026-11-22 12:01:00\n+/all {QUESTION}\n")
    places.log.write_text(f"one line\nanother with {SECRET.upper()} in it\n")
    places.log.with_name("a4ps.log.1").write_text(f"older: {SECRET}\n")
    places.crashes.mkdir()
    (places.crashes / "crash-1.txt").write_text(f"service: memory\n\nValueError: {SECRET!r}\n")
    places.worlds.mkdir()
    note = {"id": "note", "kind": "note", "x": 0, "y": 0, "width": 200, "height": 100, "state": {"text": QUESTION}}
    (places.worlds / "home.json").write_text(json.dumps({"a4ps-world": 1, "morphs": [note], "state": {}}))
    (places.worlds / "old.damaged").write_text(f'{{"a4ps-world": 1, "morphs": [{{"state": "{SECRET}')
    checkpoint(places, "1", SECRET.encode())
    draft = places.home / f"{PREFIX}dead"
    draft.mkdir()
    (draft / "file").write_text(SECRET)
    (places.home / ".salvage-dead").mkdir()
    (places.home / ".salvage-dead" / "report.json").write_text(SECRET)
    return places


def checkpoint(places: Places, thread: str, value: bytes) -> None:
    """As LangGraph's saver writes one, with the columns that matter here."""
    places.checkpoints.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(places.checkpoints)) as connection, connection:
        for table in ("checkpoints", "writes"):
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (thread_id TEXT, value BLOB)")
        connection.execute("INSERT INTO writes VALUES (?, ?)", (thread, value))
