"""I12 against a model in plain dicts: whatever was committed, forgotten, reverted, backed up and restored, in any order."""

from __future__ import annotations

import copy
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from a4ps.clock import ManualClock
from a4ps.errors import Conflict, Forgotten
from a4ps.image.forgetting import ImageTexts
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.restore import restore
from a4ps.image.rows import Row
from a4ps.sought import BAR, Sought
from tests.doubles.byte_search import found_in

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
SECRETS = ("quagmire", "zeppelin", "xylophone")
NAMES = st.sampled_from(["A", "B"])
SLOTS = st.sampled_from(["x", "y"])
WORDS = st.lists(st.sampled_from([*SECRETS, "north", "Sun"]), max_size=3).map(" ".join)
VALUES = WORDS | st.lists(WORDS, max_size=2) | st.dictionaries(st.sampled_from("kl"), WORDS, max_size=2)

State = dict[str, Any]


@dataclass
class Model:
    generation: int = 0
    current: dict[str, State] = field(default_factory=dict)
    versions: dict[str, list[tuple[int, State]]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    memories: dict[str, list[str]] = field(default_factory=dict)
    """All that was ever kept under a key; it is one thing, and goes whole."""

    def committed(self, new: dict[str, State], reason: str) -> None:
        self.generation += 1
        self.reasons[self.generation] = reason
        for name, state in new.items():
            self.current[name] = copy.deepcopy(state)
            self.versions.setdefault(name, []).append((self.generation, copy.deepcopy(state)))

    def holds(self, secret: str) -> bool:
        return secret in repr((self.versions, self.reasons, self.memories))


def barred(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return value.replace(secret, BAR)
    if isinstance(value, list):
        return [barred(each, secret) for each in value]
    return {key: barred(each, secret) for key, each in value.items()} if isinstance(value, dict) else value


class ForgettingAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.model = Model()
        self.backups: list[tuple[Path, Model]] = []
        self.open()

    @property
    def image(self) -> Path:
        return self.folder / "home" / "image.a4ps"

    def open(self) -> None:
        self.manager = ProtoManager.open(self.image, keys=KeyFolder(self.folder / "keys"), clock=self.clock)

    def teardown(self) -> None:
        self.manager.close()
        shutil.rmtree(self.folder)

    @rule(name=NAMES, slot=SLOTS, value=VALUES, reason=WORDS)
    def change(self, name: str, slot: str, value: Any, reason: str) -> None:
        now = self.model.current.get(name)
        if now is None:
            self.manager.register_proto(Proto(name, CODEX, state={slot: copy.deepcopy(value)}), reason=reason)
        elif slot in now and now[slot] == value:
            return
        else:
            with self.manager.transaction(reason=reason) as tx:
                tx.edit(name).state[slot] = copy.deepcopy(value)
        self.model.committed({name: {**(now or {}), slot: value}}, reason)

    @rule(key=st.sampled_from("12345"), words=WORDS)
    def remember(self, key: str, words: str) -> None:
        self.manager.store.commit([Row("memory", key, words.encode(), words)], author="x", reason="y")
        self.model.committed({}, "y")
        self.model.memories.setdefault(key, []).append(words)

    @rule(secret=st.sampled_from(SECRETS), cut=st.booleans())
    def forget(self, secret: str, cut: bool) -> None:
        """`cut`: another process goes on with it."""
        model, sought = self.model, Sought(texts=(secret.upper(),))
        texts = ImageTexts(self.manager)
        held = bool(texts.find(sought))
        assert held == model.holds(secret)
        texts.begin(sought)
        if cut:
            self.reopen()
            texts = ImageTexts(self.manager)
            assert texts.begun() == [sought]
        texts.remove(sought)
        changed = {name: barred(state, secret) for name, state in model.current.items()}
        changed = {name: state for name, state in changed.items() if state != model.current[name]}
        model.generation += 1
        if changed:
            model.committed(changed, "forgotten")
        model.generation += 2
        model.versions = barred_versions(model.versions, secret)
        model.reasons = {at: barred(reason, secret) for at, reason in model.reasons.items()}
        model.memories = {key: each for key, each in model.memories.items() if secret not in repr(each)}
        assert texts.find(sought) == []
        assert not texts.unfinished
        assert found_in(self.image.parent, secret) == []

    @precondition(lambda self: any(len(versions) > 1 for versions in self.model.versions.values()))
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        model = self.model
        name = data.draw(st.sampled_from(sorted(name for name, each in model.versions.items() if len(each) > 1)))
        at = data.draw(st.integers(1, len(model.versions[name]) - 1))
        (_, before), (generation, after) = model.versions[name][at - 1 : at + 1]
        change = next(each for each in self.manager.history(name) if each.generation == generation)
        touched = [slot for slot in {**before, **after} if before.get(slot, self) != after.get(slot, self)]
        now = model.current[name]
        if any(BAR in repr(before.get(slot)) for slot in touched):
            with pytest.raises(Forgotten):
                self.manager.revert(change)
        elif any(now.get(slot, self) != after.get(slot, self) for slot in touched):
            with pytest.raises(Conflict):
                self.manager.revert(change)
        else:
            new = {slot: value for slot, value in now.items() if slot not in touched}
            new.update({slot: before[slot] for slot in touched if slot in before})
            self.manager.revert(change, reason="undo")
            model.committed({name: new}, "undo")

    @rule()
    def reopen(self) -> None:
        self.manager.close()
        self.open()

    @precondition(lambda self: len(self.backups) < 3)
    @rule()
    def back_up(self) -> None:
        path = self.folder / "backups" / str(len(self.backups))
        self.manager.backup(path)
        self.backups.append((path, copy.deepcopy(self.model)))

    @precondition(lambda self: self.backups)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        """Brings back what was forgotten since: it is a person's file, and the plan names it."""
        path, model = data.draw(st.sampled_from(self.backups))
        self.manager.close()
        done = restore(self.image, path, KeyFolder(self.folder / "keys"), self.clock, author="architect")
        assert done.aside is not None
        done.aside.unlink()
        self.open()
        self.model = copy.deepcopy(model)
        self.model.committed({}, "restored")

    @rule()
    def verify(self) -> None:
        report = self.manager.verify(deep=True)
        assert (report.faults, report.warnings, report.generation) == ((), (), self.model.generation)

    @invariant()
    def what_is_there_is_the_models(self) -> None:
        model = self.model
        assert {name: dict(self.manager.get_proto(name).state) for name in self.manager.names()} == model.current
        for name, versions in model.versions.items():
            changes = self.manager.history(name)
            assert [change.generation for change in changes] == [at for at, _ in versions]
            assert [change.reason for change in changes] == [model.reasons[at] for at, _ in versions]
        memories = {row.key: row.payload.decode() for row in self.manager.store.newest("memory", limit=9)}
        assert memories == {key: each[-1] for key, each in model.memories.items()}
        for word in ("north", *SECRETS):
            found = {match.key for match in self.manager.store.search(word, kind="memory", limit=9)}
            assert found == {key for key, words in memories.items() if word in words.split()}


def barred_versions(versions: dict[str, list[tuple[int, State]]], secret: str) -> dict[str, list[tuple[int, State]]]:
    return {name: [(at, barred(state, secret)) for at, state in each] for name, each in versions.items()}


ForgettingAgainstModel.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestForgettingAgainstModel = ForgettingAgainstModel.TestCase
