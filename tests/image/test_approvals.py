"""Approvals and the ledger of effects as rows: durable, decided once, and nobody's but the Architect's."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from a4ps.clock import ManualClock
from a4ps.errors import ApprovalRefused, CallerError, UnknownApproval
from a4ps.governance.approvals import TRANSITIONS, Action, State, Where
from a4ps.governance.policy import Decision
from a4ps.image.approvals import Approvals
from a4ps.image.effects import Effects
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.store import Store

ASK = Decision("ask", "the policy is ask", rememberable=True)
TRUSTED = frozenset({"private"})
TAINTED = frozenset({"private", "untrusted"})
WHERE = Where("7", "use_tool", 1)
ACTION = Action("tool-forge", "a table", {"task": "'a table'"})


@contextmanager
def opened(folder: Path, clock: ManualClock | None = None) -> Iterator[tuple[Store, Approvals, Effects]]:
    with Store.open(folder / "image.a4ps", KeyFolder(folder / "keys"), clock or ManualClock()) as store:
        yield store, Approvals(store), Effects(store)


def ask(approvals: Approvals, where: Where = WHERE, action: Action = ACTION, taint: frozenset[str] = TRUSTED) -> str:
    return approvals.ask(where, action, ASK, claim="please", asked_by="BABS", taint=taint).id


def authors(image: Path, kind: str) -> list[str]:
    """Who authored the commits that have a row of that kind, oldest first; for an image that nobody has open."""
    with closing(sqlite3.connect(image)) as reader:
        rows = reader.execute("SELECT place >> 20 FROM rows WHERE kind = ? ORDER BY place", (kind,)).fetchall()
        commits = dict(reader.execute("SELECT generation, author FROM commits").fetchall())
    return [str(commits[generation]) for (generation,) in rows]


def test_a_question_outlives_the_process_and_its_answer_too(tmp_path: Path) -> None:
    with opened(tmp_path) as (_, approvals, _):
        assert ask(approvals) == "7.1"
    with opened(tmp_path) as (_, approvals, _):
        assert [each.id for each in approvals.waiting()] == ["7.1"]
        approvals.decide("7.1", "approve")
    with opened(tmp_path) as (_, approvals, _):
        assert approvals.get("7.1").state == "approved"
        assert approvals.waiting() == []
        assert approvals.at(WHERE) == approvals.get("7.1")


def test_a_question_is_the_personas_commit_and_an_answer_the_architects(tmp_path: Path) -> None:
    with opened(tmp_path) as (_, approvals, _):
        ask(approvals)
        approvals.decide("7.1", "deny")
    assert authors(tmp_path / "image.a4ps", "approval") == ["BABS", "architect"]
    with opened(tmp_path) as (_, approvals, _):
        for step in ("approve", "deny"):
            with pytest.raises(ApprovalRefused):
                approvals.decide("7.1", step, by="BABS")
        ask(approvals, replace(WHERE, ordinal=2))
        with pytest.raises(ApprovalRefused, match="cannot edit"):
            approvals.edit("7.2", ACTION, by="ALFRED")


def test_what_is_asked_anew_at_one_place_replaces_what_was_asked_there(tmp_path: Path) -> None:
    with opened(tmp_path) as (_, approvals, _):
        ask(approvals)
        approvals.decide("7.1", "approve")
        ask(approvals, action=replace(ACTION, versions={"BRICK": "2"}))
        first, second = approvals.all()
        assert (first.state, first.replaced_by, second.replaces, second.state) == ("replaced", "7.2", "7.1", "waiting")
        with pytest.raises(ApprovalRefused):
            approvals.used(first)


def test_an_edit_is_a_new_approval_that_waits(tmp_path: Path) -> None:
    with opened(tmp_path) as (_, approvals, _):
        ask(approvals)
        approvals.decide("7.1", "approve")
        edited = approvals.edit("7.1", replace(ACTION, what="another table"))
        assert (edited.id, edited.state, approvals.get("7.1").state) == ("7.2", "waiting", "replaced")
        with pytest.raises(ApprovalRefused):
            approvals.decide("7.1", "approve")


def test_a_remembered_yes_counts_for_the_same_action_until_it_is_taken_back(tmp_path: Path) -> None:
    with opened(tmp_path) as (store, approvals, _):
        ask(approvals)
        approvals.decide("7.1", "approve", remember=True)
        assert approvals.agreed_for_good(ACTION)
        assert not approvals.agreed_for_good(replace(ACTION, what="another"))
        store.commit([approvals.used(approvals.get("7.1"))], author="BABS", reason="used")
        approvals.decide("7.1", "deny")
        assert not approvals.agreed_for_good(ACTION)
        assert (approvals.get("7.1").state, approvals.get("7.1").remember) == ("used", False)
        ask(approvals, replace(WHERE, ordinal=5), taint=TAINTED)
        with pytest.raises(ApprovalRefused, match="counts once"):
            approvals.decide("7.2", "approve", remember=True)
        assert approvals.get("7.2").state == "waiting"


def test_a_fourth_question_from_the_background_is_refused_until_one_is_answered(tmp_path: Path) -> None:
    with opened(tmp_path) as (_, approvals, _):

        def ask_quietly(ordinal: int) -> None:
            where = replace(WHERE, ordinal=ordinal)
            approvals.ask(where, ACTION, ASK, claim="", asked_by="BABS", taint=TRUSTED, background=True)

        for ordinal in range(3):
            ask_quietly(ordinal)
        with pytest.raises(ApprovalRefused, match="background"):
            ask_quietly(3)
        ask(approvals, replace(WHERE, ordinal=9))
        approvals.decide("7.1", "deny")
        ask_quietly(3)


def test_what_waits_in_a_turn_that_is_answered_waits_no_longer(tmp_path: Path) -> None:
    with opened(tmp_path) as (store, approvals, _):
        ask(approvals)
        ask(approvals, Where("8", "use_tool", 1))
        approvals.lapse("7")
        assert [each.id for each in approvals.waiting()] == ["8.1"]
        assert approvals.get("7.1").state_at(store.clock.now()) == "expired"
        generation = store.generation
        approvals.lapse("7")
        assert store.generation == generation


def test_an_unknown_one_is_said_to_be(tmp_path: Path) -> None:
    with opened(tmp_path) as (_, approvals, _), pytest.raises(UnknownApproval, match="no approval"):
        approvals.decide("9.9", "approve")


def test_an_intent_is_durable_before_its_result_and_uses_up_its_approval(tmp_path: Path) -> None:
    with opened(tmp_path) as (_, approvals, effects):
        assert effects.at(WHERE) is None
        ask(approvals)
        approvals.decide("7.1", "approve")
        effects.begin(WHERE, ACTION, TAINTED, author="BABS", using=[approvals.used(approvals.get("7.1"))])
    with opened(tmp_path) as (_, approvals, effects):
        begun = effects.at(WHERE)
        assert begun is not None
        assert (begun.state, begun.action, begun.taint, begun.result) == ("intent", ACTION, TAINTED, None)
        assert approvals.get("7.1").state == "used"
        with pytest.raises(ApprovalRefused):
            approvals.used(approvals.get("7.1"))
        effects.done(WHERE, ACTION, TAINTED, {"text": "made"}, author="BABS")
        done = effects.at(WHERE)
        assert done is not None
        assert (done.state, done.result) == ("done", {"text": "made"})
        assert effects.of_turn("7") == [WHERE]
        assert effects.of_turn("70") == []


def test_a_strangers_export_brings_no_approval(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with ProtoManager.open(tmp_path / "one" / "image.a4ps", keys=KeyFolder(tmp_path / "keys")) as manager:
        approvals = Approvals(manager.store)
        ask(approvals)
        approvals.decide("7.1", "approve", remember=True)
        manager.export_text(tmp_path / "text")
        assert "a table" not in "".join(file.read_text() for file in (tmp_path / "text").glob("*.jsonl"))
        for kind in ("approval", "approval-kept"):
            line = f'{{"kind": "{kind}", "key": "7.1", "at": "2026-11-30T00:00:00+00:00", "payload": {{}}}}\n'
            (tmp_path / "text" / "records.jsonl").write_text(line)
            with pytest.raises(CallerError, match="approval"):
                manager.import_text(tmp_path / "text")


class Steps(RuleBasedStateMachine):
    """Any order of questions, answers, edits and uses keeps to the table, and at most one yes is usable at a place."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.cm = opened(Path(self.folder.name), self.clock)
        self.store, self.approvals, _ = self.cm.__enter__()
        self.states: dict[str, State] = {}
        self.count = 0

    def teardown(self) -> None:
        self.cm.__exit__(None, None, None)
        self.folder.cleanup()

    @rule(changed=st.booleans())
    def asks(self, changed: bool) -> None:
        self.count += changed
        new = ask(self.approvals, action=replace(ACTION, versions={"BRICK": str(self.count)}))
        for key, state in self.now().items():
            if key != new and state in ("waiting", "approved"):
                raise AssertionError(f"{key} is still {state}")

    @precondition(lambda self: self.approvals.all())
    @rule(data=st.data(), step=st.sampled_from(["approve", "deny", "edit", "use"]))
    def steps(self, data: st.DataObject, step: str) -> None:
        chosen = data.draw(st.sampled_from([each.id for each in self.approvals.all()]))
        before = self.now()[chosen]
        taken = {"edit": "replace"}.get(step, step)
        allowed = (before, taken) in TRANSITIONS
        try:
            if step == "use":
                row = self.approvals.used(self.approvals.get(chosen))
                self.store.commit([row], author="BABS", reason="used")
            elif step == "edit":
                self.approvals.edit(chosen, replace(ACTION, what=f"edited {self.count}"))
            else:
                self.approvals.decide(chosen, step)  # type: ignore[arg-type]
        except ApprovalRefused:
            assert not allowed
            assert self.now()[chosen] == before
        else:
            assert allowed
            assert self.now()[chosen] == TRANSITIONS[before, taken]  # type: ignore[index]

    @rule(hours=st.sampled_from([1, 71, 72]))
    def time_passes(self, hours: int) -> None:
        self.clock.advance(timedelta(hours=hours).total_seconds())

    def now(self) -> dict[str, State]:
        return {each.id: each.state_at(self.clock.now()) for each in self.approvals.all()}


Steps.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
TestSteps = Steps.TestCase
