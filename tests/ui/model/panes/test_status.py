"""Status: what is told of the backend, of a link that is not live, and of a check of the image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from a4ps.kernel.backend import Backend
from a4ps.kernel.status import snapshot_of
from a4ps.kernel.status import status as status_of
from a4ps.protocol.requests.image import Verify
from a4ps.ui.model.pane import Keep, Notice, Open, Outcome, Seen, Send, known_panes
from a4ps.ui.model.society import LinkState, Society
from tests.doubles.pane_driver import Driven, pressables, text_of

PANE = known_panes()["status"]


@pytest.fixture
async def status(backend: Backend) -> dict[str, Any]:
    return {**status_of(snapshot_of(backend))}


def seen(status: dict[str, Any] | None, link: LinkState = "live", **state: Any) -> Seen:
    return Seen({"pane": "status", **state}, {}, Society(link=link, status=status))


def texts(at: Seen) -> list[str]:
    return [text_of(block) for block in PANE.blocks(at)]


def test_nothing_is_asked_as_the_society_has_it() -> None:
    assert not PANE.needs({}, Society())


async def test_every_part_of_a_living_backend_is_told(status: dict[str, Any]) -> None:
    shown = texts(seen(status))
    for part in ("A4PS", "image", "engine", "turns", "memory", "sandbox", "sessions"):
        assert any(text.startswith(f"{part} | ") for text in shown), part
    assert "engine | none was needed yet" in shown
    assert all(any(text.startswith(name) for text in shown) for name in status["services"])


async def test_what_is_wrong_is_told_with_its_part(status: dict[str, Any]) -> None:
    broken = {
        **status,
        "image": {**status["image"], "read_only": "the disk is full"},
        "memory": {**status["memory"], "fault": "the embedder does not answer"},
        "services": {
            "gauges": {"owner": "x", "state": "backing off", "restarts": 3, "last_error": "boom", "since": ""},
        },
    }
    shown = texts(seen(broken))
    assert {"the disk is full", "the embedder does not answer", "boom"} <= set(shown)
    assert "gauges | backing off | 3 restarts" in shown


@pytest.mark.parametrize(("link", "way_out"), [("lost", "a4ps up"), ("refused", "a4ps doctor")])
async def test_a_link_that_is_not_live_says_so_and_what_to_do(
    status: dict[str, Any], link: LinkState, way_out: str
) -> None:
    shown = texts(seen(status, link))
    assert any(way_out in text for text in shown)
    assert "What follows is as it was." in shown
    assert "Nothing is known of the backend yet." in texts(seen(None, link))


@pytest.mark.parametrize(
    ("seconds", "told"), [(42.9, "42 s"), (125, "2 min"), (7_500, "2 h 5 min"), (90_000, "1 d 1 h")]
)
async def test_how_long_it_is_up(status: dict[str, Any], seconds: float, told: str) -> None:
    assert any(f"up {told};" in text for text in texts(seen({**status, "uptime_s": seconds})))


async def test_a_part_opens_its_window(status: dict[str, Any]) -> None:
    at = seen(status)
    act = next(act for said, act in pressables(PANE.blocks(at)) if said.startswith("memory"))
    assert PANE.acted(act, at) == [Open("memory")]


async def test_the_image_is_checked_and_what_was_found_stays(backend: Backend) -> None:
    window = Driven(backend, "status")
    window.society = replace(Society(link="live"), status={**status_of(snapshot_of(backend))})
    await window.press("Check all of it")
    assert any(text.startswith("Sound: all of ") for text in await window.texts())


def test_damage_is_told_with_its_faults() -> None:
    act = dict(pressables(PANE.blocks(seen(None)))).get("Check the image")
    assert act is None, "where nothing is known there is nothing to check"
    found = {"ok": False, "deep": False, "commits": 3, "rows": 9, "faults": ["row 7 is torn"], "warnings": []}
    (kept,) = PANE.told(Outcome("verified", found), seen(None))
    assert isinstance(kept, Keep)
    assert kept.state["verified"]["told"] == ["row 7 is torn"]
    assert PANE.told(Outcome("verified", fault="no", next_step="yes"), seen(None)) == [Notice("no", "yes", bad=True)]


async def test_a_quick_check_is_of_the_newest(status: dict[str, Any]) -> None:
    at = seen(status)
    (send,) = PANE.acted(dict(pressables(PANE.blocks(at)))["Check the image"], at)
    assert isinstance(send, Send)
    assert send.request == Verify(deep=False)
