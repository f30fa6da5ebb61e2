"""Views of other packages are there, and one that cannot be imported keeps nothing else from being so."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from a4ps.ui import own_views


def test_one_that_fails_is_told_and_the_others_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    brought = [
        EntryPoint(name, value, own_views.GROUP) for name, value in (("a", "no.such"), ("b", "json"), ("c", "x y"))
    ]
    monkeypatch.setattr(own_views, "entry_points", lambda group: brought if group == own_views.GROUP else [])
    told = own_views.load_own_views()
    assert [notice.bad for notice in told] == [True, True]
    assert "no.such" in told[0].text
    assert "brings a" in told[0].next_step
