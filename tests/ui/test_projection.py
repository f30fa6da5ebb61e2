"""The society that is seen: whatever is dropped or doubled on the way, in the end it is what the image says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.personas.names import NAMES
from a4ps.protocol.feed import Apply, Show, Void
from a4ps.protocol.messages import Durable
from a4ps.ui.model import projection
from a4ps.ui.model.society import Contribution, Society
from tests.ui.fake_link import ask_object

Event = dict[str, Any]


def test_a_persona_keeps_the_model_it_spoke_with_where_the_profile_gives_it_one() -> None:
    def seen(society: Society, model: str) -> str:
        return projection.proto_seen(society, "ROBIN", role="empathy", model=model, mood="").personas["ROBIN"].model

    society = projection.unknown_society()
    assert seen(society, "by profile") == "by profile"
    began_to_speak = projection.happened(society, Show((began("ROBIN", "thesis"),), 0))
    assert seen(began_to_speak, "by profile") == "model-ROBIN"
    assert seen(began_to_speak, "its-own") == "its-own"


def step(name: str, turn: str = "1", **fields: Any) -> Event:
    return {"step": name, "turn": turn, **fields}


def began(persona: str, role: str, round_: int = 1, turn: str = "1") -> Event:
    return step("began", turn, persona=persona, role=role, model=f"model-{persona}", round=round_)


def token(persona: str, text: str, turn: str = "1") -> Event:
    return step("token", turn, persona=persona, text=text)


def spoke(persona: str, role: str, text: str, turn: str = "1") -> Event:
    said = {"persona": persona, "role": role, "text": text, "model": f"model-{persona}"}
    return step("spoke", turn, contribution=said)


def commit(sequence: int, *rows: tuple[str, str]) -> Apply:
    return Apply(Durable(epoch="e", sequence=sequence, at=12.0, author="t", rows=list(rows)))


#: A turn of two rounds, as it is told: what is said comes in pieces.
SAID = (
    ("ALFRED", "plan", 1, "We ask first."),
    ("BRICK", "thesis", 1, "1. Tea is hot. 2. Coffee too."),
    ("ROBIN", "antithesis", 1, "Not always."),
    ("BRICK", "thesis", 2, "1. Tea is mostly hot."),
    ("ROBIN", "antithesis", 2, "Agreed."),
    ("ALFRED", "synthesis", 1, "Tea."),
)


def told() -> list[Event]:
    events = [step("accepted", question="Tea?", resumed=False)]
    for persona, role, round_, text in SAID:
        events.append(began(persona, role, round_))
        events += [token(persona, text[at : at + 5]) for at in range(0, len(text), 5)]
        events.append(spoke(persona, role, text))
        if role == "antithesis":
            events.append(step("measured", dissonance=1.0 / round_, estimated=False, round=round_))
    return [*events, step("noted", text="A rehearsal.")]


TOLD = told()
ANSWER = ask_object(
    "1",
    "Tea?",
    [(persona, role, text) for persona, role, _, text in SAID],
    argued=[{"dissonance": 1.0}, {"dissonance": 0.5}],
    dissonance=0.5,
    notes=["A rehearsal."],
)


def heard(events: Sequence[Event], dropped: int = 0) -> Society:
    return projection.happened(projection.unknown_society(), Show(events, dropped))


def quiet(society: Society) -> bool:
    return not any(each.saying or each.activity or each.load for each in society.personas.values())


def test_what_is_heard_in_full_is_what_the_image_says() -> None:
    society = heard(TOLD)
    seen = society.turn
    assert seen.running
    assert [(each.persona, each.step, each.round, each.text) for each in seen.contributions] == list(SAID)
    assert all(each.done for each in seen.contributions)
    assert seen.dissonance == (1.0, 0.5)
    assert quiet(society)
    answered = projection.answered(projection.happened(society, commit(1, ("reply", "1"))), ANSWER)
    assert answered.turn.contributions == tuple(
        Contribution(persona, role, text, round_, "m") for persona, role, round_, text in SAID
    )
    assert (answered.turn.answer, answered.turn.dissonance, answered.turn.running) == ("Tea.", (1.0, 0.5), False)


@given(st.lists(st.tuples(st.integers(0, len(TOLD) - 1), st.integers(1, 3))), st.data())
def test_whatever_is_dropped_or_doubled_the_answered_turn_heals_it(
    spared: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Any part of what is told, in its order, some of it doubled, in frames of any size, before and after the commit."""
    events = [TOLD[place] for place, times in sorted(spared) for _ in range(times)]
    cut = data.draw(st.integers(0, len(events)))
    society = projection.unknown_society()
    for at in range(0, cut, 3):
        society = projection.happened(society, Show(events[at : min(at + 3, cut)], data.draw(st.integers(0, 2))))
    society = projection.happened(society, commit(1, ("reply", "1")))
    late_first = data.draw(st.booleans())
    if late_first:
        society = projection.happened(society, Show(events[cut:], 0))
    society = projection.answered(society, ANSWER)
    if not late_first:
        society = projection.happened(society, Show(events[cut:], 0))
    assert society.turn == projection.answered(projection.unknown_society(), ANSWER).turn
    assert quiet(society)
    assert {name: each.saying for name, each in society.personas.items()} == dict.fromkeys(NAMES, "")


@given(st.sets(st.integers(0, len(TOLD) - 1)), st.lists(st.integers(0, len(TOLD) - 1)))
def test_who_has_spoken_is_seen_with_the_whole_text_whatever_tokens_were_lost(
    dropped: set[int], doubled: list[int]
) -> None:
    """Only tokens and beginnings are lost here, or told twice."""
    events: list[Event] = []
    for place, event in enumerate(TOLD):
        loses = event["step"] in ("token", "began") and place in dropped
        if not loses:
            events += [event] * (1 + doubled.count(place) * (event["step"] != "token"))
    society = heard(events)
    seen = [(each.persona, each.step, each.round, each.text) for each in society.turn.contributions]
    assert seen == list(SAID)
    assert quiet(society)


def test_tokens_stream_into_what_is_being_said() -> None:
    society = heard([*TOLD[:1], began("BRICK", "thesis"), token("BRICK", "One, "), token("BRICK", "two")])
    brick = society.personas["BRICK"]
    assert (brick.saying, brick.activity, brick.model) == ("One, two", "argues", "model-BRICK")
    assert brick.load > 0.5
    assert society.turn.contributions == (Contribution("BRICK", "thesis", "One, two", 1, "model-BRICK", done=False),)
    again = projection.happened(society, Show([step("restarted", persona="BRICK"), token("BRICK", "Anew")], 0))
    assert again.personas["BRICK"].saying == "Anew"
    holed = projection.happened(society, Show([token("BRICK", "five")], 3))
    assert holed.personas["BRICK"].saying == "One, two … five"
    assert holed.turn.contributions[0].text == "One, two … five"


def test_who_waits_says_for_what() -> None:
    why = "waits until ROBIN has spoken"
    society = heard([began("BRICK", "thesis"), step("waiting", persona="BRICK", why=why)])
    assert society.personas["BRICK"].activity == why
    assert 0 < society.personas["BRICK"].load < 0.5


def test_what_is_provisional_is_void_with_its_epoch() -> None:
    society = heard([*TOLD[:1], spoke("ALFRED", "plan", "We ask."), began("BRICK", "thesis"), token("BRICK", "One")])
    after = projection.happened(society, Void("e2", 4, behind=False))
    assert quiet(after)
    assert after.epoch == "e2"
    assert [each.text for each in after.turn.contributions] == ["We ask."]
    assert projection.happened(society, Void("e2", 4, behind=True)).sequence == 4


def test_a_turn_that_goes_on_after_a_restart_keeps_what_was_said() -> None:
    society = heard([*TOLD[:1], spoke("ALFRED", "plan", "We ask."), began("BRICK", "thesis"), token("BRICK", "One")])
    society = projection.happened(society, Void("e2", 4, behind=False))
    resumed = [step("accepted", question="Tea?", resumed=True), began("BRICK", "thesis"), token("BRICK", "Two")]
    society = projection.happened(society, Show(resumed, 0))
    assert society.turn.running
    assert [each.text for each in society.turn.contributions] == ["We ask.", "Two"]


def test_another_clients_turn_is_seen_from_wherever_it_is_heard() -> None:
    society = heard([token("ROBIN", "Never", turn="5")])
    assert (society.turn.id, society.turn.running) == ("5", True)
    assert society.personas["ROBIN"].saying == "Never"
    late = projection.happened(society, Show([token("BRICK", "late", turn="4")], 0))
    assert late == society


def test_a_turn_that_is_stopped_says_so() -> None:
    society = heard([*TOLD[:1], began("BRICK", "thesis"), token("BRICK", "One")])
    society = projection.happened(society, commit(3, ("stop", "1")))
    assert quiet(society)
    assert not society.turn.running
    assert "stopped" in society.turn.fault
    assert society.turn.contributions == ()


def test_our_own_question_is_seen_before_it_is_accepted_and_does_not_hide_anothers() -> None:
    mine = projection.asked(projection.unknown_society(), "Mine?")
    assert (mine.turn.question, mine.turn.running, mine.turn.id) == ("Mine?", True, "")
    theirs = heard(TOLD[:1])
    assert projection.asked(theirs, "Mine?").turn == theirs.turn
    assert projection.answered(mine, {**ANSWER, "turn_id": "9"}).turn == mine.turn  # another's answer


def test_an_older_turn_is_not_put_before_a_newer_one() -> None:
    newer = projection.answered(projection.unknown_society(), {**ANSWER, "turn_id": "10"})
    assert projection.answered(newer, {**ANSWER, "turn_id": "9"}) is newer


def test_figures_become_series_colours_and_load() -> None:
    figures: list[Event] = [
        {"step": "figure", "name": "character.ROBIN", "at_s": 10.0, "value": 0.25},
        {"step": "figure", "name": "load.fill", "at_s": 11.0, "value": 1.0},
        {"step": "figure", "name": "load.fill", "at_s": 700.0, "value": 0.5},
    ]
    society = heard(figures)
    assert society.personas["ROBIN"].dissonance == 0.25
    assert society.personas["BRICK"].dissonance is None
    assert society.series["load.fill"] == ((700.0, 0.5),)  # ten minutes are kept
    light = projection.happened(heard(figures), Show([began("BRICK", "thesis")], 0)).personas["BRICK"].load
    heavy = projection.happened(heard(figures[:2]), Show([began("BRICK", "thesis")], 0)).personas["BRICK"].load
    assert 0.5 < light < heavy == 1.0


def status(**series: Sequence[tuple[float, float]]) -> dict[str, Any]:
    shown = {name.replace("_of_", "."): {"points": points} for name, points in series.items()}
    return {
        "uptime_s": 1.0,
        "series": shown,
        "engine": {"budget_bytes": 9, "residents": [{"vram_bytes": 3}, {"vram_bytes": 4}]},
    }


def test_the_status_brings_what_was_before_and_nothing_twice() -> None:
    society = heard([{"step": "figure", "name": "load.fill", "at_s": 20.04, "value": 0.123456}])
    society = projection.status_seen(society, status(load_of_fill=[(10.0, 0.1), (20.0, 0.1235)]), 21.0)
    assert society.series["load.fill"] == ((10.0, 0.1), (20.04, 0.123456))
    assert society.series["vram_bytes"] == ((21.0, 7.0),)


def test_a_status_in_which_only_time_went_by_changes_nothing() -> None:
    points = [(10.0, 0.1), (20.0, 0.1235)]
    society = projection.status_seen(projection.unknown_society(), status(load_of_fill=points), 21.0)
    later = {**status(load_of_fill=points), "uptime_s": 11.0}
    assert projection.status_seen(society, later, 31.0) is society
    assert len(projection.status_seen(society, later, 90.0).series["vram_bytes"]) == 2
    other = {**later, "engine": {"budget_bytes": 9, "residents": []}}
    assert projection.status_seen(society, other, 31.0).series["vram_bytes"][-1] == (31.0, 0.0)


def test_durable_events_are_counted_and_dated() -> None:
    society = projection.happened(projection.unknown_society(), commit(5, ("proto", "ROBIN")))
    assert (society.sequence, society.last_commit_at, society.epoch) == (5, 12.0, "e")


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"step": "of later", "turn": "1", "x": 1},
        {"step": "token", "turn": "1", "persona": "NOBODY", "text": "x"},
        {"step": "spoke", "turn": "1", "contribution": "nothing"},
        {"step": "figure", "name": 3, "at_s": "x", "value": None},
        {"step": "measured", "turn": "1", "dissonance": 0.5, "round": -3},
        {"step": "began", "turn": "not a number", "persona": "ROBIN", "role": "thesis"},
    ],
)
def test_what_is_of_a_later_version_or_ill_formed_harms_nothing(event: Event) -> None:
    society = heard([*TOLD, event])
    assert society.turn.contributions == heard(TOLD).turn.contributions


def test_a_persona_has_its_last_colour_until_it_is_heard() -> None:
    kept = {
        "character.ROBIN": [{"mean": 0.2}, {"mean": 0.7}],
        "character.NOBODY": [{"mean": 0.1}],
        "character.BABS": [],
    }
    society = projection.series_seen(projection.unknown_society(), kept)
    assert society.personas["ROBIN"].dissonance == 0.7
    assert society.personas["BABS"].dissonance is None
    heard = projection.shown(society, [{"step": "figure", "name": "character.ROBIN", "at_s": 1.0, "value": 0.3}])
    assert projection.series_seen(heard, kept).personas["ROBIN"].dissonance == 0.3
