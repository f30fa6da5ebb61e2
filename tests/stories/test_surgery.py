"""Story 5, surgery on the living: halo, inspector, prompt. A turn keeps the voice that it began with."""

from __future__ import annotations

from pathlib import Path

import pytest

from a4ps.ui.model.arrangement import first_world
from tests.ui.hand import Hand
from tests.ui.living_desk import household, living_desk, places_of

PROMPT = "codex system_prompt"


def test_a_prompt_is_changed_in_the_inspector_and_each_turn_has_one_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = places_of(household(tmp_path), monkeypatch)
    with living_desk(places, world=first_world(1600, 1000)) as living:
        hand = Hand(living)
        old = hand.asks("Should I learn Rust or Go this winter?")
        hand.desk.say("And what would you still open in March?")
        hand.halo("ROBIN", "inspect")
        hand.press("inspector", "Codex")
        hand.enter("inspector", PROMPT, hand.text("inspector", PROMPT).rstrip() + "\nSay it dryly; no sugar.")
        living.until(lambda: not living.asking)
        new = hand.asks("Dryly then: Rust or Go?")

        def version(turn: str) -> str:
            hand.desk.say(f"/why {turn}")
            living.until(lambda: hand.title("why") == f"Why: turn {turn}")
            hand.sees("why", "ROBIN | version")
            return next(line.split(" | ")[1] for line in hand.reads("why") if line.startswith("ROBIN | version"))

        assert version(old) != version(new)
        assert any("system_prompt" in line for line in _history(hand))
        while "no sugar" in hand.text("inspector", PROMPT):  # windows that were opened since are closed first
            hand.desk.key("ctrl-z")
            living.until(lambda: not living.asking)


def _history(hand: Hand) -> list[str]:
    hand.press("inspector", "History")
    hand.sees("inspector", "architect")
    newest = max(int(line.split(" | ")[0]) for line in hand.reads("inspector") if " | architect | " in line)
    hand.press("inspector", str(newest))
    hand.sees("inspector", "codex")
    lines = hand.reads("inspector")
    hand.press("inspector", "Codex")
    return lines
