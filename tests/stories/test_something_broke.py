"""Story 14, something broke: a live method raises, the debugger opens on the frame; the line is mended, the call goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from a4ps.ui.model.arrangement import first_world
from tests.ui.hand import Hand
from tests.ui.living_desk import household, living_desk, places_of

SHARE = "def share(self, apples, friends):\n    each = apples // friends\n    return each\n"
MENDED = SHARE.replace("apples // friends", "apples // friends if friends else apples")


def test_a_failed_method_is_mended_where_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = places_of(household(tmp_path), monkeypatch)
    with living_desk(places, world=first_world(1600, 1000)) as living:
        hand = Hand(living)
        hand.desk.say("/workspace")
        hand.enter("workspace", "workspace", f"robin.define('share', {SHARE!r})", "ctrl-d")
        living.until(lambda: not living.asking)
        hand.enter("workspace", "workspace", "robin.share(7, 0)", "ctrl-p")

        hand.sees("debugger", "ZeroDivisionError")
        lines = hand.reads("debugger")
        assert any("share, line 2" in line and "apples // friends" in line for line in lines)
        assert "friends = 0" in lines
        hand.enter("debugger", "source", MENDED)
        hand.press("debugger", "Retry on a copy")
        hand.sees("debugger", "→ 7")
        hand.press("debugger", "Accept untested")
        living.until(lambda: not living.asking)

        hand.enter("workspace", "workspace", "robin.share(7, 0)", "ctrl-p")
        hand.sees("workspace", "→ 7")
        hand.sees("debugger", "Its text has changed since it failed")
