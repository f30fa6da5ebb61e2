"""A backend with a Proto to look into, for windows that are driven over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from a4ps.image.proto import Proto
from a4ps.kernel.backend import Backend
from a4ps.kernel.wiring import environment

CODEX = {"role": "keeper", "model_name": "m", "system_prompt": "Keep."}
GREET = 'def greet(self, whom):\n    """Says hello."""\n    return f"hello {whom}"\n'
SHARE = "def share(self, many):\n    notes = self.state['notes']\n    return len(notes) // many\n"


@pytest.fixture
async def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    opened = await Backend.open(environment(str(tmp_path / "home"), {"A4PS_ENGINE": "rehearsal"}), fleeting=True)
    base = Proto("BASE", CODEX, state={"mood": "even"})
    base.define("greet", GREET)
    opened.protos.register_proto(base)
    note = Proto("NOTE", CODEX, parents=["BASE"], state={"notes": [{"text": "tea"}], "count": 3, "about": "שלום"})
    note.define("share", SHARE)
    opened.protos.register_proto(note)
    yield opened
    await opened.aclose()
