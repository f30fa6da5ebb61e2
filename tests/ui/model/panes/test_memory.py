"""The memory window over a real backend: found, pinned, and forgotten only after all its places were shown."""

from __future__ import annotations

import pytest

from a4ps.kernel.backend import Backend
from a4ps.ui.model.pane import Notice, Open
from tests.doubles.pane_driver import Driven


@pytest.fixture
async def window(backend: Backend) -> Driven:
    driven = Driven(backend, "memory")
    await driven.enter("add", "My bike has a 56 cm frame")
    await driven.enter("query", "bike frame")
    return driven


async def test_what_is_added_is_found_with_score_and_source(window: Driven) -> None:
    assert window.effects == [Notice("Remembered as m1.")]
    assert "m1 | 1.00 | My bike has a 56 cm frame" in await window.texts()
    await window.press("m1")
    assert "full text" in await window.texts()


async def test_a_forgetting_shows_every_place_before_it_can_be_done(window: Driven) -> None:
    await window.press("m1")
    await window.look()
    await window.press("Forget …")
    texts = await window.texts()
    assert any("memory m1" in text for text in texts)
    assert any("cannot be undone" in text for text in texts)
    await window.press("Leave it")
    assert any("56 cm" in text for text in await window.texts())
    await window.press("Forget …")
    await window.press("Forget it for good")
    assert Notice("Forgotten.") in window.effects
    assert not any("56 cm" in text for text in await window.texts())


async def test_whatever_has_some_words_is_forgotten(window: Driven) -> None:
    await window.enter("query", "56 cm frame")
    await window.press("Forget whatever")
    assert any(text.startswith("Forgetting “56 cm frame” for good") for text in await window.texts())


async def test_what_nobody_remembers_is_said(window: Driven) -> None:
    await window.enter("query", "submarines")
    assert "Nothing that is remembered belongs to this." in await window.texts()


async def test_a_night_says_what_it_did(window: Driven) -> None:
    await window.enter("query", "")
    await window.press("Sleep now")
    assert isinstance(window.effects[-1], Notice)
    assert "nothing to merge" in window.effects[-1].text


async def test_a_turn_that_is_remembered_opens(window: Driven) -> None:
    from a4ps.protocol.requests.turns import Ask

    await window._asked(Ask(text="Which bike frame suits a tall rider?"))
    await window.enter("query", "tall rider")
    await window.press("1")
    await window.press("Its turn")
    assert window.effects[-1] == Open("transcript", {"turn": "1"})
