"""The manager: names, swaps, history, revert, backup, the process's own image."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import CallerError, Conflict, CycleRefused, IntegrityError, NotBound, UnknownProto
from a4ps.image.changes import Change
from a4ps.image.content import Content
from a4ps.image.handle import Handle
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.verify import TAIL_COMMITS

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "image.a4ps"


@pytest.fixture
def manager(image: Path, keys: KeyFolder) -> Iterator[ProtoManager]:
    with ProtoManager.open(image, keys=keys) as opened:
        yield opened


@pytest.fixture
def brick(manager: ProtoManager) -> Handle:
    return manager.register_proto(Proto("BRICK", CODEX, state={"mood": "calm", "n": 0}))


def swap(manager: ProtoManager, name: str = "BRICK", **slots: object) -> Change:
    draft = manager.get_proto(name).clone()
    draft.state.update(slots)
    return manager.atomic_swap(draft)


# Names and swaps


def test_an_unknown_name_is_an_error_that_says_what_there_is(manager: ProtoManager, brick: Handle) -> None:
    with pytest.raises(UnknownProto) as unknown:
        manager.get_proto("BRIKC")
    assert "BRICK" in unknown.value.next_step
    assert manager.names() == ["BRICK"]
    assert "BRICK" in manager


def test_a_taken_name_is_not_registered_again(manager: ProtoManager, brick: Handle) -> None:
    with pytest.raises(Conflict) as conflict:
        manager.register_proto(Proto("BRICK", CODEX))
    assert conflict.value.current is brick.current


def test_a_registration_that_was_acknowledged_is_no_error_where_another_has_removed_it_since(
    manager: ProtoManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I1: whoever is told that there is no such Proto would take the commit for one that was refused."""
    rebased = Proto.rebased

    def removed_meanwhile(draft: Proto, *arguments: Any) -> None:
        rebased(draft, *arguments)
        manager.remove_proto(draft.name)

    monkeypatch.setattr(Proto, "rebased", removed_meanwhile)
    draft = Proto("PASSING", CODEX)
    handle = manager.register_proto(draft)
    assert (handle.name, draft.version, manager.store.generation) == ("PASSING", 1, 2)
    with pytest.raises(UnknownProto):
        _ = handle.current


def test_swapping_in_an_unknown_name_registers_it_and_says_so(manager: ProtoManager) -> None:
    """The first unknown name once deadlocked (blueprint, known faults)."""
    assert manager.atomic_swap(Proto("BRICK", CODEX)).act == "register"
    assert swap(manager, n=1).act == "swap"


def test_a_draft_of_an_older_version_is_a_conflict_with_both(manager: ProtoManager, brick: Handle) -> None:
    older = brick.clone()
    older.state["other"] = 1
    swap(manager, n=1)
    with pytest.raises(Conflict) as conflict:
        manager.atomic_swap(older)
    assert [conflict.value.base, conflict.value.current] == [older.base, brick.current]
    assert brick.state == {"mood": "calm", "n": 1}


def test_a_draft_can_be_swapped_in_again(manager: ProtoManager, brick: Handle) -> None:
    draft = brick.clone()
    for n in range(1, 4):
        draft.state["n"] = n
        manager.atomic_swap(draft)
    assert (brick.n, brick.version, draft.version) == (3, 4, 4)


@pytest.mark.parametrize("thing", [None, "BRICK", {}, object()])
def test_only_a_draft_can_be_swapped_in(manager: ProtoManager, thing: Any) -> None:
    with pytest.raises(TypeError):
        manager.atomic_swap(thing)
    with pytest.raises(TypeError):
        manager.register_proto(thing)


def test_a_handle_is_no_draft_and_neither_is_one_of_a_transaction(manager: ProtoManager, brick: Handle) -> None:
    with pytest.raises(TypeError, match="clone"):
        manager.atomic_swap(brick)  # type: ignore[arg-type]
    with manager.transaction() as tx, pytest.raises(CallerError, match="transaction"):
        manager.atomic_swap(tx.edit("BRICK"))


def test_a_draft_of_another_image_is_no_version_of_this_one(
    manager: ProtoManager, brick: Handle, keys: KeyFolder, tmp_path: Path
) -> None:
    with ProtoManager.open(tmp_path / "other.a4ps", keys=keys) as other:
        theirs = other.register_proto(Proto("BRICK", CODEX, state={"n": 9})).clone()
        with pytest.raises(Conflict):
            manager.atomic_swap(theirs)
        assert manager.atomic_swap(theirs.renamed("GUEST")).act == "register"
    assert manager.get_proto("GUEST").n == 9


def test_a_change_needs_an_author(manager: ProtoManager, brick: Handle) -> None:
    for change in (
        lambda: manager.atomic_swap(brick.clone(), author=""),
        lambda: manager.transaction(author=""),
        lambda: manager.remove_proto("BRICK", author=""),
        lambda: manager.revert(1, author=""),
        lambda: brick.define("f", "def f(self): pass", author=""),
    ):
        with pytest.raises(CallerError, match="author"):
            change()


@pytest.mark.slow
def test_readers_never_see_half_of_a_swap(manager: ProtoManager) -> None:
    """Model: two Protos whose slots are always equal. Step: swap both at once. Invariant: every pin has them equal."""
    for name in ("A", "B"):
        manager.register_proto(Proto(name, CODEX, state={"n": 0, "twice": 0}))
    done = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        a = manager.get_proto("A")
        last = 0
        while not done.is_set():
            pin = manager.pin()
            seen = (pin["A"].n, pin["B"].n, pin["A"].twice, pin["B"].twice)
            current = a.current
            if seen != (seen[0], seen[0], 2 * seen[0], 2 * seen[0]) or current.generation < last:
                wrong.append(seen)
            if current.state["twice"] != 2 * current.state["n"]:
                wrong.append(current)
            last = current.generation

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(1, 60):
        with manager.transaction() as tx:
            for name in ("A", "B"):
                tx.edit(name).state.update(n=n, twice=2 * n)
    done.set()
    for reader in readers:
        reader.join(30)
    assert not wrong


# Opening again


def test_everything_is_there_when_it_is_opened_again(image: Path, keys: KeyFolder) -> None:
    """I1."""
    with ProtoManager.open(image, keys=keys) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX, state={"plans": [{"steps": {1, 2}}, (1, b"2")]}))
        brick.define("f", "def f(self): return 1", reason="one", reads=["plans"], writes=["n"])
        manager.register_proto(Proto("CHILD", {**CODEX, "pet": "cat"}, parents=["BRICK"]))
        history = manager.history("CHILD")
    with ProtoManager.open(image, keys=keys) as manager:
        assert manager.names() == ["BRICK", "CHILD"]
        child = manager.get_proto("CHILD")
        assert child.plans == [{"steps": {1, 2}}, (1, b"2")]
        assert child.f() == 1
        assert child.codex.extra["pet"] == "cat"
        assert manager.history("CHILD") == history
        method = manager.get_proto("BRICK").methods["f"]
        assert (method.author, method.reason, method.reads, method.writes) == ("architect", "one", ("plans",), ("n",))


@pytest.mark.parametrize(("was", "becomes"), [(1, True), (1, 1.0), ([0], [False]), ({"a": 1}, {"a": True})])
def test_what_python_takes_for_equal_in_a_codex_is_a_change_all_the_same(
    image: Path, keys: KeyFolder, was: object, becomes: object
) -> None:
    """Also beside another change: memory and disk must agree on it."""
    with ProtoManager.open(image, keys=keys) as manager:
        brick = manager.register_proto(Proto("BRICK", {**CODEX, "extra": {"x": was}}, state={"n": 0}))
        with manager.transaction() as tx:
            tx.edit("BRICK").codex = {**CODEX, "extra": {"x": becomes}}
        (change,) = tx.changes
        assert repr(becomes) in str(manager.diff(change))
        assert repr(brick.codex.to_mapping()["extra"]) == repr({"x": becomes})
    with ProtoManager.open(image, keys=keys) as manager:
        assert repr(manager.get_proto("BRICK").codex.to_mapping()["extra"]) == repr({"x": becomes})


def test_a_pin_from_before_reads_its_versions_later(image: Path, keys: KeyFolder) -> None:
    """Versions are read when they are looked into; a pinned one must not turn into the newest."""
    with ProtoManager.open(image, keys=keys) as manager:
        manager.register_proto(Proto("BRICK", CODEX, state={"n": 0}))
    with ProtoManager.open(image, keys=keys) as manager:
        pin = manager.pin()
        swap(manager, n=1)
        manager.atomic_swap(manager.get_proto("BRICK").clone())
        assert (pin["BRICK"].n, manager.get_proto("BRICK").n) == (0, 1)


def test_a_closed_manager_commits_nothing(manager: ProtoManager, brick: Handle) -> None:
    manager.close()
    manager.close()
    with pytest.raises(CallerError, match="closed"):
        swap(manager, n=1)
    assert brick.n == 0


# History, diff, revert


def test_history_tells_every_change_in_order(manager: ProtoManager, brick: Handle) -> None:
    swap(manager, n=1)
    brick.define("f", "def f(self): pass", author="ROBIN", reason="try")
    brick.forget("f")
    assert [(each.generation, each.base, each.act, each.author) for each in manager.history("BRICK")] == [
        (1, 0, "register", "architect"),
        (2, 1, "swap", "architect"),
        (3, 2, "define", "ROBIN"),
        (4, 3, "forget", "architect"),
    ]
    assert "define by ROBIN: try" in str(manager.history("BRICK")[2])
    with pytest.raises(UnknownProto):
        manager.history("NOBODY")


def test_a_childs_history_shows_its_parents_changes_as_inherited(manager: ProtoManager, brick: Handle) -> None:
    manager.register_proto(Proto("CHILD", CODEX, parents=["BRICK"]))
    swap(manager, n=1)
    told = [(each.generation, each.name, each.inherited) for each in manager.history("CHILD")]
    assert told == [(1, "BRICK", True), (2, "CHILD", False), (3, "BRICK", True)]


def test_a_diff_prints_what_changed(manager: ProtoManager, brick: Handle) -> None:
    brick.define("f", "def f(self):\n    return 1\n")
    draft = brick.clone()
    draft.state["n"] = 5
    del draft.state["mood"]
    draft.state["new"] = [1]
    draft.define("f", "def f(self):\n    return 2\n")
    draft.codex = {**CODEX, "system_prompt": "Think twice."}
    text = str(manager.diff(manager.atomic_swap(draft)))
    for line in (
        'BRICK.state["n"]:\n- 0\n+ 5',
        "- 'calm'",
        "+ [1]",
        "-     return 1\n+     return 2",
        "+ Think twice.",
    ):
        assert line in text
    assert "role" not in text
    assert str(manager.diff(manager.atomic_swap(brick.clone()))) == "no difference"


def test_reverting_undoes_one_change_and_keeps_what_came_later(manager: ProtoManager, brick: Handle) -> None:
    change = swap(manager, n=1, added=1)
    swap(manager, mood="glad")
    (reverted,) = manager.revert(change, author="ALFRED")
    assert (reverted.act, reverted.author, reverted.base) == ("revert", "ALFRED", 3)
    assert brick.state == {"mood": "glad", "n": 0}
    manager.revert(reverted)
    assert brick.state == {"mood": "glad", "n": 1, "added": 1}


def test_reverting_what_was_touched_again_is_a_conflict(manager: ProtoManager, brick: Handle) -> None:
    change = swap(manager, n=1)
    swap(manager, n=2)
    with pytest.raises(Conflict) as conflict:
        manager.revert(change)
    assert conflict.value.parts == ('BRICK.state["n"]',)
    assert brick.n == 2


def test_a_registration_is_reverted_by_removal_and_that_by_return(
    manager: ProtoManager, brick: Handle, image: Path, keys: KeyFolder
) -> None:
    (removal,) = manager.revert(1)
    assert manager.names() == []
    with pytest.raises(UnknownProto):
        brick.state  # noqa: B018
    with pytest.raises(UnknownProto):
        manager.get_proto("BRICK")
    manager.close()
    with ProtoManager.open(image, keys=keys) as again:
        assert again.names() == []
        assert [each.act for each in again.history("BRICK")] == ["register", "revert"]
        again.revert(removal)
        assert again.get_proto("BRICK").state == {"mood": "calm", "n": 0}
    with ProtoManager.open(image, keys=keys) as again:
        assert again.names() == ["BRICK"]


def test_by_number_a_whole_commit_is_reverted(manager: ProtoManager, brick: Handle) -> None:
    robin = manager.register_proto(Proto("ROBIN", CODEX, state={"n": 0}))
    with manager.transaction() as tx:
        tx.edit("BRICK").state["n"] = 1
        tx.edit("ROBIN").state["n"] = 1
    assert len(manager.diff(3)) == 2
    assert [each.name for each in manager.revert(3)] == ["BRICK", "ROBIN"]
    assert (brick.n, robin.n) == (0, 0)
    for number in (0, 99, -1, 2**60):
        with pytest.raises(UnknownProto):
            manager.diff(number)


def test_a_parent_is_not_removed_from_under_its_child(manager: ProtoManager, brick: Handle) -> None:
    manager.register_proto(Proto("CHILD", CODEX, parents=["BRICK"]))
    with pytest.raises(CycleRefused, match="CHILD"):
        manager.remove_proto("BRICK")
    manager.remove_proto("CHILD")
    manager.remove_proto("BRICK")
    assert manager.names() == []


def test_installing_makes_the_contents_all_there_is(manager: ProtoManager, brick: Handle) -> None:
    content = Proto("NEW", CODEX, state={"a": 1}).content("architect")
    kept = brick.current.content
    changes = manager.install({"NEW": content, "BRICK": kept})
    assert [(each.name, each.act) for each in changes] == [("NEW", "install")]
    manager.install({"NEW": Content(content.codex)})
    assert manager.names() == ["NEW"]
    assert manager.get_proto("NEW").state == {}
    assert manager.install({"NEW": Content(content.codex)}) == []


# Copying


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_handle_is_the_handle_and_that_of_a_draft_a_clone(
    manager: ProtoManager, brick: Handle, copied: Callable[[Any], Any]
) -> None:
    assert copied(brick) is brick
    assert copied(manager.pin()).keys() == manager.pin().keys()
    draft = brick.clone()
    twin = copied(draft)
    twin.state["n"] = [5]
    assert (twin.base, "n" in draft.state and draft.state["n"] == [5]) == (draft.base, False)
    with pytest.raises(TypeError, match="keep its name"):
        pickle.dumps(brick)


# Observers


@pytest.mark.parametrize("raised", [ValueError, SystemExit, asyncio.CancelledError])
def test_an_observer_that_raises_harms_nobody(
    manager: ProtoManager, brick: Handle, caplog: pytest.LogCaptureFixture, raised: type[BaseException]
) -> None:
    seen: list[int] = []

    def fail(change: Change) -> None:
        raise raised("observer")

    manager.subscribe(fail)
    end = manager.subscribe(lambda change: seen.append(change.generation))
    swap(manager, n=1)
    swap(manager, n=2)
    manager.close()
    assert seen == [2, 3]
    assert "observer" in caplog.text
    end()


def test_one_who_subscribed_twice_can_end_the_one_and_keep_the_other(manager: ProtoManager, brick: Handle) -> None:
    seen: list[int] = []

    def note(change: Change) -> None:
        seen.append(change.generation)

    end = manager.subscribe(note)
    manager.subscribe(note)
    end()
    swap(manager, n=1)
    manager.close()
    assert seen == [2]


def test_an_observer_may_commit(manager: ProtoManager, brick: Handle) -> None:
    told = threading.Event()

    def answer(change: Change) -> None:
        if change.generation == 2:
            swap(manager, mood="seen")
        else:
            told.set()

    manager.subscribe(answer)
    swap(manager, n=1)
    assert told.wait(30)
    assert brick.mood == "seen"


# The image


def test_a_backup_is_verified_complete_and_opens(manager: ProtoManager, brick: Handle, tmp_path: Path) -> None:
    swap(manager, n=1)
    backup = tmp_path / "backups" / "image.a4ps"
    assert manager.backup(backup).ok
    assert (backup.stat().st_mode & 0o777, [each.name for each in backup.parent.iterdir()]) == (0o600, [backup.name])
    with pytest.raises(CallerError):
        manager.backup(backup)
    swap(manager, n=2)
    manager.close()
    keys = KeyFolder(tmp_path / "keys")
    with pytest.raises(IntegrityError, match="missing"):
        ProtoManager.open(backup, keys=keys)
    for witness in (tmp_path / "keys").glob("*witness*"):
        witness.unlink()
    with ProtoManager.open(backup, keys=keys) as restored:
        assert restored.get_proto("BRICK").n == 1
        assert restored.verify(deep=True).ok


def test_a_damaged_version_is_found_before_it_is_decoded_and_the_rest_opens(
    manager: ProtoManager, brick: Handle, image: Path, keys: KeyFolder
) -> None:
    """I2: opening looks at the newest commits only, so reading must find it."""
    manager.register_proto(Proto("VICTIM", CODEX, state={"n": 0}))
    draft = brick.clone()
    for _ in range(TAIL_COMMITS):
        manager.atomic_swap(draft)
    manager.close()
    with sqlite3.connect(image) as connection:
        connection.execute("UPDATE rows SET body = zeroblob(length(body)) WHERE key = 'VICTIM'")
    connection.close()
    with ProtoManager.open(image, keys=keys) as damaged:
        assert damaged.get_proto("BRICK").mood == "calm"
        for _ in range(2):
            with pytest.raises(IntegrityError):
                damaged.get_proto("VICTIM").state["n"]
        assert not damaged.verify(deep=True).ok


# The process's own manager


class HomeAt:
    """A wired home whose image is in a folder of the test."""

    def __init__(self, image: Path, keys: KeyFolder) -> None:
        self._image = image
        self._keys = keys
        self.managers: list[ProtoManager] = []

    @property
    def opened(self) -> int:
        return len(self.managers)

    def open_manager(self) -> ProtoManager:
        self.managers.append(ProtoManager.open(self._image, keys=self._keys))
        return self.managers[-1]

    def keys(self) -> KeyFolder:
        return self._keys


@pytest.fixture
def home(image: Path, keys: KeyFolder) -> Iterator[HomeAt]:
    wired = HomeAt(image, keys)
    ProtoManager.bind_default(wired)
    yield wired
    for opened in wired.managers:
        opened.close()
    ProtoManager.bind_default(None)


def test_without_a_home_the_process_has_no_manager(image: Path) -> None:
    with pytest.raises(NotBound):
        ProtoManager()
    with pytest.raises(NotBound):
        ProtoManager.open(image)


def test_the_process_has_one_manager_opened_on_first_use(home: HomeAt) -> None:
    assert home.opened == 0
    found: list[ProtoManager] = []
    threads = [threading.Thread(target=lambda: found.append(ProtoManager())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(found), len(set(map(id, found))), home.opened) == (8, 1, 1)


def test_after_it_was_closed_the_processes_manager_is_opened_again(home: HomeAt) -> None:
    ProtoManager().register_proto(Proto("BRICK", CODEX))
    ProtoManager().close()
    assert ProtoManager().names() == ["BRICK"]
    assert home.opened == 2


def test_another_image_is_opened_with_the_homes_key(home: HomeAt, tmp_path: Path) -> None:
    with ProtoManager.open(tmp_path / "another.a4ps") as another:
        assert another is not ProtoManager()
        assert another.make_own() is ProtoManager()


def test_a_manager_over_a_store_leaves_it_open(image: Path, keys: KeyFolder, manager: ProtoManager) -> None:
    store = manager.store
    with ProtoManager.over(store) as over:
        over.register_proto(Proto("BRICK", CODEX))
    assert store.head("proto", "BRICK") is not None
    with pytest.raises(CallerError, match="closed"):
        over.register_proto(Proto("ROBIN", CODEX))
