"""The Transcript: a turn while it is spoken, and one that is looked back upon, over a real backend in rehearsal."""

from __future__ import annotations

from dataclasses import replace

from a4ps.kernel.backend import Backend
from a4ps.protocol.requests.turns import Ask
from a4ps.ui.model.blocks import Act, Bar, Button, Buttons
from a4ps.ui.model.pane import Do, Keep, Open, Seen, Stop, known_panes
from a4ps.ui.model.society import Contribution, Society, TurnSeen
from tests.doubles.pane_driver import Driven

SPEAKING = Society(
    turn=TurnSeen(
        "3",
        "Rust or Go?",
        (Contribution("ALFRED", "plan", "Weigh both."), Contribution("BRICK", "thesis", "Two week", done=False)),
        memories=({"id": "1", "text": "I like Rust.", "score": 0.81, "source": "vectors"},),
        dissonance=(0.52, 0.31),
        running=True,
    )
)


async def answered(backend: Backend, question: str = "Should I learn Rust or Go this winter?") -> str:
    turn = await Driven(backend, "transcript")._asked(Ask(text=question))
    return str(turn["turn_id"])


async def test_what_is_being_said_is_shown_as_it_comes(backend: Backend) -> None:
    window = Driven(backend, "transcript", SPEAKING)
    texts = await window.texts()
    assert texts[0] == "You  Rust or Go?"
    assert "BRICK | Two week▍" in texts
    assert " | memory 1 · 0.81 · vectors" in texts
    assert any("dissonance 0.52 → 0.31" in block.label for block in await window.look() if isinstance(block, Bar))
    await window.press("Stop")
    assert window.effects == [Do(Act("stop"))]


async def test_before_the_first_word_it_says_that_one_comes(backend: Backend) -> None:
    sent = Society(turn=TurnSeen("", "Rust or Go?", running=True))
    assert any("first word" in text for text in await Driven(backend, "transcript", sent).texts())
    assert not any("first word" in text for text in await Driven(backend, "transcript", SPEAKING).texts())


async def test_an_earlier_turn_is_found_and_looked_at(backend: Backend) -> None:
    first, _ = await answered(backend), await answered(backend, "And what of the garden?")
    window = Driven(backend, "transcript")
    await window.look()
    await window.press("Earlier turns")
    await window.enter("find", "rust")
    texts = await window.texts()
    assert sum("winter?" in text for text in texts) == 1
    assert not any("garden" in text for text in texts)
    await window.press(first)
    assert window.title == f"Transcript: turn {first}"
    assert any(text.startswith("ROBIN | ") for text in await window.texts())
    await window.press("Why?")
    assert window.effects == [Open("why", {"subject": first})]


def test_a_turn_that_is_run_again_can_be_left_even_where_nobody_answers_any_more() -> None:
    at = Seen({"pane": "transcript", "turn": "1", "again": True}, {}, Society())
    stop, kept = known_panes()["transcript"].acted(Act("stop"), at)
    assert stop == Stop("again")
    assert kept == Keep({"pane": "transcript", "turn": "1"})


async def test_a_turn_is_run_again_of_todays_minds(backend: Backend) -> None:
    first = await answered(backend)
    window = Driven(backend, "transcript", turn=first)
    await window.look()
    await window.press("Run again")
    assert window.state["turn"] != first
    assert any(f"like the answer of turn {first}" in text for text in await window.texts())


async def test_a_turn_that_broke_off_can_be_gone_on_with(backend: Backend) -> None:
    broken = replace(SPEAKING.turn, running=False, fault="the engine is gone")
    window = Driven(backend, "transcript", Society(turn=broken))
    buttons = [each.label for block in await window.look() if isinstance(block, Buttons) for each in block.buttons]
    assert "Go on with it" in buttons
    assert "the engine is gone" in await window.texts()


async def test_before_the_first_question_it_says_what_to_do(backend: Backend) -> None:
    texts = await Driven(backend, "transcript").texts()
    assert texts[0] == "Nothing was asked yet."
    assert isinstance((await Driven(backend, "transcript").look())[-1], Buttons)
    assert Button("Earlier turns", Act("earlier")) in (await Driven(backend, "transcript").look())[-1].buttons  # type: ignore[union-attr]
