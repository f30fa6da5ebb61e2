"""Differences and merges as pure values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.clock import ManualClock
from a4ps.errors import CallerError, ImageTooNew, IntegrityError
from a4ps.image.changes import Change, diff, merge, part_name
from a4ps.image.codec import opaque
from a4ps.image.codex import Codex
from a4ps.image.content import MAX_DEPTH, Content, Record, Slot, depth_after, pack_record, unpack_record
from a4ps.image.methods import Method

CODICES = [Codex("logic", "none", prompt) for prompt in ("Think.", "Feel.")]
METHODS = [Method("f", f"def f(self): return {n}", "architect") for n in range(2)]
CONTENTS = st.builds(
    Content,
    st.sampled_from(CODICES),
    st.sampled_from([(), ("A",), ("A", "B")]),
    st.sampled_from([{}, {"f": METHODS[0]}, {"f": METHODS[1]}]),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2).map(lambda value: Slot.of(value, "slot")), max_size=3),
)


@given(CONTENTS, CONTENTS)
def test_without_changes_of_others_mine_is_the_outcome(base: Content, mine: Content) -> None:
    assert merge(base, mine, base).content == mine


@given(CONTENTS, CONTENTS)
def test_without_changes_of_mine_theirs_is_the_outcome(base: Content, theirs: Content) -> None:
    assert merge(base, base, theirs).content == theirs


@given(CONTENTS, CONTENTS, CONTENTS)
def test_a_merge_clashes_exactly_where_both_changed(base: Content, mine: Content, theirs: Content) -> None:
    changed_by_me = {each.part for each in diff("P", base, mine)}
    changed_by_them = {each.part for each in diff("P", base, theirs)}
    merged = merge(base, mine, theirs)
    assert set(merged.clashes) == changed_by_me & changed_by_them
    if merged.content is not None:
        assert {each.part for each in diff("P", base, merged.content)} == changed_by_me | changed_by_them
        assert {each.part for each in diff("P", theirs, merged.content)} == changed_by_me


@given(CONTENTS, CONTENTS)
def test_a_diff_inverted_is_the_diff_back(before: Content, after: Content) -> None:
    forth = {(each.part, repr(each.before), repr(each.after)) for each in diff("P", before, after)}
    back = {(each.part, repr(each.after), repr(each.before)) for each in diff("P", after, before)}
    assert forth == back
    assert merge(after, before, after).content == before


@given(CONTENTS)
def test_a_record_comes_back_as_it_was_written(content: Content) -> None:
    record = Record(content, 7, "swap", "architect", "because", {"turn": [1, "x"]})
    assert unpack_record(pack_record(record)).record(None) == record


@given(st.lists(CONTENTS, min_size=2, max_size=6))
def test_rows_that_hold_differences_fold_to_what_was_written(contents: list[Content]) -> None:
    """Also the order of slots and methods, which people see."""
    written: Record | None = None
    read: Content | None = None
    for content in contents:
        before = None if written is None else written.content
        written = Record(content, 7, "swap", "architect", "", None, depth_after(written, content))
        read = unpack_record(pack_record(written, before)).record(read).content
        assert read == content
        assert (list(read.slots), list(read.methods)) == (list(content.slots), list(content.methods))


def test_a_difference_is_all_that_a_row_holds() -> None:
    before = Content(CODICES[0], (), {"f": METHODS[0]}, {"long": Slot.of("x" * 10_000, "s"), "n": Slot.of(1, "s")})
    after = Content(CODICES[0], (), {"f": METHODS[0]}, {**before.slots, "n": Slot.of(2, "s")})
    whole = Record(before, 0, "register", "architect", "")
    assert len(pack_record(Record(after, 1, "swap", "architect", "", None, depth_after(whole, after)), before)) < 200


def test_a_chain_of_differences_ends() -> None:
    record = Record(Content(CODICES[0]), 0, "register", "architect", "")
    depths = []
    for _ in range(2 * MAX_DEPTH):
        record = Record(record.content, 1, "swap", "architect", "", None, depth_after(record, record.content))
        depths.append(record.depth)
    assert max(depths) == MAX_DEPTH
    assert depths.count(0) == 1


def test_a_difference_without_what_it_rests_on_is_damage() -> None:
    content = Content(CODICES[0])
    payload = pack_record(Record(content, 1, "swap", "architect", "", None, depth=1), content)
    with pytest.raises(IntegrityError):
        unpack_record(payload).record(None)


def test_a_removal_has_a_record_too() -> None:
    record = Record(None, 7, "remove", "architect", "", None)
    assert unpack_record(pack_record(record)).record(None) == record


def test_evidence_that_is_no_plain_data_is_refused() -> None:
    with pytest.raises(CallerError):
        pack_record(Record(Content(CODICES[0]), 0, "swap", "architect", "", object()))


def test_a_record_of_a_later_format_is_refused() -> None:
    payload = pack_record(Record(Content(CODICES[0]), 0, "swap", "architect", ""))
    with pytest.raises(ImageTooNew):
        unpack_record(payload.replace(b"\xa6format\x02", b"\xa6format\x03"))


def test_parts_are_named_as_they_are_written_in_code() -> None:
    assert part_name("BRICK", ("slot", "a b")) == 'BRICK.state["a b"]'
    assert part_name("BRICK", ("method", "f")) == "BRICK.f"
    assert part_name("BRICK", ("codex", "")) == "BRICK.codex"


def test_a_change_prints_itself_in_one_line() -> None:
    change = Change(3, "BRICK", 2, "swap", "architect", "calmer", ManualClock().now(), inherited=True)
    assert str(change) == "3 2026-11-22 12:00:00 BRICK swap by architect, inherited: calmer"


class Mute:
    def __repr__(self) -> str:
        raise LookupError


def test_a_value_that_cannot_be_written_out_does_not_hide_the_others() -> None:
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    values = {"deep": deep, "great": 10**5000, "mute": opaque(Mute()), "plain": 1}
    after = Content(CODICES[0], slots={name: Slot.of(value, name) for name, value in values.items()})
    text = str(diff("BRICK", Content(CODICES[0]), after))
    assert text.count("that cannot be written out") == 3
    assert text.endswith('BRICK.state["plain"]:\n+ 1')


def test_equal_contents_have_no_difference() -> None:
    content = Content(CODICES[0])
    assert str(diff("P", content, content)) == "no difference"
    assert len(diff("P", None, content)) == 2
