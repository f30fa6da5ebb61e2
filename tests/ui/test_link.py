"""The desk and its link to a real backend: nothing durable is missed, nothing blocks, and neither harms the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from a4ps.client.client import As, Client
from a4ps.client.starting import is_running
from a4ps.errors import BackendLost
from a4ps.places import Places
from a4ps.protocol.requests.protos import Proto, SetSlot
from a4ps.protocol.requests.system import Snapshot
from a4ps.ui.link import Link
from a4ps.ui.model.arrangement import first_world
from a4ps.ui.model.blocks import Act, Block, Line, say
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.morph import Morph, State, World
from a4ps.ui.model.pane import Effect, Need, Outcome, Seen, Send, known_panes
from a4ps.ui.model.society import Society
from tests.doubles.standing import is_alive, kill, standing, wait_until
from tests.faults.killing import ROOT
from tests.ui.living_desk import LivingDesk, household, living_desk, places_of

pytestmark = pytest.mark.slow


class Mood:
    """A pane that shows ROBIN's mood and can change it."""

    name = "mood"
    size = (200.0, 100.0)

    def title(self, seen: Seen) -> str:
        return "Mood"

    def needs(self, state: State, society: Society) -> Sequence[Need]:
        return [Need("robin", Proto(proto="ROBIN"), frozenset({"proto"}))]

    def blocks(self, seen: Seen) -> Sequence[Block]:
        value = seen.answer("robin").value or {"slots": []}
        return [say(next((each["text"] for each in value["slots"] if each["name"] == "mood"), ""))]

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        request = SetSlot(proto="ROBIN", path=["mood"], text=act.about["value"], plain=True)
        return [Send(request, "ROBIN's mood", undoes=True)]

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        return []


def with_mood() -> World:
    return World().add(Morph("mood", "window", Rect(0, 0, 200, 100), {"pane": "mood"}))


def text(living: LivingDesk) -> str:
    (line,) = living.desk.window("mood").blocks
    assert isinstance(line, Line)
    return "".join(span.text for span in line.spans)


def newest(living: LivingDesk) -> int:
    """The number of the image's newest commit, as the backend says it now."""
    found: list[int] = []
    living.desk.calls.send(Snapshot(), lambda value, _: found.append((value or {})["sequence"]))
    living.until(lambda: found)
    return found[0]


def test_a_question_is_seen_and_a_living_thing_is_changed_and_changed_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    mood = Mood()
    with living_desk(places, world=with_mood(), panes=lambda: {"mood": mood}) as living:  # it starts a backend
        desk = living.desk
        living.until(lambda: desk.society.link == "live")
        desk.say("Tea or coffee?")
        living.until(lambda: desk.society.turn.answer)
        turn = desk.society.turn
        assert turn.question == "Tea or coffee?"
        assert [each.step for each in turn.contributions][:2] == ["plan", "thesis"]
        assert not turn.running
        assert {each.model for each in desk.society.personas.values()} == {"rehearsal"}
        assert all(each.role for each in desk.society.personas.values())

        desk.act("mood", Act("set", {"value": "calm"}))
        living.until(lambda: text(living) == "calm")
        assert desk.society.personas["ROBIN"].mood == "calm"
        desk.act("mood", Act("set", {"value": "stormy"}))
        living.until(lambda: text(living) == "stormy")
        living.until(lambda: desk.undoing.history.done)
        desk.key("ctrl-z")
        living.until(lambda: text(living) == "calm")
        living.until(lambda: desk.undoing.history.redo_label)
        desk.key("ctrl-shift-z")
        living.until(lambda: text(living) == "stormy")


def test_every_pane_there_is_shows_something_of_a_living_society(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    with standing(person), living_desk(places, starts=False, world=first_world(1600, 1000)) as living:
        desk = living.desk
        living.until(lambda: desk.society.link == "live")
        desk.say("Tea or coffee?")
        living.until(lambda: desk.society.turn.answer)
        for pane in known_panes():
            desk.act("", Act("open", {"pane": pane}))
            desk.act("", Act("open", {"pane": pane, "subject": "ROBIN"}))
        living.until(lambda: not living.asking)
        windows = [each for each in desk.world.of_kind("window") if each.state["pane"] in known_panes()]
        assert len(windows) >= 2 * len(known_panes())
        for each in windows:
            shown = desk.window(each.id)
            assert shown.title
            assert shown.blocks
            assert "This window failed" not in repr(shown.blocks), each.state
        assert not [each for each in desk.notices if each.bad]


def test_a_backend_that_is_killed_is_missed_at_once_and_nothing_durable_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    with standing(person) as (process, _), living_desk(places, starts=False) as living:
        desk = living.desk
        living.until(lambda: desk.society.link == "live")
        desk.say("Tea or coffee?")
        living.until(lambda: desk.society.turn.answer)
        first = desk.society.epoch
        kill(process.pid)
        living.until(lambda: desk.society.link == "lost")
        assert desk.notices[-1].bad
        assert not is_running(places)
        person.json("ask", "Rain or snow?")  # which starts another backend, and asks it while we look for it
        living.until(lambda: desk.society.turn.question == "Rain or snow?" and desk.society.turn.answer)
        assert desk.society.link == "live"
        assert desk.society.epoch != first
        last = newest(living)
        living.until(lambda: desk.society.sequence >= last)
        begun = living.link.sequences[0]
        assert living.link.sequences == list(range(begun, desk.society.sequence + 1))
        assert living.link.states.count("lost") >= 1


def test_what_was_asked_of_a_killed_backend_is_answered_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    with living_desk(places) as living:
        desk = living.desk
        living.until(lambda: desk.society.link == "live")
        desk.say("Tea or coffee?")
        living.until(lambda: desk.society.turn.id)  # it is accepted
        with suppress(ProcessLookupError):
            kill(int(places.backend_lock.read_text()))
        living.until(lambda: desk.society.turn.answer)
        assert desk.society.turn.question == "Tea or coffee?"
        latest = person.json("ask", "--turn", desk.society.turn.id)
        assert latest["answer"] == desk.society.turn.answer


def test_a_backend_that_was_ended_stays_so_until_something_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    mood = Mood()
    with living_desk(places, world=with_mood(), panes=lambda: {"mood": mood}) as living:
        desk = living.desk
        living.until(lambda: desk.society.link == "live" and desk.society.status and not living.asking)
        person.run("down")
        living.until(lambda: desk.society.link == "lost")
        assert not is_running(places)
        desk.say("Tea or coffee?")
        living.until(lambda: desk.society.turn.answer and desk.society.link == "live")


def test_a_window_that_closes_or_dies_harms_no_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    with standing(person) as (process, _):
        with living_desk(places, starts=False) as living:
            living.until(lambda: living.desk.society.link == "live")
            living.desk.say("Tea or coffee?")
            living.until(lambda: living.desk.society.turn.id)
            turn = living.desk.society.turn.id
        assert not [each for each in threading.enumerate() if each.name == "link"]
        wait_until(lambda: person.run("ask", "--turn", turn).returncode == 0)

        window = subprocess.Popen(
            [sys.executable, "-c", _ASKS, *map(str, (places.home, places.state, places.run_base))],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert window.stdout is not None
        asked = window.stdout.readline().decode().strip()
        os.kill(window.pid, signal.SIGKILL)
        window.communicate(timeout=30)
        wait_until(lambda: person.run("ask", "--turn", asked).returncode == 0)
        assert is_alive(process.pid)


#: A window that asks something, says which turn it is, and never ends by itself.
_ASKS = """
import sys, pathlib, threading
from a4ps.places import Places
from tests.ui.living_desk import LivingDesk
living = LivingDesk(Places(*map(pathlib.Path, sys.argv[1:])), starts=False)
living.until(lambda: living.desk.society.link == "live")
living.desk.say("Rain or snow?")
living.until(lambda: living.desk.society.turn.id)
print(living.desk.society.turn.id, flush=True)
threading.Event().wait()
"""


def test_where_no_backend_is_and_none_is_started_it_says_so_and_finds_one_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    with living_desk(places, starts=False) as living:
        desk = living.desk
        living.until(lambda: desk.society.link == "lost")
        failed: list[object] = []
        desk.calls.send(Proto(proto="ROBIN"), lambda _, error: failed.append(error))
        living.until(lambda: failed)
        assert isinstance(failed[0], BackendLost)
        with standing(person):
            living.until(lambda: desk.society.link == "live")


def test_a_backend_that_is_silent_is_lost_and_found_again_with_nothing_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    with standing(person) as (process, _), living_desk(places, starts=False) as living:
        desk = living.desk
        living.until(lambda: desk.society.link == "live" and desk.society.status and not living.asking)
        os.kill(process.pid, signal.SIGSTOP)
        try:
            living.until(lambda: desk.society.link == "lost")
            desk.say("Tea or coffee?")
        finally:
            os.kill(process.pid, signal.SIGCONT)
        living.until(lambda: desk.society.link == "live" and desk.society.turn.answer)
        last = newest(living)
        living.until(lambda: desk.society.sequence >= last)
        assert living.link.sequences == list(range(living.link.sequences[0], desk.society.sequence + 1))


def test_leaving_a_backend_that_hangs_takes_no_longer_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    with standing(person) as (process, _):
        living = LivingDesk(places, starts=False)
        living.until(lambda: living.desk.society.link == "live")
        os.kill(process.pid, signal.SIGSTOP)
        try:
            living.desk.say("Tea or coffee?")
            living.desk.close()
            assert not [each for each in threading.enumerate() if each.name == "link"]
        finally:
            os.kill(process.pid, signal.SIGCONT)


def test_a_backend_that_refuses_us_is_said_once_and_asked_again_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = household(tmp_path)
    places = places_of(person, monkeypatch)
    monkeypatch.setattr("a4ps.ui.link._REFUSED_S", 0.1)
    asked = threading.Semaphore(0)
    connect = Client.connect

    async def counted(*arguments: Any, **options: Any) -> Client:
        asked.release()
        return await connect(*arguments, **options)

    monkeypatch.setattr(Client, "connect", counted)
    with standing(person), monkeypatch.context() as other:
        other.setattr("a4ps.client.client.PROTOCOL_VERSION", 2)
        with living_desk(places, starts=False) as living:
            living.until(lambda: living.desk.society.link == "refused")
            assert "protocol 2" in living.desk.society.link_detail
            for _ in range(3):
                assert asked.acquire(timeout=60)
            living.desk.pump()
            assert living.link.states == ["refused"]
            other.undo()
            living.until(lambda: living.desk.society.link == "live")


def test_a_link_that_was_never_started_closes(tmp_path: Path) -> None:
    link = Link(Places(tmp_path / "home", tmp_path / "state", tmp_path / "run"), As("ui"))
    link.send(Proto(proto="ROBIN"), "tag")
    link.close()
    assert link.take() == []
