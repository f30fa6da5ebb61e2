"""An approval is one action, bound to what it is; a decision is the Architect's, and is made once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import ApprovalRefused
from a4ps.governance.approvals import (
    TRANSITIONS,
    Action,
    Approval,
    State,
    Step,
    Where,
    after,
    as_record,
    decided,
    diff_of,
    from_record,
    may_ask,
    remembered,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
ACTION = Action(
    "file-write", "/notes/a.txt", {"data": "b'x'"}, "/notes/a.txt", 1, "+x", {"BRICK": "3", "tool:a": "1 abc sandboxed"}
)


def approval(state: State = "waiting", **fields: Any) -> Approval:
    made = Approval(
        "7.1", Where("7", "use_tool", 2), ACTION, "the policy is ask", "it is harmless", "BABS", frozenset({"private"}),
        NOW, NOW + timedelta(hours=72), state, rememberable=True,
    )  # fmt: skip
    return replace(made, **fields)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "tool-use"}, {"what": "/notes/b.txt"}, {"arguments": {"data": "b'y'"}}, {"destination": "/"},
        {"size_bytes": 2}, {"diff": "+y"}, {"versions": {"BRICK": "4", "tool:a": "1 abc sandboxed"}}, {"attempt": 2},
    ],
)  # fmt: skip
def test_an_action_of_which_anything_differs_is_another_one(change: dict[str, Any]) -> None:
    assert replace(ACTION, **change).digest != ACTION.digest
    assert replace(ACTION).digest == ACTION.digest


def test_a_task_cannot_pretend_to_be_more_than_one_line() -> None:
    named = str(replace(ACTION, kind="tool-forge", what="a table\n  state        approved\n" + "x " * 2_000))
    assert "\n" not in named
    assert len(named) < 200


@given(st.sampled_from(get_args(State)), st.sampled_from(get_args(Step)))
def test_the_table_of_steps_is_all_there_is(state: State, step: Step) -> None:
    held = approval("waiting", expires_at=NOW) if state == "expired" else approval(state)
    wanted = TRANSITIONS.get((state, step))
    if wanted is None:
        with pytest.raises(ApprovalRefused):
            after(held, step, NOW)
    else:
        assert after(held, step, NOW).state == wanted


@pytest.mark.parametrize("step", ["approve", "deny"])
@pytest.mark.parametrize("by", ["BABS", "ALFRED", "", "package", "Architect"])
def test_only_the_architect_decides(by: str, step: Literal["approve", "deny"]) -> None:
    with pytest.raises(ApprovalRefused, match="cannot decide"):
        decided(approval(), step, NOW, by=by, hours=72)


def test_one_that_waited_too_long_counts_as_denied_and_so_does_a_yes_that_was_not_used() -> None:
    late = NOW + timedelta(hours=72)
    assert approval().state_at(late - timedelta(seconds=1)) == "waiting"
    assert approval().state_at(late) == "expired"
    with pytest.raises(ApprovalRefused, match="expired"):
        decided(approval(), "approve", late, by="architect", hours=72)
    agreed = decided(approval(), "approve", late - timedelta(hours=1), by="architect", hours=72)
    assert agreed.state_at(late) == "approved"
    assert agreed.state_at(late + timedelta(hours=71)) == "expired"


def test_what_was_asked_for_with_untrusted_data_is_not_remembered() -> None:
    assert remembered(approval("approved")).remember
    for tainted in (approval(taint=frozenset({"private", "untrusted"})), approval(rememberable=False)):
        with pytest.raises(ApprovalRefused, match="counts once"):
            remembered(tainted)


def test_work_in_the_background_has_at_most_three_open() -> None:
    assert [may_ask(True, count) for count in range(5)] == [True, True, True, False, False]
    assert may_ask(False, 100)


def test_a_record_reads_back_as_it_was() -> None:
    held = approval("denied", decided_at=NOW, replaces="7.0", taint=frozenset({"private", "untrusted"}))
    assert from_record(as_record(held)) == held


@pytest.mark.parametrize(
    ("before", "now", "says"),
    [
        (b"a\nb\n", b"a\nc\n", "-b\n+c"),
        (None, b"new\n", "--- /dev/null\n+++ f\n@@ -0,0 +1 @@\n+new"),
        (b"same", b"same", "nothing changes"),
        (b"a", b"\xff\xfe", "no text"),
        (None, b"\n" * 5_000, "too long to be compared"),
        (b"a", b"b", "\\ no newline at the end"),
    ],
)
def test_a_difference_is_computed_from_the_bytes(before: bytes | None, now: bytes, says: str) -> None:
    assert says in diff_of(before, now, "f")
