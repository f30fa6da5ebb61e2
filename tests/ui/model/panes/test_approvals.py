"""Approvals: what is shown of what would happen, and what a decision sends."""

from __future__ import annotations

from typing import Any

from a4ps.protocol.requests.approvals import Decide, EditApproval
from a4ps.ui.model.blocks import Act, Button, Buttons, Entry
from a4ps.ui.model.pane import Answer, Keep, Notice, Outcome, Seen, Send, known_panes
from a4ps.ui.model.society import Society
from tests.doubles.pane_driver import text_of

PANE = known_panes()["approvals"]


def approval(id: str = "a1", state: str = "waiting", taint: tuple[str, ...] = ()) -> dict[str, Any]:
    action = {
        "kind": "tool-use",
        "what": "gpx_to_table",
        "text": "use the tool gpx_to_table",
        "arguments": {"path": "/home/ride.gpx"},
        "destination": "",
        "size_bytes": 0,
        "diff": "",
        "versions": {"gpx_to_table": "1"},
        "attempt": 3,
        "hash": "ab" * 32,
    }
    return {
        "id": id,
        "state": state,
        "turn_id": "4",
        "action": action,
        "why": "it was written by a model",
        "claim": "I need the table.",
        "asked_by": "BRICK",
        "taint": list(taint),
        "asked_at": "2026-11-30T10:00:00+00:00",
        "expires_at": "2026-12-03T10:00:00+00:00",
        "decided_at": None if state == "waiting" else "2026-11-30T11:00:00+00:00",
        "remember": False,
        "replaces": "",
        "replaced_by": "",
    }


def seen(*found: dict[str, Any], **state: Any) -> Seen:
    return Seen(
        {"pane": "approvals", **state},
        {"approvals": Answer({"approvals": list(found)}, asking=False)},
        Society(),
    )


def buttons(at: Seen) -> dict[str, Button]:
    return {each.label: each for block in PANE.blocks(at) if isinstance(block, Buttons) for each in block.buttons}


def sent(at: Seen, label: str) -> Send:
    (effect,) = PANE.acted(buttons(at)[label].act, at)
    assert isinstance(effect, Send)
    return effect


def test_the_facts_are_shown_and_the_personas_words_are_a_quotation() -> None:
    texts = [text_of(block) for block in PANE.blocks(seen(approval()))]
    assert texts[0] == "BRICK wants to use the tool gpx_to_table"
    assert "[a1 path] /home/ride.gpx" in texts
    assert "BRICK says: “I need the table.”" in texts
    assert any("attempt 3" in text for text in texts)
    assert PANE.title(seen(approval())) == "Approval needed"
    assert PANE.title(seen(approval(), approval("a2"))) == "2 approvals needed"


def test_a_yes_is_for_the_action_that_was_seen() -> None:
    request = sent(seen(approval()), "Approve").request
    assert request == Decide(id="a1", step="approve", digest="ab" * 32, remember=False)
    assert sent(seen(approval(), remember="a1"), "Approve").request == Decide(
        id="a1", step="approve", digest="ab" * 32, remember=True
    )


def test_what_is_tainted_cannot_be_remembered() -> None:
    at = seen(approval(taint=("untrusted",)), remember="a1")
    assert "Remember a yes" not in buttons(at)
    request = sent(at, "Approve").request
    assert isinstance(request, Decide)
    assert not request.remember


def test_a_yes_is_remembered_for_no_other_than_the_one_it_was_said_of() -> None:
    at = seen(approval(), approval("a2"))
    (kept,) = PANE.acted(buttons(at)["Remember a yes"].act, at)
    assert isinstance(kept, Keep)
    other = seen(approval("a2"), **{key: each for key, each in kept.state.items() if key != "pane"})
    assert "Remember a yes" in buttons(other)
    request = sent(other, "Approve").request
    assert isinstance(request, Decide)
    assert not request.remember


def test_what_is_typed_for_one_is_not_taken_for_another() -> None:
    at = seen(approval("a2"), typed={"a1 path": "/home/other.gpx"})
    assert buttons(at)["Approve"].enabled
    assert PANE.acted(Act("edit", {"id": "a2"}), at) == []


def test_an_edited_argument_asks_for_another_and_approves_nothing() -> None:
    at = seen(approval(), typed={"a1 path": "/home/other.gpx"})
    assert not buttons(at)["Approve"].enabled
    assert sent(at, "Ask for this instead").request == EditApproval(id="a1", changes=["path=/home/other.gpx"])
    (kept,) = PANE.told(Outcome("edited", fault="no such file", next_step="name another"), at)
    assert isinstance(kept, Keep)
    after = Seen(kept.state, at.answers, at.society)
    (entry,) = [block for block in PANE.blocks(after) if isinstance(block, Entry)]
    assert (entry.text, entry.fault) == ("/home/other.gpx", "no such file: name another")


def test_once_decided_the_turn_can_go_on() -> None:
    at = seen(approval())
    (kept,) = PANE.told(Outcome("decided", {"id": "a1"}), at)
    assert isinstance(kept, Keep)
    after = Seen(kept.state, {"approvals": Answer({"approvals": [approval(state="approved")]})}, Society())
    assert "Go on with turn 4" in buttons(after)
    assert text_of(PANE.blocks(after)[0]) == "Nothing waits for your approval."


def test_a_refused_decision_says_what_can_be_done() -> None:
    assert PANE.told(
        Outcome("decided", fault="it is for another action", next_step="look again"), seen(approval())
    ) == [Notice("it is for another action", "look again", bad=True)]


def test_what_is_typed_in_a_field_is_kept() -> None:
    (kept,) = PANE.acted(Act("typed", {"key": "path", "value": "/x"}), seen(approval()))
    assert isinstance(kept, Keep)
    assert kept.state["typed"] == {"path": "/x"}
