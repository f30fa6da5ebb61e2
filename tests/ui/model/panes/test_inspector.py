"""The Inspector over a living image: what is edited in it changes the Proto itself, or is refused where it was typed."""

from __future__ import annotations

import pytest

from a4ps.kernel.backend import Backend
from a4ps.ui.model.blocks import Code, Entry, Plot, SideBySide
from a4ps.ui.model.pane import Copy, Notice, Open
from a4ps.ui.model.panes.slots import PAGE
from a4ps.ui.model.society import Persona, Society
from tests.doubles.pane_driver import Driven
from tests.sandbox.tiers_here import missing
from tests.ui.model.panes.conftest import GREET

needs_sandbox = pytest.mark.skipif(bool(missing("bubblewrap") and missing("runsc")), reason="no sandbox works here")


def inspector(backend: Backend, **state: str) -> Driven:
    return Driven(backend, "inspector", None, subject="NOTE", **state)


async def test_a_slot_that_is_edited_in_place_is_the_living_ones(backend: Backend) -> None:
    window = inspector(backend)
    assert (await window.entry('["count"]')).text == "3"
    await window.enter('["count"]', "5")
    assert backend.protos.get_proto("NOTE").state["count"] == 5
    assert (await window.entry('["count"]')).text == "5"
    assert window.changes == [backend.protos.get_proto("NOTE").version], "so that it can be undone"
    assert window.title == f"Inspector: NOTE, version {window.changes[0]}"


async def test_a_refused_edit_says_why_and_keeps_what_was_typed(backend: Backend) -> None:
    window = inspector(backend)
    await window.enter('["count"]', "three")
    entry = await window.entry('["count"]')
    assert entry.text == "three"
    assert "neither a Python literal nor JSON" in entry.fault
    assert "write a number" in entry.fault
    assert backend.protos.get_proto("NOTE").state["count"] == 3
    await window.enter('["count"]', "7")
    assert (await window.entry('["count"]')).fault == ""
    assert "typed" not in window.state or not window.state["typed"]


async def test_more_than_a_request_takes_is_refused_in_its_field(backend: Backend) -> None:
    window = inspector(backend)
    await window.enter('["about"]', "x" * 1_000_001)
    entry = await window.entry('["about"]')
    assert len(entry.text) == 1_000_001
    assert "at most 1,000,000 characters" in entry.fault
    for chord in ("ctrl-d", "ctrl-p"):
        await window.enter("workspace", "x" * 1_000_001, chord)
        assert isinstance(window.effects[-1], Notice)


async def test_what_lies_inside_is_opened_and_edited(backend: Backend) -> None:
    window = inspector(backend)
    await window.press("notes")
    await window.press("0")
    await window.enter('["notes", 0, "text"]', "green tea")
    assert backend.protos.get_proto("NOTE").state["notes"][0]["text"] == "green tea"
    await window.press("notes")
    assert window.state["opened"] == [], "what lay beneath is closed with it"


async def test_right_to_left_text_is_shown_and_set_as_it_is(backend: Backend) -> None:
    window = inspector(backend)
    assert (await window.entry('["about"]')).text == "שלום"
    await window.enter('["about"]', "سلام 'x'\\n")
    assert backend.protos.get_proto("NOTE").state["about"] == "سلام 'x'\\n"


async def test_a_slot_of_a_megabyte_is_capped_and_can_be_seen_whole(backend: Backend) -> None:
    large = "0123456789" * 100_000
    async with backend.protos.transaction() as transaction:
        transaction.edit("NOTE").state["about"] = large
    window = inspector(backend)
    blocks = await window.look()
    assert not [each for each in blocks if isinstance(each, Entry) and each.key == '["about"]']
    assert max(len(text) for text in await window.texts()) < 1_000
    await window.press("show it whole")
    shown = [each for each in await window.look() if isinstance(each, Code)]
    assert shown[0].text == large[:PAGE]
    for _ in range(2):
        await window.press("Later")
    assert [each.text for each in await window.look() if isinstance(each, Code)] == [large[2 * PAGE : 3 * PAGE]]
    await window.press("Copy it")
    assert window.effects == [Copy(large)]
    await window.press("Back to all slots")
    assert "whole" not in window.state


async def test_the_codex_is_edited_in_place(backend: Backend) -> None:
    window = Driven(backend, "inspector", subject="BRICK", tab="codex")
    assert (await window.entry("codex pillars")).lines == 3
    await window.enter("codex pillars", "one\ntwo")
    assert backend.protos.get_proto("BRICK").codex.pillars == ("one", "two")
    assert (await window.entry("codex pillars")).text == "one\ntwo"
    await window.enter("codex temperature", "hot")
    entry = await window.entry("codex temperature")
    assert entry.text == "hot"
    assert entry.fault
    assert len(window.changes) == 1


async def test_slots_are_made_and_taken_away(backend: Backend) -> None:
    window = inspector(backend)
    await window.enter("new", "nonsense")
    assert "write: mood = 'calm'" in (await window.entry("new")).fault
    await window.enter("new", "hue = ['red', 1]")
    assert backend.protos.get_proto("NOTE").state["hue"] == ["red", 1]
    assert (await window.entry("new")).text == ""
    await window.enter('["count"]', "3", "ctrl-delete")
    assert "count" not in backend.protos.get_proto("NOTE").state


@needs_sandbox
async def test_a_method_is_accepted_only_after_its_test(backend: Backend) -> None:
    window = inspector(backend, tab="methods")
    assert any("greet(whom)  architect from BASE in-process" in text for text in await window.texts())
    await window.press("greet")
    bad = GREET.replace("{whom}", "{nobody}")
    await window.enter("source", bad)
    await window.enter("arguments", "'you'")
    await window.press("Test, then accept")
    entry = await window.entry("source")
    assert entry.text == bad, "what was typed is still there"
    assert "failed its test" in entry.fault
    assert any("NameError" in text for text in await window.texts())
    assert "greet" not in backend.protos.get_proto("NOTE").methods
    await window.enter("source", GREET.replace("hello", "hi"), "")
    await window.enter("source", "", "ctrl-s")
    assert backend.protos.get_proto("NOTE").greet("you") == "hi you"
    assert any("→ 'hi you'" in text for text in await window.texts())
    assert window.changes == [backend.protos.get_proto("NOTE").version]
    await window.press("Evidence")
    assert any("sandbox" in text for text in await window.texts()), "the change rests on that test"


async def test_a_text_that_is_no_method_is_refused_in_its_field(backend: Backend) -> None:
    window = inspector(backend, tab="methods", method="share")
    await window.enter("source", "def share(:")
    await window.press("Accept untested")
    assert "is not Python" in (await window.entry("source")).fault
    await window.enter("arguments", "open('x')")
    await window.enter("source", "def share(self): pass\n")
    await window.press("Try on a copy")
    assert "are no arguments" in (await window.entry("arguments")).fault


async def test_a_new_method_begins_with_a_text_and_can_be_forgotten(backend: Backend) -> None:
    window = inspector(backend, tab="methods")
    await window.enter("new-method", "not a name")
    assert (await window.entry("new-method")).fault
    await window.enter("new-method", "whole")
    assert (await window.entry("source")).text.startswith("def whole(self):")
    await window.press("Accept untested")
    assert backend.protos.get_proto("NOTE").whole()["count"] == 3
    await window.press("Forget it")
    assert "whole" not in backend.protos.get_proto("NOTE").methods


async def test_history_shows_each_change_and_takes_it_back(backend: Backend) -> None:
    window = inspector(backend)
    await window.enter('["count"]', "9")
    change = window.changes[0]
    await window.press("History")
    assert (await window.texts())[2].startswith(f"{change} | "), "the newest first"
    await window.press(str(change))
    shown = [each for each in await window.look() if isinstance(each, SideBySide)]
    assert [each.rows for each in shown] == [(("3", "9"),)]
    await window.press(f"Revert change {change}")
    assert backend.protos.get_proto("NOTE").state["count"] == 3
    assert isinstance(window.effects[-1], Notice)
    await window.press(f"Revert change {change}")
    assert window.effects[-1] != window.effects[-2]
    assert isinstance(window.effects[-1], Notice)


async def test_evidence_says_where_there_is_none(backend: Backend) -> None:
    window = inspector(backend, tab="evidence")
    assert any("the word of its author" in text for text in await window.texts())
    await window.press("What it changed")
    assert any(isinstance(each, SideBySide) for each in await window.look())


async def test_plots_are_those_of_the_proto(backend: Backend) -> None:
    points = ((1.0, 0.2), (2.0, 0.4))
    series = {
        "character.BRICK": points,
        "character.ROBIN": points,
        "dissonance": points,
        "drift-1.BRICK.judged": points,
        "vram_bytes": ((2.0, 6e9),),
        "loads": points,
    }
    society = Society(personas={"BRICK": Persona("BRICK", "logic")}, series=series)
    window = Driven(backend, "inspector", society, subject="BRICK", tab="plots")
    plots = [each for each in await window.look() if isinstance(each, Plot)]
    assert [each.name for each in plots] == ["character.BRICK", "drift-1.BRICK.judged", "dissonance", "vram_bytes"]
    assert [(each.low, each.high) for each in plots[:3]] == [(0.0, 1.0)] * 3
    assert (plots[3].points, plots[3].unit) == ([(2.0, 6.0)], "GB")
    assert any("no figures" in text for text in await inspector(backend, tab="plots").texts())


async def test_the_workspace_at_the_bottom_is_about_its_proto(backend: Backend) -> None:
    window = inspector(backend)
    await window.enter("workspace", "self.count * 2", "ctrl-p")
    assert "→ 6" in await window.texts()
    await window.enter("workspace", "self.mood = 'calm'", "ctrl-d")
    assert backend.protos.get_proto("NOTE").state["mood"] == "calm"
    await window.enter("workspace", "image['BASE']", "ctrl-i")
    assert window.effects[-1] == Open("inspector", {"subject": "BASE"})


async def test_a_value_is_inspected_as_a_tree(backend: Backend) -> None:
    window = inspector(backend)
    await window.enter("workspace", "self.notes", "ctrl-i")
    opened = window.effects[-1]
    assert isinstance(opened, Open)
    tree = Driven(backend, opened.pane, **opened.state)
    assert await tree.texts() == ["» self.notes", "list of 1", "0", "dict of 1", "text  tea"]


async def test_a_proto_that_is_not_there_is_said_so(backend: Backend) -> None:
    window = Driven(backend, "inspector", subject="NOBODY")
    assert (await window.texts())[0] == "there is no Proto NOBODY"
    assert Driven(backend, "inspector").title == "Inspector"


async def test_a_pinned_version_stays_and_is_not_edited(backend: Backend) -> None:
    window = inspector(backend)
    await window.look()
    await window.press("pin this version")
    async with backend.protos.transaction(author="architect") as change:
        change.edit("NOTE").state["count"] = 9
    entry = await window.entry('["count"]')
    assert (entry.text, entry.read_only) == ("3", True)
    assert window.title.endswith("pinned")
    await window.press("follow it again")
    assert (await window.entry('["count"]')).text == "9"
