"""A window's state comes out of a script that anybody may have written: whatever it is, the window shows something."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.pane import Answer, Outcome, Seen, known_panes
from a4ps.ui.model.panes import sound
from a4ps.ui.model.society import Society

SLOT: dict[str, Any] = {
    "path": ["a"],
    "depth": 0,
    "name": "a",
    "type": "list",
    "text": "[1]",
    "size": 1,
    "plain": False,
}
SLOT |= {"editable": True, "cut": False, "opens": True, "left": 0, "inherited": ""}
CODEX = {
    "role": "r",
    "model_name": "m",
    "system_prompt": "p",
    "voice": "v",
    "pillars": [],
    "temperature": 0.1,
    "extra": {},
}
METHOD: dict[str, Any] = {
    "name": "go",
    "signature": "()",
    "summary": "",
    "source": "def go(self): pass\n",
    "author": "x",
}
METHOD |= {"reason": "", "hash": "0", "level": "sandboxed", "folders": [], "inherited": "", "reads": [], "writes": []}
PROTO = {
    "name": "NOTE",
    "version": 3,
    "codex": CODEX,
    "parents": [],
    "slots": [SLOT],
    "slots_left": 0,
    "methods": [{**METHOD, "failed": True}],
}
CHANGE = {"change": 3, "base": 0, "at": "2026-01-01T00:00:00+00:00", "act": "register", "author": "x", "reason": ""}
FRAME = {
    "file": "f",
    "line": 1,
    "function": "go",
    "source": "pass",
    "locals": {},
    "proto": "NOTE",
    "method": "go",
    "text": "",
}
FAILURE: dict[str, Any] = {
    "proto": "NOTE",
    "method": "go",
    "version": 3,
    "hash": "0",
    "author": "x",
    "level": "sandboxed",
}
FAILURE |= {"arguments": "", "kind": "E", "message": "", "next": "", "frames": [FRAME], "output": "", "at": "2026"}
ANSWERS = {
    "proto": Answer(PROTO),
    "whole": Answer({"text": "x", "type": "str", "plain": True, "editable": True, "cut": False}),
    "history": Answer(
        {"changes": [{**CHANGE, "proto": "NOTE", "evidence": None, "inherited": False, "forgotten": False}]}
    ),
    "diff": Answer({"differences": []}),
    "protos": Answer({"protos": [{"name": "NOTE", "methods": 1, "failed": []}]}),
    "versions": Answer(
        {"versions": [{**CHANGE, "parts": ["method go"], "source": "x", "forgotten": False, "gone": False}]}
    ),
    "failures": Answer({"failures": [{**FAILURE, "last": True, "again": True}]}),
}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("NOTE") | st.just("go"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = (*sound._FORMS, "something else")
TABS = st.sampled_from(["slots", "codex", "methods", "history", "evidence", "Plots", "Persona"])
STATES = st.dictionaries(st.sampled_from(KEYS), ANYTHING).flatmap(
    lambda state: st.tuples(TABS, st.booleans()).map(lambda more: {**state, "tab": more[0]} if more[1] else state)
)
MINE = ("inspector", "browser", "workspace", "debugger")


@pytest.mark.parametrize("name", MINE)
@given(state=STATES, about=st.booleans())
def test_whatever_is_in_a_script_a_window_shows_something(name: str, state: dict[str, Any], about: bool) -> None:
    pane = known_panes()[name]
    state = {**state, "pane": name, **({"subject": "NOTE", "method": "go"} if about else {})}
    seen = Seen(state, ANSWERS, Society())
    pane.needs(state, Society())
    assert isinstance(pane.title(seen), str)
    assert pane.blocks(seen)
    for tag in ("set x", "accept", "try", "evaluate do 1", "complete x"):
        pane.told(Outcome(tag, fault="no", next_step="yes"), seen)
