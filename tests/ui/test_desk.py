"""The desk against a link without a backend: what is asked, what becomes of acts, and what is told to the view."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import BackendLost, CallerError, Stopped, UnknownProto
from a4ps.protocol.requests.image import Revert
from a4ps.protocol.requests.memory import Search
from a4ps.protocol.requests.models import UseModel
from a4ps.protocol.requests.tools import RunTool
from a4ps.protocol.requests.turns import Ask, Resume
from a4ps.ui.desk import Desk
from a4ps.ui.model.blocks import Act, Block, Buttons, Line, say
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.gestures import Pointer
from a4ps.ui.model.morph import Morph, State, World
from a4ps.ui.model.pane import (
    Close,
    Copy,
    Do,
    Effect,
    Keep,
    Need,
    Notice,
    Open,
    Outcome,
    Pane,
    Seen,
    Send,
    Stop,
)
from a4ps.ui.model.society import Society
from tests.ui.fake_link import FakeLink, ask_object


class Probe:
    """A pane that shows what it sees and does what its act says."""

    size = (300.0, 200.0)

    def __init__(self, name: str = "probe") -> None:
        self.name = name
        self.told_of: list[Outcome] = []
        self.answers: Sequence[Effect] = ()
        self.shown = 0

    def title(self, seen: Seen) -> str:
        return f"Probe {seen.state.get('subject', '')}".strip()

    def needs(self, state: State, society: Society) -> Sequence[Need]:
        return [Need("series", Search(query=str(state.get("series", ""))), frozenset({"reply", "failed"}))]

    def blocks(self, seen: Seen) -> Sequence[Block]:
        self.shown += 1
        if seen.state.get("breaks"):
            raise ZeroDivisionError
        answer = seen.answer("series")
        if "alone" in seen.state:
            return [say("alone")]
        return [say(f"link {seen.society.link}"), say(f"answer {answer.value} {answer.fault}".strip())]

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        if act.verb == "break":
            raise ZeroDivisionError
        if act.verb == "refuse":
            raise CallerError("not like that", next_step="like this")
        effects = act.about["effects"]
        assert isinstance(effects, list)
        return effects

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        self.told_of.append(outcome)
        return self.answers


class Table:
    """A desk on a fake link, with a clock that is set by hand, and what the view was told."""

    def __init__(self) -> None:
        self.link, self.now_s = FakeLink(), 100.0
        self.probe = Probe()
        others = ("approvals", "help", "debugger", "inspector", "tool_bench")
        panes: dict[str, Pane] = {"probe": self.probe, **{name: Probe(name) for name in others}}
        world = World().add(Morph("probe", "window", Rect(100, 100, 300, 200), {"pane": "probe"}))
        world = world.add(Morph("ROBIN", "persona", Rect(600, 400, 96, 96), {"name": "ROBIN"}))
        self.desk = Desk(self.link, world=world, panes=lambda: panes, now=lambda: self.now_s, clock=lambda: self.now_s)
        self.told: list[frozenset[str]] = []
        self.desk.on_change(self.told.append)

    def pump(self) -> frozenset[str]:
        """What was told by it, of all together."""
        before = len(self.told)
        self.desk.pump()
        return frozenset().union(*self.told[before:])

    def live(self) -> None:
        self.link.live()
        self.pump()

    def act(self, *effects: Effect, window: str = "probe") -> None:
        self.desk.act(window, Act("do", {"effects": list(effects)}))

    def texts(self, window: str = "probe") -> list[str]:
        lines = [each for each in self.desk.window(window).blocks if isinstance(each, Line)]
        return ["".join(span.text for span in line.spans) for line in lines]

    def undo_label(self) -> str:
        return self.desk.undoing.history.undo_label

    def halo_at(self) -> Point:
        assert self.desk.halo is not None
        return self.desk.halo.centre

    def work(self) -> list[tuple[str, float | None]]:
        return [(each.label, each.fraction) for each in self.desk.work]

    def notices(self) -> list[str]:
        return [each.text for each in self.desk.notices]


@pytest.fixture
def table() -> Table:
    return Table()


# What windows show


def test_nothing_is_asked_before_there_is_a_backend(table: Table) -> None:
    table.pump()
    assert table.link.sent == {}
    table.live()
    assert table.link.asked("search") == [Search(query="")]


def test_an_answer_is_shown_and_only_its_window_is_told(table: Table) -> None:
    table.live()
    table.link.answer("search", {"series": 1})
    assert table.pump() == {"window:probe"}
    assert table.texts()[1] == "answer {'series': 1}"


def test_a_commit_of_its_kinds_asks_again_once_at_a_time(table: Table) -> None:
    table.live()
    table.link.commit(("reply", "1"))
    table.link.commit(("reply", "2"))
    table.pump()
    assert len(table.link.asked("search")) == 1  # the first is under way
    table.link.answer("search", {"series": 1})
    table.pump()
    assert len(table.link.asked("search")) == 1  # the one for both commits
    table.link.answer("search", {"series": 2})
    table.pump()
    assert table.link.asked("search") == []
    table.link.commit(("memory", "x"))
    table.pump()
    assert table.link.asked("search") == []
    table.link.commit(("reply-gone", "2"))
    table.pump()
    assert len(table.link.asked("search")) == 1


def test_two_windows_of_the_same_need_share_one_asking(table: Table) -> None:
    table.act(Open("probe", {"subject": "other"}))
    table.live()
    assert len(table.link.asked("search")) == 1
    table.link.answer("search", {"series": 1})
    assert table.pump() == {"window:probe", "window:probe-2"}
    table.act(Close(), window="probe")
    table.act(Close(), window="probe-2")
    table.link.commit(("reply", "1"))
    table.pump()
    assert table.link.asked("search") == []  # nobody shows it any more


def test_an_answer_that_is_the_same_is_not_drawn_again(table: Table) -> None:
    table.live()
    table.link.answer("search", {"series": 1})
    table.pump()
    table.link.commit(("reply", "1"))
    table.pump()
    table.link.answer("search", {"series": 1})
    assert "window:probe" not in table.pump()


def test_a_need_that_fails_is_shown_with_what_was_known(table: Table) -> None:
    table.live()
    table.link.answer("search", {"series": 1})
    table.link.commit(("reply", "1"))
    table.pump()
    table.link.fail("search", UnknownProto("there is none"))
    table.pump()
    assert table.texts()[1] == "answer {'series': 1} there is none"


def test_while_the_backend_is_lost_nothing_is_asked_and_everything_when_it_is_back(table: Table) -> None:
    table.live()
    table.link.answer("search", {"series": 1})
    table.link.lost()
    assert "society" in table.pump()
    assert table.texts()[0] == "link lost"
    assert any("ended" in each for each in table.notices())
    before = dict(table.link.sent)
    table.now_s += 60
    table.pump()
    assert table.link.sent == before
    table.live()
    assert table.texts()[0] == "link live"
    assert len(table.link.asked("search")) == 1


def test_a_window_is_made_anew_only_when_what_it_rests_on_has_changed(table: Table) -> None:
    table.live()
    shown = table.probe.shown
    for _ in range(3):
        table.desk.window("probe")
        table.desk.pump()
    table.desk.pointer(Pointer("press", Point(10, 10)))
    assert table.probe.shown == shown


def test_a_window_that_shows_nothing_of_the_society_is_not_made_anew_with_each_word(table: Table) -> None:
    table.act(Keep({"alone": True}))
    table.live()
    shown = table.probe.shown
    table.link.show({"step": "token", "turn": "1", "persona": "ROBIN", "text": "word"})
    assert table.pump() == {"society"}
    assert table.probe.shown == shown
    table.act(Keep({"alone": True, "subject": "x"}))
    assert table.probe.shown == shown + 1


def test_a_pinned_pane_is_filled_and_acts_without_a_window_of_the_world(table: Table) -> None:
    assert table.desk.pin("of later") == ""
    id = table.desk.pin("probe")
    assert table.desk.pin("probe") == id
    world = table.desk.world
    table.live()
    table.link.answer("search", {"series": 1})
    assert f"window:{id}" in table.pump()
    assert table.texts(id)[1] == "answer {'series': 1}"
    table.act(Keep({"subject": "x"}), Close(), window=id)
    assert table.desk.window(id).title == "Probe x"
    assert table.desk.world is world


def test_a_window_of_an_unknown_pane_keeps_its_state_and_says_so(table: Table) -> None:
    state = {"pane": "of later", "x": 1}
    table.desk.undoing.see(table.desk.world.add(Morph("w", "window", Rect(0, 0, 200, 100), state)))
    table.pump()
    assert "of later" in table.texts("w")[0]
    assert table.desk.world["w"].state == state


def test_a_pane_that_fails_harms_nobody_else(table: Table) -> None:
    table.act(Open("probe", {"breaks": True, "subject": "x"}))
    assert "failed" in table.texts("probe-2")[0]
    table.desk.act("probe", Act("break"))
    assert "failed" in table.notices()[-1]
    table.desk.act("probe", Act("refuse"))
    assert table.desk.notices[-1] == Notice("not like that", "like this", bad=True)
    assert table.texts()[0] == "link connecting"


def test_a_window_that_fails_can_begin_anew(table: Table) -> None:
    table.act(Open("probe", {"breaks": True, "subject": "x"}))
    buttons = next(each for each in table.desk.window("probe-2").blocks if isinstance(each, Buttons))
    table.desk.act("probe-2", buttons.buttons[0].act)
    assert table.texts("probe-2")[0] == "link connecting"
    assert table.desk.key("ctrl-z")
    assert table.desk.world["probe-2"].state["subject"] == "x"


# What panes ask for


def test_a_state_is_kept_and_is_undone_only_where_the_pane_says_so(table: Table) -> None:
    table.act(Keep({"series": "a"}))
    assert table.desk.world["probe"].state == {"pane": "probe", "series": "a"}
    assert table.undo_label() == ""
    table.act(Keep({"series": "b"}, undoable=True, label="another series"))
    assert table.undo_label() == "another series"
    assert table.desk.key("ctrl-z")
    assert table.desk.world["probe"].state["series"] == "a"
    assert table.desk.key("ctrl-shift-z")
    assert table.desk.world["probe"].state["series"] == "b"


def test_a_need_that_changes_with_the_state_is_asked_at_once(table: Table) -> None:
    table.live()
    table.act(Keep({"series": "a"}))
    assert table.link.asked("search")[-1] == Search(query="a")


def test_a_window_that_is_there_is_brought_forward(table: Table) -> None:
    table.act(Open("probe", {"subject": "A"}), Open("probe", {"subject": "B"}), Open("probe", {"subject": "A"}))
    windows = [each.state.get("subject") for each in table.desk.world.of_kind("window")]
    assert windows == [None, "B", "A"]


def test_a_window_of_no_subject_shows_what_is_wanted_now_and_nothing_of_before(table: Table) -> None:
    table.act(Keep({"query": "tea", "page": 3}))
    table.act(Open("probe", {"query": "coffee"}))
    assert table.desk.world["probe"].state == {"pane": "probe", "query": "coffee"}
    table.act(Open("probe"))
    assert table.desk.world["probe"].state == {"pane": "probe", "query": "coffee"}
    table.act(
        Open("probe", {"subject": "A", "tab": "Slots", "page": 2}), Open("probe", {"subject": "A", "tab": "History"})
    )
    state = {"pane": "probe", "subject": "A", "tab": "History", "page": 2}
    assert table.desk.world["probe-2"].state == state


def test_the_outcome_goes_to_the_pane_and_a_failure_that_it_makes_nothing_of_is_said(table: Table) -> None:
    table.live()
    table.act(Send(UseModel(persona="ROBIN"), "Changing the model", tag="use"))
    table.link.fail("use_model", UnknownProto("no such model", next_step="a4ps models list"))
    table.pump()
    assert table.probe.told_of[-1] == Outcome("use", fault="no such model", next_step="a4ps models list")
    assert table.desk.notices[-1] == Notice("no such model", "a4ps models list", bad=True)
    table.probe.answers = [Keep({"fault": "shown here"})]
    table.act(Send(UseModel(persona="ROBIN"), "Changing the model", tag="use"))
    table.link.fail("use_model", UnknownProto("a second time"))
    table.pump()
    assert "a second time" not in table.notices()


def test_a_file_that_an_argument_names_is_read_here_and_a_pipe_is_not_waited_for(table: Table, tmp_path: Path) -> None:
    table.live()
    (tmp_path / "ride.gpx").write_bytes(b"<gpx/>")
    os.mkfifo(tmp_path / "pipe")
    table.act(Send(RunTool(tool="t", arguments=[f"a=@{tmp_path}/ride.gpx", f"b=@{tmp_path}/pipe", "c=@@x"]), "run"))
    (sent,) = table.link.asked("run_tool")
    assert isinstance(sent, RunTool)
    assert sent.files == {
        f"{tmp_path}/ride.gpx": b"<gpx/>",
        f"{tmp_path}/pipe": "cannot be read: it is no regular file",
    }


def test_files_that_are_too_large_together_are_refused_where_they_were_named(table: Table, tmp_path: Path) -> None:
    table.live()
    names = [f"{tmp_path}/{each}" for each in "ab"]
    for each in names:
        Path(each).write_bytes(bytes(3_900_000))
    table.act(Send(RunTool(tool="t", arguments=[f"@{each}" for each in names]), "run", tag="ran"))
    assert not table.link.asked("run_tool")
    assert "7500000 bytes together" in table.probe.told_of[-1].fault


def test_a_living_change_is_undone_and_redone_by_reverting_it(table: Table) -> None:
    table.live()
    table.act(Send(UseModel(persona="ROBIN"), "ROBIN's model", undoes=True))
    table.link.answer("use_model", {"change": 41})
    table.pump()
    assert table.undo_label() == "ROBIN's model"
    table.desk.key("ctrl-z")
    table.desk.key("ctrl-z")  # it is under way
    assert [each.change for each in table.link.asked("image_revert") if isinstance(each, Revert)] == [41]
    table.link.answer("image_revert", {"reverted": 41, "changes": [{"change": 42}]})
    table.pump()
    table.desk.key("ctrl-shift-z")
    assert [each.change for each in table.link.asked("image_revert") if isinstance(each, Revert)] == [42]
    table.link.fail("image_revert", CallerError("it has changed since"))
    table.pump()
    assert table.desk.undoing.history.redo_label == "ROBIN's model"
    assert table.notices()[-1] == "it has changed since"


def test_long_work_is_shown_with_its_progress_and_can_be_stopped(table: Table) -> None:
    table.live()
    table.act(Send(UseModel(persona="ROBIN"), "Slowly", tag="slow"))
    assert table.work() == []
    table.now_s += 1
    assert "work" in table.pump()
    table.link.step("use_model", step="working", label="Half way", done=5.0, of=10.0)
    table.pump()
    assert table.work() == [("Half way", 0.5)]
    table.act(Stop("slow"))
    assert table.link.cancelled == [table.link.tag("use_model")]
    table.link.fail("use_model", Stopped("it was stopped"))
    assert "work" in table.pump()
    assert table.work() == []


def test_the_view_does_what_only_it_can(table: Table) -> None:
    done: list[tuple[str, ...]] = []
    table.desk.hands.copy = lambda text: done.append(("copy", text))
    table.act(Copy("words"))
    assert done == [("copy", "words")]


def test_whoever_is_talked_to_is_named_in_the_chat_field_with_what_is_asked_of_them(table: Table) -> None:
    chat: list[str] = []
    table.desk.hands.chat = chat.append
    table.act(Do(Act("talk", {"persona": "ROBIN"})), Do(Act("talk", {"persona": "ROBIN", "text": "use the tool t"})))
    table.act(Do(Act("talk", {"persona": "nobody"})))
    assert chat == ["ROBIN, ", "ROBIN, use the tool t", ""]


def test_an_outcome_of_a_window_that_was_closed_is_lost_but_its_failure_is_said(table: Table) -> None:
    table.live()
    table.act(Send(UseModel(persona="ROBIN"), "Changing"), Close())
    table.link.fail("use_model", UnknownProto("no such model"))
    table.pump()
    assert table.notices() == ["no such model"]
    assert table.probe.told_of == []


# Questions


def test_a_question_is_seen_at_once_and_its_approvals_are_put_before_the_architect(table: Table) -> None:
    table.live()
    table.desk.say("  Tea or coffee? ")
    assert table.link.asked("ask") == [Ask(text="Tea or coffee?", attended=True)]
    assert table.desk.society.turn.question == "Tea or coffee?"
    assert table.desk.society.turn.running
    table.link.step("ask", step="in_line", ahead=2)
    table.link.step("ask", step="wanted", approval={"id": "1.1"})
    table.pump()
    assert table.desk.society.turn.ahead == 2
    assert [each["id"] for each in table.desk.society.approvals] == ["1.1"]
    assert "approvals" in table.desk.world
    table.link.answer("ask", ask_object("1", "Tea or coffee?", [("ALFRED", "synthesis", "Tea.")]))
    table.pump()
    assert (table.desk.society.turn.answer, table.desk.society.turn.running) == ("Tea.", False)


def test_our_question_that_fails_in_line_ends_nobody_elses_turn(table: Table) -> None:
    table.live()
    table.link.show({"step": "accepted", "turn": "7", "question": "Whose?", "resumed": False})
    table.pump()
    table.desk.say("Mine?")
    table.link.fail("ask", BackendLost("no backend"))
    table.pump()
    assert (table.desk.society.turn.question, table.desk.society.turn.running) == ("Whose?", True)


def test_an_approval_that_a_panes_command_waits_for_is_put_before_the_architect(table: Table) -> None:
    table.live()
    table.act(Send(Resume(turn="3", attended=True), "go on"))
    table.link.step("resume", step="wanted", approval={"id": "3.1"})
    table.pump()
    assert "approvals" in table.desk.world
    assert table.probe.told_of == []  # it did not ask to hear steps
    table.desk.stop()
    assert table.link.cancelled == [table.link.tag("resume")]


def test_a_command_of_the_chat_field_does_what_it_says(table: Table) -> None:
    table.live()
    table.desk.say("/theme light")
    assert table.desk.theme.name == "light"
    table.desk.say("/remember The key is under the mat.")
    table.link.answer("remember", {"memories": ["m1"]})
    table.pump()
    assert "remember" in table.notices()[-1]
    table.desk.say("/all Tea?")
    assert table.link.asked("ask") == [Ask(text="Tea?", everyone=True, attended=True)]
    table.desk.say("/teh")
    assert table.desk.notices[-1].bad
    assert len(table.link.asked("ask")) == 1


def test_a_turn_is_stopped_where_it_was_asked(table: Table) -> None:
    table.live()
    table.desk.say("Tea?")
    table.desk.stop()
    assert table.link.cancelled == [table.link.tag("ask")]
    table.link.fail("ask", Stopped("it was stopped"))
    table.pump()
    assert not table.desk.society.turn.running
    table.desk.stop()
    assert "Nothing is being answered" in table.notices()[-1]


def test_a_question_that_fails_says_why_and_what_to_do(table: Table) -> None:
    table.live()
    table.desk.say("Tea?")
    table.link.fail("ask", BackendLost("no backend", next_step="a4ps up"))
    table.pump()
    assert table.desk.society.turn.fault == "no backend"
    assert table.desk.notices[-1] == Notice("no backend", "a4ps up", bad=True)


def test_the_answered_turn_is_asked_for_when_it_is_durable(table: Table) -> None:
    table.live()
    table.link.show({"step": "accepted", "turn": "7", "question": "Whose?", "resumed": False})
    table.link.commit(("reply", "7"))
    table.pump()
    table.link.answer("turn", ask_object("7", "Whose?", [("ALFRED", "synthesis", "Ours.")]))
    table.pump()
    assert table.desk.society.turn.answer == "Ours."


def test_a_turn_that_the_backend_took_along_has_ended_unless_it_is_ours_and_goes_on(table: Table) -> None:
    table.live()
    accepted = {"step": "accepted", "turn": "7", "question": "Whose?", "resumed": False}
    table.link.show(accepted)
    table.link.void("epoch-2", 0)
    table.pump()
    assert not table.desk.society.turn.running
    assert "resume" in table.desk.society.turn.fault
    table.desk.say("Mine?")
    table.link.show({**accepted, "turn": "8", "question": "Mine?"})
    table.link.void("epoch-3", 0)
    table.pump()
    assert table.desk.society.turn.running


# What fails


def failed(method: str = "greet") -> dict[str, str]:
    return {"step": "failed", "proto": "ROBIN", "method": method, "error": "KeyError", "message": "'x'"}


def test_a_live_method_that_fails_opens_its_debugger_once(table: Table) -> None:
    table.live()
    table.link.show(failed())
    table.pump()
    (debugger,) = [each for each in table.desk.world.of_kind("window") if each.state["pane"] == "debugger"]
    assert debugger.state == {"pane": "debugger", "subject": "ROBIN", "method": "greet"}
    assert "KeyError" in table.notices()[-1]
    assert not table.undo_label()  # it opened by itself
    table.act(Close(), window=debugger.id)
    table.link.show(failed())
    table.pump()
    assert debugger.id not in table.desk.world
    table.link.show(failed("wave"))
    table.pump()
    assert table.desk.world[debugger.id].state["method"] == "wave"


def test_a_failure_asks_anew_for_what_failures_change(table: Table) -> None:
    table.act(Open("debugger", {"subject": "ROBIN"}))
    table.live()
    table.link.answer("search", {"series": 1})
    table.pump()
    table.link.show(failed())
    table.pump()
    assert len(table.link.asked("search")) == 1  # the probe's need names "failed"


def test_a_part_of_the_backend_that_fails_is_said(table: Table) -> None:
    table.live()
    table.link.show({"step": "service", "name": "scrapbook", "detail": "OSError: gone; it is started again in 1 s"})
    table.pump()
    assert "scrapbook" in table.notices()[-1]


def test_a_bug_of_ours_is_logged_and_the_window_goes_on(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: str) -> None:
        raise ZeroDivisionError

    table.desk.hands.copy = broken
    table.act(Copy("words"))
    assert "log" in table.notices()[-1]
    assert "ZeroDivisionError" in caplog.text
    table.live()
    assert table.texts()[0] == "link live"


# Living things


def proto(name: str, kind: str = "persona", **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "role": "objects", "model": "m", "mood": "calm", "failed": [], **more}


def known(table: Table, *protos: dict[str, Any]) -> None:
    table.live()
    table.link.answer("protos", {"protos": list(protos)})
    table.pump()


def subjects(table: Table, pane: str) -> list[tuple[str, str]]:
    windows = [each.state for each in table.desk.world.of_kind("window") if each.state["pane"] == pane]
    return [(str(each.get("subject", "")), str(each.get("tab", each.get("method", "")))) for each in windows]


def test_personas_are_seen_as_the_image_has_them(table: Table) -> None:
    known(table, proto("ROBIN", role="doubt", mood="calm"), proto("NOTE", "proto"))
    robin = table.desk.society.personas["ROBIN"]
    assert (robin.role, robin.model, robin.mood) == ("doubt", "m", "calm")
    assert len(table.desk.society.personas) == 4
    table.link.commit(("proto", "ROBIN"))
    table.pump()
    assert len(table.link.asked("protos")) == 1


def test_inspecting_opens_what_it_is_of(table: Table) -> None:
    known(table, proto("ROBIN"), proto("tool:fib", "tool"))
    table.desk.act("", Act("place-tool", {"tool": "fib"}))
    table.desk.act("ROBIN", Act("inspect"))
    table.desk.act("tool-fib", Act("inspect"))
    assert [name for name, _ in subjects(table, "inspector")] == ["ROBIN", "tool:fib"]
    table.desk.act("ROBIN", Act("evidence"))
    assert subjects(table, "inspector")[-1] == ("ROBIN", "evidence")
    table.desk.act("tool-fib", Act("evidence"))
    table.desk.act("", Act("run", {"tool": "fib", "persona": "ROBIN"}))
    assert subjects(table, "tool_bench") == [("fib", "")]
    table.desk.doing.act(Act("inspect", {"morph": "probe"}))
    state = table.desk.world["inspector-3"].state
    assert '"pane": "probe"' in state["value"]


def test_inspecting_what_failed_last_opens_its_debugger(table: Table) -> None:
    known(table, proto("ROBIN", failed=["greet"]))
    table.desk.act("ROBIN", Act("inspect"))
    assert subjects(table, "debugger") == [("ROBIN", "greet")]
    assert subjects(table, "inspector") == []


def test_the_command_palette_finds_every_living_thing(table: Table) -> None:
    known(table, proto("ROBIN"), proto("tool:fib", "tool"))
    table.desk.key("ctrl-p")
    for each in "put fib":
        table.desk.key(each if each != " " else "space")
    table.desk.key("enter")
    assert table.desk.world["tool-fib"].kind == "tool"
    table.desk.key("ctrl-z")
    assert "tool-fib" not in table.desk.world


def test_a_living_thing_is_copied_as_text(table: Table) -> None:
    known(table, proto("ROBIN"))
    copied: list[str] = []
    table.desk.hands.copy = copied.append
    table.desk.doing.act(Act("export", {"proto": "ROBIN"}))
    table.link.answer("proto", {"name": "ROBIN", "slots": ["ö"]})
    table.pump()
    assert "ö" in copied[0]


# Files


def test_a_file_is_read_in_and_what_cannot_be_is_said(table: Table, tmp_path: Path) -> None:
    table.live()
    file = tmp_path / "a.txt"
    file.write_text("words")
    table.desk.drop_file(str(file), Point(10, 10))
    documents = [{"new": 3}]
    failed = [{"path": str(tmp_path / "b.bin"), "why": "it has no text"}]
    table.link.answer("read_in", {"documents": documents, "failed": failed})
    table.pump()
    assert table.notices() == ["b.bin: it has no text", "a.txt is remembered: 3 new parts."]
    table.desk.drop_file(str(tmp_path / "not there"), Point(10, 10))
    assert table.desk.notices[-1].bad


def test_a_folder_is_asked_about_first(table: Table, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    table.desk.drop_file(str(tmp_path), Point(10, 10))
    assert table.link.asked("read_in") == []
    assert table.desk.menu is not None
    table.desk.key("enter")
    assert len(table.link.asked("read_in")) == 1
    assert table.desk.menu is None


# The world


def test_a_dragged_morph_is_one_step_and_is_undone(table: Table) -> None:
    before = table.desk.world["ROBIN"].rect
    table.desk.pointer(Pointer("press", Point(640, 440)))
    for x in range(650, 700, 10):
        table.desk.pointer(Pointer("move", Point(x, 440)))
    table.desk.pointer(Pointer("release", Point(690, 440)))
    assert table.desk.world["ROBIN"].rect.x == before.x + 50
    assert table.desk.key("ctrl-z")
    assert table.desk.world["ROBIN"].rect == before


def test_the_halo_follows_its_morph_and_goes_with_it(table: Table) -> None:
    table.desk.pointer(Pointer("press", Point(640, 440), "middle"))
    was = table.halo_at()
    table.desk.key("shift-right")
    assert table.halo_at() == was + Point(10, 0)
    assert table.told[-1] >= {"world", "halo"}
    table.desk.key("delete")
    assert table.desk.halo is None
    assert "ROBIN" not in table.desk.world


def test_a_press_beside_a_menu_closes_it(table: Table) -> None:
    table.desk.pointer(Pointer("press", Point(900, 700), "right"))
    assert table.desk.menu is not None
    table.desk.pointer(Pointer("press", Point(20, 20)))
    assert table.desk.menu is None


def test_what_is_unknown_is_said_and_harms_nothing(table: Table) -> None:
    table.desk.act("", Act("of later"))
    table.desk.act("", Act("open", {"pane": "of later"}))
    assert len(table.notices()) == 2


def test_a_notice_goes_by_itself_and_the_desk_has_itself_woken_for_that(table: Table) -> None:
    table.desk.act("", Act("undo"))
    assert table.notices() == ["There is nothing to undo."]
    due_s = table.link.woken_in_s
    assert due_s is not None
    table.now_s += due_s + 0.01
    assert table.pump() == {"notices"}
    assert table.notices() == []


def test_nothing_is_told_where_nothing_has_changed(table: Table) -> None:
    table.pump()
    before = len(table.told)
    for _ in range(3):
        table.pump()
        table.desk.pointer(Pointer("move", Point(300, 800)))
    assert len(table.told) == before
