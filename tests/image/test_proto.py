"""Drafts, versions, handles and pins: what each may do, and that none can change another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import CallerError, NotBound, NotInTransaction, UnknownProto, Unstorable
from a4ps.image.codec import opaque
from a4ps.image.codex import Codex
from a4ps.image.handle import Handle
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.readonly import holds_view
from tests.image.plain_values import Point, Slotted

CODEX = {"role": "logic", "model_name": "qwen", "system_prompt": "Think.", "pillars": ["order"], "age": 3}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ProtoManager]:
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys")) as opened:
        yield opened


@pytest.fixture
def brick(manager: ProtoManager) -> Handle:
    return manager.register_proto(Proto("BRICK", CODEX, state={"mood": "calm", "plans": [{"steps": [1]}]}))


# Codex


def test_a_codex_needs_role_model_and_prompt_and_keeps_whatever_else() -> None:
    codex = Codex.from_mapping(CODEX)
    assert (codex.pillars, codex.temperature, codex.extra["age"]) == (("order",), 0.7, 3)
    assert Codex.from_mapping(codex.to_mapping()) == codex
    for name in ("role", "model_name", "system_prompt"):
        with pytest.raises(CallerError, match=name):
            Codex.from_mapping({key: value for key, value in CODEX.items() if key != name})


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": 1},
        {"pillars": "order"},
        {"pillars": [1]},
        {"temperature": "hot"},
        {"temperature": float("nan")},
        {"temperature": -1},
        {"temperature": True},
        {"extra": 1},
        {"extra": {(1, 2): 3}},
        {"extra": {"deep": [{1: 2}]}},
        {"extra": {"score": float("nan")}},
        {"extra": {"n": 2**64}},
        {"thing": object()},
    ],
)
def test_a_codex_with_a_wrong_field_does_not_exist(wrong: dict[str, object]) -> None:
    with pytest.raises(CallerError):
        Codex.from_mapping({**CODEX, **wrong})


def test_a_codex_cannot_be_changed_through_what_it_was_made_of() -> None:
    given_as: dict[str, Any] = {**CODEX, "likes": {"tea": ["green"]}}
    codex = Codex.from_mapping(given_as)
    before = codex.fingerprint
    given_as["likes"]["tea"].append("black")
    codex.to_mapping()["extra"]["likes"]["tea"].append("white")  # type: ignore[index]
    assert codex.fingerprint == before
    with pytest.raises(TypeError):
        codex.extra["likes"] = 1  # type: ignore[index]


def test_a_fingerprint_does_not_depend_on_the_order_of_fields() -> None:
    turned = dict(reversed(CODEX.items()))
    assert Codex.from_mapping(turned).fingerprint == Codex.from_mapping(CODEX).fingerprint
    assert Codex.from_mapping({**CODEX, "voice": "dry"}).fingerprint != Codex.from_mapping(CODEX).fingerprint


# Names


@pytest.mark.parametrize("name", ["", "a" * 201, "a\nb", "\x00", "\x7f", "\ud800", 3, None])
def test_a_name_that_cannot_be_shown_names_nothing(name: Any) -> None:
    with pytest.raises(CallerError):
        Proto(name, CODEX)
    with pytest.raises(CallerError):
        Proto("BRICK", CODEX).state[name] = 1
    with pytest.raises(CallerError):
        Proto("BRICK", CODEX, parents=[name])


# Drafts


def test_a_draft_is_freely_mutable_at_every_depth() -> None:
    draft = Proto("BRICK", CODEX)
    draft.state["plans"] = [{"steps": []}]
    draft.state["plans"][0]["steps"].append(1)
    draft.codex = {**CODEX, "voice": "dry"}
    assert draft.plans == [{"steps": [1]}]
    assert (draft.codex.voice, draft.version) == ("dry", 0)
    draft.state = {"other": 1}
    assert dict(draft.state) == {"other": 1}
    del draft.state["other"]
    assert draft.state == {}


def test_a_slot_is_not_set_by_mistake_as_an_attribute() -> None:
    draft = Proto("BRICK", CODEX)
    with pytest.raises(AttributeError):
        draft.mood = "calm"  # type: ignore[attr-defined]


PLAIN = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(codec="ascii", categories=["L"]), min_size=1), PLAIN, max_size=4))
def test_a_clone_is_deep_and_isolated(state: dict[str, Any]) -> None:
    draft = Proto("BRICK", CODEX, state=state)
    clone = draft.clone()
    assert clone.state == state
    for slot in list(clone.state):
        value = clone.state[slot]
        if isinstance(value, list):
            value.append("changed")
        elif isinstance(value, dict):
            value["changed"] = True
        clone.state[f"{slot}2"] = 1
    clone.define("f", "def f(self): pass")
    assert dict(draft.state) == state
    assert not draft.methods


def test_a_clone_keeps_aliases_and_cycles() -> None:
    shared: list[Any] = [1]
    shared.append(shared)
    draft = Proto("BRICK", CODEX, state={"a": shared, "b": shared})
    clone = draft.clone()
    assert clone.state["a"] is clone.state["b"]
    assert clone.state["a"][1] is clone.state["a"]
    assert clone.state["a"] is not shared


def test_a_draft_that_holds_what_cannot_be_kept_says_where() -> None:
    draft = Proto("BRICK", CODEX, state={"plans": [{"lock": threading.Lock()}]})
    with pytest.raises(Unstorable, match=r'BRICK.state\["plans"\]\[0\]\["lock"\]'):
        draft.clone()


# Handles


WRITES: list[Callable[[Any], object]] = [
    lambda p: p.state.__setitem__("mood", "x"),
    lambda p: p.state.__delitem__("mood"),
    lambda p: p.state.update(mood="x"),
    lambda p: p.state["plans"].append(1),
    lambda p: p.state["plans"][0]["steps"].append(1),
    lambda p: p.plans[0]["steps"].append(1),
    lambda p: setattr(p, "mood", "x"),
    lambda p: setattr(p, "state", {}),
    lambda p: setattr(p, "codex", CODEX),
    lambda p: setattr(p, "parents", ()),
    lambda p: delattr(p, "mood"),
]


@pytest.mark.parametrize("write", WRITES)
def test_what_is_committed_is_read_only_at_every_depth(
    manager: ProtoManager, brick: Handle, write: Callable[[Any], object]
) -> None:
    for seen in (brick, manager.pin()["BRICK"]):
        with pytest.raises(NotInTransaction, match=r"transaction\(\)"):
            write(seen)
    with pytest.raises(NotInTransaction):
        brick.current.state["plans"][0]["steps"].append(1)
    assert brick.state == {"mood": "calm", "plans": [{"steps": [1]}]}


def test_a_write_is_refused_by_the_name_of_its_slot(brick: Handle) -> None:
    with pytest.raises(NotInTransaction) as refused:
        brick.state["plans"][0]["steps"].append(1)
    assert refused.value.path == 'BRICK.state["plans"][0]["steps"]'
    with pytest.raises(NotInTransaction) as refused:
        brick.mood = "x"
    assert refused.value.path == 'BRICK.state["mood"]'


def test_there_is_one_handle_a_name_for_ever(manager: ProtoManager, brick: Handle) -> None:
    manager.atomic_swap(brick.clone())
    assert manager.get_proto("BRICK") is brick
    assert repr(brick) == "<BRICK at 2>"


def test_a_handle_shows_the_newest_version_and_a_pin_the_one_of_its_moment(
    manager: ProtoManager, brick: Handle
) -> None:
    pin = manager.pin()
    with manager.transaction() as tx:
        tx.edit("BRICK").state["mood"] = "stern"
    assert (brick.mood, pin["BRICK"].mood) == ("stern", "calm")
    assert (brick.version, pin["BRICK"].version) == (2, 1)
    assert list(pin) == ["BRICK"]
    with pytest.raises(NotInTransaction):
        pin["BRICK"].define("f", "def f(self): pass")
    with pytest.raises(NotInTransaction):
        pin["BRICK"].forget("f")
    with pytest.raises(UnknownProto):
        pin.get_proto("ROBIN")


def test_what_was_taken_out_of_a_handle_stays_of_its_version(manager: ProtoManager, brick: Handle) -> None:
    plans = brick.plans
    with manager.transaction() as tx:
        tx.edit("BRICK").state["plans"][0]["steps"].append(2)
    assert plans == [{"steps": [1]}]
    assert brick.plans == [{"steps": [1, 2]}]


def test_a_committed_value_can_be_put_into_another_slot(manager: ProtoManager, brick: Handle) -> None:
    with manager.transaction() as tx:
        draft = tx.edit("BRICK")
        draft.state["copy"] = brick.plans
        draft.state["nested"] = {"in": [brick.plans]}
    assert brick.copy == [{"steps": [1]}]
    assert brick.nested == {"in": [[{"steps": [1]}]]}


def test_an_opaque_value_is_handed_out_as_a_copy(manager: ProtoManager, brick: Handle) -> None:
    with manager.transaction() as tx:
        tx.edit("BRICK").state["odd"] = opaque({"a": [1]})
    brick.odd.value["a"].append(2)
    assert brick.odd.value == {"a": [1]}


# Delegation


def test_slots_and_methods_are_found_through_parents(manager: ProtoManager, brick: Handle) -> None:
    brick.define("greet", "def greet(self): return f'{self.name} is {self.mood}'")
    child = manager.register_proto(Proto("CHILD", CODEX, parents=["BRICK"], state={"own": 1}))
    assert (child.mood, child.state["mood"], child.own) == ("calm", "calm", 1)
    assert child.greet() == "CHILD is calm"
    assert set(child.state) == {"own", "mood", "plans"}
    with manager.transaction() as tx:
        tx.edit("BRICK").state["mood"] = "stern"
    assert child.greet() == "CHILD is stern"


def test_writing_an_inherited_slot_makes_it_the_childs_own(manager: ProtoManager, brick: Handle) -> None:
    child = manager.register_proto(Proto("CHILD", CODEX, parents=["BRICK"]))
    with manager.transaction() as tx:
        draft = tx.edit("CHILD")
        with pytest.raises(NotInTransaction, match="BRICK"):
            draft.state["plans"][0]["steps"].append(9)
        draft.state["plans"] = draft.state["plans"]
        draft.state["plans"].append("more")
        draft.state["mood"] += "er"
    assert (child.mood, brick.mood) == ("calmer", "calm")
    assert (child.plans, brick.plans) == ([{"steps": [1]}, "more"], [{"steps": [1]}])
    with manager.transaction() as tx:
        del tx.edit("CHILD").state["mood"]
        with pytest.raises(KeyError):
            del tx.edit("CHILD").state["mood"]
    assert child.mood == "calm"


@pytest.mark.parametrize("names", ["mood", [1], [("mood",)], [""]], ids=repr)
@pytest.mark.parametrize("what", ["reads", "writes"])
def test_what_a_method_reads_and_writes_are_names_of_slots(brick: Handle, what: str, names: Any) -> None:
    with pytest.raises(CallerError):
        brick.define("f", "def f(self): return 1", **{what: names})


@pytest.mark.parametrize(
    "value",
    [{"a": [1]}, {1}, ([1],), Point([1], {"b": [2]}), [Point([1])], Slotted("s", [1]), Point(Slotted("s", [1]))],
    ids=repr,
)
def test_what_was_read_of_a_proto_may_be_put_into_another_and_changed_there(
    manager: ProtoManager, brick: Handle, value: object
) -> None:
    with manager.transaction() as tx:
        tx.edit("BRICK").state["given"] = value
    other = manager.register_proto(Proto("OTHER", CODEX, state={"taken": brick.given, "within": [brick.given]}))
    assert (other.taken, other.within) == (value, [value])
    draft = other.clone()
    draft.state["taken"] = brick.given
    assert not holds_view(draft.state["taken"])


def test_an_array_that_was_read_of_a_parent_can_be_written_once_it_is_ones_own(
    manager: ProtoManager, brick: Handle
) -> None:
    with manager.transaction() as tx:
        tx.edit("BRICK").state["array"] = numpy.arange(3)
    child = Proto("CHILD", CODEX, state={"array": brick.array})
    child.state["array"] += 1
    assert list(brick.array) == [0, 1, 2]
    assert list(manager.register_proto(child).array) == [1, 2, 3]


def test_a_pin_resolves_parents_as_they_were(manager: ProtoManager, brick: Handle) -> None:
    manager.register_proto(Proto("CHILD", CODEX, parents=["BRICK"]))
    pin = manager.pin()
    with manager.transaction() as tx:
        tx.edit("BRICK").state["mood"] = "stern"
    assert pin["CHILD"].mood == "calm"
    assert pin["CHILD"].clone().mood == "calm"


# Speaking


def test_a_proto_describes_itself(manager: ProtoManager, brick: Handle) -> None:
    brick.define("add", "def add(self, by=1):\n    'Adds.'\n")
    child = manager.register_proto(Proto("CHILD", CODEX, parents=["BRICK"]))
    for proto in (child, child.clone(), manager.pin()["CHILD"]):
        text = proto.get_self_description()
        for part in ("CHILD is logic", "qwen", "Inherits from: BRICK", "mood, plans", "add(by=1): Adds.", "Version: 3"):
            assert part in text
    assert "Not registered" in Proto("NEW", CODEX).get_self_description()


def test_a_proto_asks_the_model_that_is_bound_to_its_manager(manager: ProtoManager, brick: Handle) -> None:
    class Echo:
        def invoke(self, name: str, codex: Codex, prompt: str) -> str:
            return f"{name} {codex.model_name} {prompt}"

    for proto in (brick, brick.clone(), manager.pin()["BRICK"], Proto("NEW", CODEX)):
        with pytest.raises(NotBound):
            proto.invoke_llm("hello")
    manager.bind_invoker(Echo())
    assert brick.invoke_llm("hello") == "BRICK qwen hello"
    assert brick.clone().invoke_llm("hello") == "BRICK qwen hello"


def test_renaming_a_clone_makes_a_new_proto(manager: ProtoManager, brick: Handle) -> None:
    mortar = manager.register_proto(brick.clone().renamed("MORTAR"))
    assert (mortar.state, mortar.version) == (brick.state, 2)
