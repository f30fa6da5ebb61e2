"""The personas are in an image once, whoever needs them first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.personas.names import NAMES
from a4ps.personas.roster import enrol


def test_several_who_enrol_at_once_make_each_persona_once(tmp_path: Path) -> None:
    for attempt in range(5):
        together = threading.Barrier(4)

        def at_once(manager: ProtoManager, together: threading.Barrier = together) -> None:
            together.wait()
            enrol(manager)

        with (
            ProtoManager.open(tmp_path / f"{attempt}.a4ps", keys=KeyFolder(tmp_path / f"keys{attempt}")) as manager,
            ThreadPoolExecutor(4) as pool,
        ):
            for done in [pool.submit(at_once, manager) for _ in range(4)]:
                done.result()
            assert sorted(manager.names()) == sorted(NAMES)
            assert [len(manager.history(name)) for name in NAMES] == [1] * len(NAMES)
