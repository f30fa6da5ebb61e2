"""The public API against a model of it in plain dicts, through any sequence of steps, with restarts."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from a4ps.clock import ManualClock
from a4ps.errors import Conflict, NotInTransaction
from a4ps.image.handle import Pin
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
NAMES = st.sampled_from(["A", "B", "C"])
SLOTS = st.sampled_from(["x", "y", "z"])
VALUES = st.recursive(
    st.integers(0, 3) | st.sampled_from(["", "north"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("kl"), inner, max_size=2),
    max_leaves=4,
)
PUT = "def put(self, slot, value, fail):\n    self.state[slot] = value\n    if fail:\n        raise KeyError(slot)\n"

State = dict[str, Any]


class ProtosAgainstModel(RuleBasedStateMachine):
    """I1 and I4: what is current, what is pinned and what was are the model's, whatever happened before."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.current: dict[str, State] = {}
        self.versions: dict[str, list[tuple[int, State]]] = {}
        self.generation = 0
        self.open()

    def open(self) -> None:
        self.manager = ProtoManager.open(
            self.folder / "image.a4ps", keys=KeyFolder(self.folder / "keys"), clock=self.clock
        )
        self.pins: list[tuple[Pin, dict[str, State]]] = []
        self.drafts: list[tuple[Proto, int]] = []

    def teardown(self) -> None:
        self.manager.close()
        shutil.rmtree(self.folder)

    def committed(self, new: Mapping[str, State]) -> None:
        """Note a commit that made `new`, if it differs from what is current."""
        self.generation += 1
        for name, state in new.items():
            self.current[name] = copy.deepcopy(state)
            self.versions.setdefault(name, []).append((self.generation, copy.deepcopy(state)))

    @rule(name=NAMES, state=st.dictionaries(SLOTS, VALUES, max_size=2))
    def register(self, name: str, state: State) -> None:
        draft = Proto(name, CODEX, state=state)
        draft.define("put", PUT)
        if name in self.current:
            with pytest.raises(Conflict):
                self.manager.register_proto(draft)
        else:
            self.manager.register_proto(draft)
            self.committed({name: state})

    @precondition(lambda self: self.current)
    @rule(data=st.data(), slots=st.dictionaries(SLOTS, VALUES, min_size=1, max_size=2), fail=st.booleans())
    def transact(self, data: st.DataObject, slots: State, fail: bool) -> None:
        """Several Protos at once, with one value under two slots, changed in place afterwards."""
        names = data.draw(st.lists(st.sampled_from(sorted(self.current)), min_size=1, max_size=2, unique=True))
        new = {name: copy.deepcopy(self.current[name]) for name in names}
        try:
            with self.manager.transaction() as tx:
                for name in names:
                    draft = tx.edit(name)
                    for state in (draft.state, new[name]):
                        shared = copy.deepcopy(slots)
                        state.update(shared)
                        for value in shared.values():
                            if isinstance(value, list):
                                value.append("in place")
                                state["z"] = value  # an alias
                            elif isinstance(value, dict):
                                value["m"] = [1]
                    assert draft.state == new[name]
                if fail:
                    raise ZeroDivisionError  # noqa: TRY301 - the user's own error
        except ZeroDivisionError:
            return
        changed = {name: state for name, state in new.items() if state != self.current[name]}
        assert {change.name for change in tx.changes} == set(changed)
        if changed:
            self.committed(changed)

    @precondition(lambda self: self.current)
    @rule(data=st.data(), slot=SLOTS, value=VALUES, fail=st.booleans())
    def call(self, data: st.DataObject, slot: str, value: Any, fail: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.current)))
        proto = self.manager.get_proto(name)
        if fail:
            with pytest.raises(KeyError):
                proto.put(slot, copy.deepcopy(value), True)
            return
        proto.put(slot, copy.deepcopy(value), False)
        new = {**self.current[name], slot: value}
        if new != self.current[name]:
            self.committed({name: new})

    @precondition(lambda self: self.current)
    @rule(data=st.data())
    def clone(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.current)))
        self.drafts.append((self.manager.get_proto(name).clone(), self.versions[name][-1][0]))

    @precondition(lambda self: self.drafts)
    @rule(data=st.data(), slot=SLOTS, value=VALUES)
    def swap(self, data: st.DataObject, slot: str, value: Any) -> None:
        draft, base = self.drafts.pop(data.draw(st.integers(0, len(self.drafts) - 1)))
        draft.state[slot] = copy.deepcopy(value)
        if self.versions[draft.name][-1][0] != base:
            with pytest.raises(Conflict):
                self.manager.atomic_swap(draft)
            return
        self.manager.atomic_swap(draft)
        self.committed({draft.name: {**self.current[draft.name], slot: value}})

    @precondition(lambda self: self.current)
    @rule()
    def pin(self) -> None:
        self.pins.append((self.manager.pin(), copy.deepcopy(self.current)))

    @precondition(lambda self: any(states for _, states in self.pins))
    @rule(data=st.data(), slot=SLOTS, value=VALUES)
    def transact_from_a_pin(self, data: st.DataObject, slot: str, value: Any) -> None:
        """A delta of one slot conflicts exactly where that slot changed since the pin."""
        pin, states = data.draw(st.sampled_from(self.pins))
        name = data.draw(st.sampled_from(sorted(states)))
        if slot in states[name] and states[name][slot] == value:
            return
        transaction = self.manager.transaction(pin=pin)
        # A slot that was changed and changed back is as it was.
        old, now = states[name], self.current[name]
        same = (slot in old) == (slot in now) and old.get(slot) == now.get(slot)
        if not same:
            with pytest.raises(Conflict), transaction as tx:
                tx.edit(name).state[slot] = copy.deepcopy(value)
            return
        with transaction as tx:
            tx.edit(name).state[slot] = copy.deepcopy(value)
        self.committed({name: {**now, slot: value}})

    @precondition(lambda self: any(len(versions) > 1 for versions in self.versions.values()))
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(name for name, each in self.versions.items() if len(each) > 1)))
        at = data.draw(st.integers(1, len(self.versions[name]) - 1))
        (_, before), (generation, after) = self.versions[name][at - 1 : at + 1]
        change = next(each for each in self.manager.history(name) if each.generation == generation)
        touched = [slot for slot in {**before, **after} if before.get(slot, self) != after.get(slot, self)]
        now = self.current[name]
        if any(now.get(slot, self) != after.get(slot, self) for slot in touched):
            with pytest.raises(Conflict):
                self.manager.revert(change)
            return
        new = {slot: value for slot, value in now.items() if slot not in touched}
        new.update({slot: before[slot] for slot in touched if slot in before})
        self.manager.revert(change)
        self.committed({name: new})

    @rule()
    def restart(self) -> None:
        self.manager.close()
        self.open()

    @rule()
    def verify(self) -> None:
        report = self.manager.verify(deep=True)
        assert (report.faults, report.generation) == ((), self.generation)

    @invariant()
    def what_is_current_is_the_models(self) -> None:
        assert self.manager.names() == sorted(self.current)
        for name, state in self.current.items():
            handle = self.manager.get_proto(name)
            assert handle.state == state
            assert handle.version == self.versions[name][-1][0]
            for slot, value in state.items():
                if isinstance(value, list):
                    with pytest.raises(NotInTransaction):
                        handle.state[slot].append(1)

    @invariant()
    def what_is_pinned_stays(self) -> None:
        for pin, states in self.pins:
            assert {name: dict(proto.state) for name, proto in pin.items()} == states

    @invariant()
    def history_is_the_models(self) -> None:
        for name, versions in self.versions.items():
            assert [change.generation for change in self.manager.history(name)] == [at for at, _ in versions]


ProtosAgainstModel.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestProtosAgainstModel = ProtosAgainstModel.TestCase
