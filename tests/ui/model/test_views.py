"""Views of one's own: a few lines make a tab, and one that fails harms only itself."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from a4ps.errors import CallerError
from a4ps.ui.model import views
from a4ps.ui.model.blocks import Bar, Block, Tabs, say
from a4ps.ui.model.pane import Answer, Seen, known_panes
from a4ps.ui.model.society import Society
from a4ps.ui.model.views import Shown, paragraphs, view, views_of

CODEX = {"role": "r", "model_name": "m", "system_prompt": "p", "voice": "blunt", "pillars": ["one"], "temperature": 0.5}
SLOT = {"name": "tank", "text": "0.7", "type": "float", "depth": 0, "path": ["tank"], "size": None, "plain": False}
PROTO: Mapping[str, Any] = {
    "name": "CAR",
    "version": 3,
    "codex": {**CODEX, "voice": "", "extra": {}},
    "parents": [],
    "slots": [{**SLOT, "editable": True, "cut": False, "opens": False, "left": 0, "inherited": ""}],
    "slots_left": 0,
    "methods": [],
}


@pytest.fixture(autouse=True)
def own_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_VIEWS", dict(views._VIEWS))


def register() -> None:
    @view("Fuel", of=lambda proto: any(slot["name"] == "tank" for slot in proto["slots"]))
    def fuel(proto: Shown) -> Sequence[Block]:
        return [Bar(float(slot["text"]), "fuel") for slot in proto["slots"] if slot["name"] == "tank"]


def shown(proto: Mapping[str, Any], tab: str = "") -> Sequence[Block]:
    state = {"pane": "inspector", "subject": proto["name"], "tab": tab}
    return known_panes()["inspector"].blocks(Seen(state, {"proto": Answer(proto)}, Society()))


def tabs(blocks: Sequence[Block]) -> Sequence[str]:
    return next(each.names for each in blocks if isinstance(each, Tabs))


def test_a_view_of_at_most_ten_lines_is_a_tab() -> None:
    assert len(inspect.getsource(register).splitlines()) - 1 <= 10
    assert "Fuel" not in tabs(shown(PROTO))
    register()
    assert tabs(shown(PROTO))[-1] == "Fuel"
    assert Bar(0.7, "fuel") in shown(PROTO, "Fuel")
    assert "Fuel" not in tabs(shown({**PROTO, "slots": []}))


def test_personas_have_a_view_of_who_they_are() -> None:
    persona = {**PROTO, "name": "BRICK", "codex": {**CODEX, "extra": {}}}
    assert [each.title for each in views_of(persona)] == ["Persona"]
    assert say("· one", indent=1) in shown(persona, "Persona")
    assert not views_of(PROTO)


def test_a_view_that_fails_is_shown_as_such() -> None:
    @view("Broken", of=lambda _: True)
    def broken(_: Shown) -> Sequence[Block]:
        raise ValueError("no such thing")

    @view("Undecided", of=lambda proto: bool(proto["missing"]))
    def undecided(_: Shown) -> Sequence[Block]:
        return []

    assert [each.title for each in views_of(PROTO)] == ["Broken"]
    assert say("The view Broken failed: ValueError: no such thing", "bad") in shown(PROTO, "Broken")


def test_the_tabs_of_an_inspector_are_not_taken() -> None:
    with pytest.raises(CallerError, match="has a tab Slots"):
        view("Slots", of=lambda _: True)


def test_lines_that_a_file_was_broken_into_are_one_paragraph_and_bullets_are_not() -> None:
    assert paragraphs("You speak\nsecond.\n\nMethod:\n- ask\n- listen") == [
        "You speak second.",
        "Method:",
        "- ask",
        "- listen",
    ]
    assert paragraphs("") == []
