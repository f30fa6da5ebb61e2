"""Why, over a real backend: an answer's memories, minds and argument are shown, and open what they are about."""

from __future__ import annotations

from a4ps.kernel.backend import Backend
from a4ps.protocol.requests.turns import Ask
from a4ps.ui.model.pane import Open
from tests.doubles.pane_driver import Driven

QUESTION = "Should I learn Rust or Go this winter?"


async def test_all_that_an_answer_rests_on_is_shown(backend: Backend) -> None:
    window = Driven(backend, "why")
    await window._asked(Ask(text=QUESTION))
    await window._asked(Ask(text="And once more: Rust or Go this winter?"))
    texts = await window.texts()
    assert window.title == "Why: turn 2"
    assert any(text.startswith("1 ") and QUESTION in text for text in texts), "the memory, with its score"
    assert any(text.startswith("ROBIN | version") for text in texts)
    assert any("round 1: dissonance" in getattr(block, "label", "") for block in await window.look())
    assert any(text.startswith("BRICK | thesis") for text in texts)
    await window.press("ROBIN")
    assert window.effects == [Open("inspector", {"subject": "ROBIN", "tab": "Evidence"})]


async def test_a_turn_that_is_not_there_says_so(backend: Backend) -> None:
    texts = await Driven(backend, "why", subject="99").texts()
    assert texts[0] == "there is no turn 99"
