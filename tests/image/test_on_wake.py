"""`live` and `on_wake`: what cannot be kept is built once per open image and text, for everybody alike, and never stored."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from a4ps.errors import CallerError, MethodOverran, MethodRefused, NotInTransaction, UnknownProto
from a4ps.image.handle import Handle
from a4ps.image.keys import KeyFolder
from a4ps.image.methods import MethodCall, MethodResult
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.waking import Lives

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
LOCK = "def on_wake(self):\n    import threading\n    self.live['lock'] = threading.Lock()\n"
PUT = "def put(self, key, value):\n    self.live[key] = value\n"

#: What the on_wakes of a test did, and what they wait for: they import it from here.
told: list[Any] = []
BEGIN = "def on_wake(self):\n    from tests.image.test_on_wake import told\n"
TELL = BEGIN + "    told.append({0!r})\n    self.live['by'] = {0!r}\n"


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    told.clear()
    yield
    told.clear()


def opened(folder: Path, name: str = "image.a4ps", deadline_s: float = 10.0) -> ProtoManager:
    return ProtoManager.open(folder / name, keys=KeyFolder(folder / "keys"), method_deadline_s=deadline_s)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ProtoManager]:
    with opened(tmp_path) as manager:
        yield manager


@pytest.fixture
def brick(manager: ProtoManager) -> Handle:
    return manager.register_proto(Proto("BRICK", CODEX, state={"n": 0}))


def together(*works: Callable[[], object]) -> list[object]:
    """What each gives, begun at once in threads of their own; an exception counts as what was given."""
    barrier = threading.Barrier(len(works))
    given: list[object] = [None] * len(works)

    def run(at: int, work: Callable[[], object]) -> None:
        barrier.wait(30)
        try:
            given[at] = work()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            given[at] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return given


# The namespace


def test_live_is_one_dict_for_handle_pins_clones_and_drafts(manager: ProtoManager, brick: Handle) -> None:
    brick.define("put", PUT)
    live = brick.live
    assert live == {}
    brick.put("a", live)
    clone = brick.clone()
    clone.put("b", 2)
    manager.pin()["BRICK"].put("c", 3)
    with manager.transaction() as tx:
        tx.edit("BRICK").put("d", 4)
        assert tx.edit("BRICK").live is live
    assert manager.get_proto("BRICK").live is clone.live is clone.clone().live is manager.pin()["BRICK"].live is live
    assert sorted(live) == ["a", "b", "c", "d"]


def test_what_is_put_into_live_is_no_change(manager: ProtoManager, brick: Handle, tmp_path: Path) -> None:
    """Neither stored, nor compared, nor copied; a lock in it stops no commit."""
    brick.define("put", PUT)
    generation, content = manager.store.generation, manager.content().protos
    brick.put("lock", threading.Lock())
    with manager.transaction() as tx:
        tx.edit("BRICK").live["other"] = threading.Lock()
    assert tx.changes == ()
    assert (manager.store.generation, manager.content().protos) == (generation, content)
    draft = brick.clone()
    draft.live["more"] = threading.Lock()
    draft.state["n"] = 1
    assert [each.part for each in manager.diff(manager.atomic_swap(draft))] == [("slot", "n")]
    assert "live" not in brick.state
    assert "live" not in brick.get_self_description()
    manager.save_image(tmp_path / "saved")


def test_a_failed_transaction_leaves_live_as_it_is(manager: ProtoManager, brick: Handle) -> None:
    """It is beside the image: no transaction takes back what was done to it."""

    def fail() -> None:
        with manager.transaction() as tx:
            tx.edit("BRICK").live["a"] = 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert brick.live == {"a": 1}


def test_each_name_and_each_image_has_its_own(manager: ProtoManager, brick: Handle, tmp_path: Path) -> None:
    robin = manager.register_proto(brick.clone().renamed("ROBIN"))
    with opened(tmp_path, "other.a4ps") as other:
        theirs = other.register_proto(Proto("BRICK", CODEX))
        for value, proto in enumerate((brick, robin, theirs)):
            proto.live["x"] = value
        assert [proto.live["x"] for proto in (brick, robin, theirs)] == [0, 1, 2]


def test_a_draft_outside_any_image_has_an_empty_one_of_its_own(manager: ProtoManager, brick: Handle) -> None:
    draft = Proto("BRICK", CODEX)
    draft.define("on_wake", TELL.format("draft"))
    draft.define("put", PUT)
    draft.put("a", 1)
    renamed = brick.clone().renamed("BRICK")
    renamed.live["b"] = 2
    assert (draft.live, draft.clone().live, renamed.live, brick.live) == ({"a": 1}, {}, {"b": 2}, {})
    assert told == []


def test_a_registered_draft_has_that_of_its_name(manager: ProtoManager) -> None:
    draft = Proto("NEW", CODEX)
    draft.define("on_wake", TELL.format("new"))
    draft.live["old"] = 1
    assert manager.register_proto(draft).live is draft.live
    assert draft.live == {"by": "new"}


def test_live_cannot_name_a_method_and_no_slot_hides_it(manager: ProtoManager, brick: Handle) -> None:
    with pytest.raises(MethodRefused):
        brick.define("live", "def live(self): pass")
    with manager.transaction() as tx:
        tx.edit("BRICK").state["live"] = "a slot"
    assert brick.live == brick.clone().live == {}
    assert brick.state["live"] == "a slot"
    with pytest.raises(NotInTransaction, match=r"BRICK\.live"):
        brick.live = {}
    with pytest.raises(AttributeError):
        brick.clone().live = {}  # type: ignore[attr-defined]


# Waking


def test_what_cannot_be_kept_is_built_anew_by_each_opening(tmp_path: Path) -> None:
    for _ in range(2):
        with opened(tmp_path) as manager:
            if "BRICK" not in manager:
                manager.register_proto(Proto("BRICK", CODEX)).define("on_wake", LOCK)
            brick = manager.get_proto("BRICK")
            generation = manager.store.generation
            with brick.live["lock"]:
                assert brick.live["lock"].locked()
            assert manager.store.generation == generation


def test_it_runs_once_whoever_reaches_first(manager: ProtoManager, brick: Handle) -> None:
    brick.define("on_wake", TELL.format("one"))
    brick.define("who", "def who(self): return self.live['by']")
    assert brick.who() == "one"
    assert brick.live == brick.clone().live == {"by": "one"}
    brick.define("other", "def other(self): pass")
    assert brick.who() == "one"
    assert told == ["one"]


def test_another_text_builds_another_namespace(manager: ProtoManager, brick: Handle) -> None:
    """At the next reach, from an empty one; who holds the former keeps it. Back again counts as another text."""
    seen = [brick.live]
    for text in ("one", "two", "one"):
        seen[-1]["mine"] = True
        brick.define("on_wake", TELL.format(text))
        assert len(told) == len(seen) - 1
        seen.append(brick.live)
        assert brick.live == {"by": text}
    brick.forget("on_wake")
    assert brick.live == {}
    assert told == ["one", "two", "one"]
    assert [space.get("mine") for space in seen] == [True, True, True, None]


def test_the_same_text_by_another_change_does_not_run_again(manager: ProtoManager, brick: Handle) -> None:
    brick.define("on_wake", TELL.format("one"))
    live = brick.live
    brick.define("on_wake", TELL.format("one"), reason="again", author="package")
    manager.revert(manager.history("BRICK")[-1])
    assert brick.live is live


def test_an_inherited_one_runs_for_each_heir_and_again_when_it_changes(manager: ProtoManager, brick: Handle) -> None:
    brick.define("on_wake", "def on_wake(self): self.live['name'] = self.name\n")
    heirs = [manager.register_proto(Proto(name, CODEX, parents=["BRICK"])) for name in ("A", "B")]
    assert [heir.live["name"] for heir in heirs] == ["A", "B"]
    brick.define("on_wake", TELL.format("new"))
    assert heirs[0].live == {"by": "new"}
    heirs[0].define("on_wake", TELL.format("own"))
    assert [heir.live["by"] for heir in heirs] == ["own", "new"]


def test_the_text_in_force_is_the_current_one_for_pins_and_drafts_too(manager: ProtoManager, brick: Handle) -> None:
    brick.define("on_wake", TELL.format("old"))
    pin = manager.pin()
    with manager.transaction() as tx:
        draft = tx.edit("BRICK")
        draft.define("on_wake", TELL.format("new"))
        assert draft.live == {"by": "old"}
    assert pin["BRICK"].live == brick.live == {"by": "new"}


def test_a_removed_proto_has_none_and_comes_back_with_an_empty_one(manager: ProtoManager, brick: Handle) -> None:
    clone = brick.clone()
    brick.live["a"] = 1
    removal = manager.remove_proto("BRICK")
    for proto in (brick, clone):
        with pytest.raises(UnknownProto):
            _ = proto.live
    manager.revert(removal)
    assert brick.live == {}


def test_closing_drops_it(tmp_path: Path) -> None:
    class Held:
        pass

    with opened(tmp_path) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX))
        brick.live["held"] = Held()
        held = weakref.ref(brick.live["held"])
    assert held() is None
    with pytest.raises(CallerError, match="closed"):
        _ = brick.live
    with pytest.raises(CallerError, match="closed"):
        _ = brick.clone().live


# Failing


@pytest.mark.parametrize("error", ["ValueError", "AttributeError", "KeyError", "SystemExit"])
def test_what_it_raises_goes_to_who_reached_it_and_the_next_tries_again(
    manager: ProtoManager, brick: Handle, error: str
) -> None:
    """An AttributeError is not taken for the lack of `live`."""
    brick.define(
        "on_wake",
        BEGIN + "    told.append(dict(self.live))\n"
        f"    self.live['half'] = 1\n    if len(told) < 4:\n        raise {error}('told')\n",
    )
    brick.define("peek", "def peek(self): return dict(self.live)")
    reaches: tuple[Callable[[], object], ...] = (lambda: brick.live, lambda: brick.clone().live, lambda: brick.peek())
    for reach in reaches:
        with pytest.raises((Exception, SystemExit), match="told") as failed:
            reach()
        assert failed.type.__name__ == error
    assert brick.live == {"half": 1}
    assert told == [{}, {}, {}, {}]


def test_one_that_overruns_is_given_up_and_tried_again(tmp_path: Path) -> None:
    go = threading.Event()
    told.append(go)
    with opened(tmp_path, deadline_s=1) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX))
        brick.define(
            "on_wake",
            BEGIN + "    self.live['half'] = 1\n    told[0].wait(30)\n    self.live['whole'] = 1\n",
        )
        with pytest.raises(MethodOverran) as overran:
            _ = brick.live
        assert "told[0].wait(30)" in overran.value.stack
        go.set()
        manager.method_deadline_s = 30
        assert brick.live == {"half": 1, "whole": 1}


def test_what_outlives_a_failed_one_reaches_nothing(manager: ProtoManager, brick: Handle) -> None:
    """A thread that it began with its context, say: neither a half-built namespace nor a commit."""
    go, ended = threading.Event(), threading.Event()
    told.extend((go, ended))
    brick.define(
        "on_wake",
        "def on_wake(self):\n"
        "    import contextvars, threading\n    from tests.image.test_on_wake import told\n"
        "    def later():\n"
        "        told[0].wait(30)\n"
        "        for act in (lambda: self.live, lambda: self.define_n()):\n"
        "            try:\n                told.append(act())\n            except Exception as error:\n"
        "                told.append(type(error).__name__)\n"
        "        told[1].set()\n"
        "    threading.Thread(target=contextvars.copy_context().run, args=(later,)).start()\n"
        "    raise ValueError('failed')\n",
    )
    brick.define("define_n", "def define_n(self): self.state['n'] += 1")
    with pytest.raises(ValueError, match="failed"):
        _ = brick.live
    brick.define("on_wake", TELL.format("new"))
    go.set()
    assert ended.wait(30)
    assert told[2:] == ["MethodRefused", "NotInTransaction"]
    assert brick.n == 0


def test_a_task_that_it_began_goes_on_as_everybody(manager: ProtoManager, brick: Handle) -> None:
    """Once it is done, whoever it started sees the namespace of the moment and may commit."""
    brick.define(
        "on_wake",
        "def on_wake(self):\n    import contextvars\n    self.live['run'] = contextvars.copy_context().run\n",
    )
    brick.define("add", "def add(self): self.state['n'] += 1")
    first = brick.live
    brick.define("on_wake", TELL.format("new"))
    assert first["run"](lambda: brick.live) == {"by": "new"}
    first["run"](brick.add)
    assert brick.n == 1


# Trust


class Runner:
    def run(self, call: MethodCall) -> MethodResult:
        told.append(call)
        return MethodResult(None, {})


@pytest.mark.parametrize("runner", [None, Runner()])
def test_one_that_is_not_trusted_is_refused_until_its_text_is_promoted(
    manager: ProtoManager, brick: Handle, runner: Runner | None
) -> None:
    """I5: a sandbox cannot build what lives here, so there being one changes nothing."""
    manager.bind_code_runner(runner)
    brick.define("on_wake", TELL.format("ROBIN's"), author="ROBIN")
    brick.define("peek", "def peek(self): return dict(self.live)")
    for folders, level in (((), "sandboxed"), (("/data",), "granted")):
        manager.promote(brick.on_wake, level, folders=folders)
        for reach in (lambda: brick.live, lambda: brick.clone().live, brick.peek):
            with pytest.raises(MethodRefused, match="sandbox"):
                reach()
    assert told == []
    manager.promote(brick.on_wake, "in-process")
    assert brick.peek() == {"by": "ROBIN's"}
    brick.define("on_wake", TELL.format("ROBIN's") + "\n", author="ROBIN")
    with pytest.raises(MethodRefused, match="sandbox"):
        _ = brick.live
    assert told == ["ROBIN's"]


# It writes nothing


@pytest.mark.parametrize(
    "act",
    [
        "self.state['n'] = 1",
        "self.state['deep'].append(1)",
        "del self.state['n']",
        "self.add()",
        "self.define('g', 'def g(self): pass')",
        "self.forget('add')",
        "self.codex = {}",
        "self.live = {}",
        "self.n = 1",
        "told[0].get_proto('ROBIN').add()",
        "told[0].get_proto('ROBIN').define('g', 'def g(self): pass')",
        "told[0].atomic_swap(told[1])",
        "told[0].remove_proto('ROBIN')",
        "with told[0].transaction() as tx: tx.edit('ROBIN').state['n'] = 1",
        "told[0].revert(told[2])",
        "told[0].promote('0' * 64, 'sandboxed')",
        "told[0].become(told[0].content())",
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_write_is_refused_by_name_since_reading_commits_nothing(
    manager: ProtoManager, act: str, inside: bool
) -> None:
    """Also where the reach came from a transaction: nothing is smuggled into it."""
    brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0, "deep": []}))
    brick.define("add", "def add(self): self.state['n'] = 1")
    manager.register_proto(brick.clone().renamed("ROBIN"))
    brick.define("on_wake", BEGIN + f"    {act}\n")
    changed = brick.clone()
    changed.state["n"] = 1
    generation = manager.store.generation
    told.extend((manager, changed, generation))
    with manager.transaction() if inside else contextlib.nullcontext() as tx:
        proto = tx.edit("BRICK") if tx is not None else brick
        if tx is not None:
            tx.edit("ROBIN")
        with pytest.raises(NotInTransaction, match="on_wake"):
            _ = proto.live
    assert tx is None or tx.changes == ()
    assert manager.store.generation == generation
    assert (brick.n, manager.get_proto("ROBIN").n) == (0, 0)


def test_it_may_read_everything_and_use_its_methods(manager: ProtoManager) -> None:
    brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 7}))
    brick.define("build", "def build(self, key):\n    self.live[key] = self.state['n']\n    return len(self.live)\n")
    brick.define(
        "on_wake",
        "def on_wake(self):\n    size = self.build('a') + self.build('b')\n"
        "    self.live.update(size=size, role=self.codex.role, version=self.version)\n",
    )
    version = brick.version
    assert brick.live == {"a": 7, "b": 7, "size": 3, "role": "logic", "version": version}
    assert brick.version == version


def test_it_may_reach_the_live_of_others(manager: ProtoManager) -> None:
    """Even where they reach back: inside, what is being built is seen."""
    for name, other in (("A", "B"), ("B", "A")):
        proto = manager.register_proto(Proto(name, CODEX))
        proto.define(
            "on_wake",
            BEGIN + f"    self.live['early'] = 1\n    self.live['other'] = told[0].get_proto({other!r}).live\n",
        )
    told.append(manager)
    a, b = (manager.get_proto(name).live for name in "AB")
    assert a["other"] is b
    assert b["other"] is a


# Threads


def test_many_threads_at_once_run_it_once(manager: ProtoManager, brick: Handle) -> None:
    brick.define("on_wake", TELL.format("one"))
    brick.define("peek", "def peek(self): return self.live")
    spaces = together(*[lambda: brick.live, lambda: brick.peek(), lambda: brick.clone().live] * 4)
    assert all(space is brick.live for space in spaces), spaces
    assert told == ["one"]


WAIT = BEGIN + "    told.append('in')\n    told[0].set()\n    told[1].wait(30)\n    self.live['by'] = 'waited'\n"


def test_who_comes_meanwhile_waits_and_other_names_do_not(manager: ProtoManager, brick: Handle) -> None:
    reached, go = threading.Event(), threading.Event()
    told.extend((reached, go))
    brick.define("on_wake", WAIT)
    robin = manager.register_proto(Proto("ROBIN", CODEX))
    robin.define("on_wake", TELL.format("robin"))

    def others() -> object:
        assert reached.wait(30)
        try:
            with manager.transaction() as tx:
                tx.edit("BRICK").state["n"] = 5
            return robin.live["by"]
        finally:
            go.set()

    first, second, other = together(lambda: brick.live, lambda: reached.wait(30) and brick.live, others)
    assert first is second is brick.live
    assert (brick.live, other, told[2:]) == ({"by": "waited"}, "robin", ["in", "robin"])


def test_who_waits_for_one_that_fails_tries_by_itself(manager: ProtoManager, brick: Handle) -> None:
    brick.define(
        "on_wake",
        BEGIN + "    told.append(1)\n    raise ValueError('no')\n",
    )
    errors = together(*[lambda: brick.live] * 4)
    assert [str(error) for error in errors] == ["no"] * 4
    assert told == [1] * 4


def test_a_swap_while_it_runs_is_followed_by_the_new_text(manager: ProtoManager, brick: Handle) -> None:
    """And the one that was begun by the older text never comes after it."""
    reached, go = threading.Event(), threading.Event()
    told.extend((reached, go))
    brick.define("on_wake", WAIT)

    def swap() -> None:
        assert reached.wait(30)
        brick.define("on_wake", TELL.format("new"))
        go.set()

    together(lambda: brick.live, swap)
    assert brick.live == {"by": "new"}
    assert told[2:] == ["in", "new"]


def test_a_text_that_was_read_before_a_newer_one_was_built_is_not_run() -> None:
    lives = Lives()
    ran: list[str] = []
    overtaken = False

    def in_force() -> tuple[str, Callable[[], object]]:
        nonlocal overtaken
        if overtaken:
            return "new", lambda: ran.append("new")
        overtaken = True
        newest.append(lives.reach("A", in_force, 30))
        return "old", lambda: ran.append("old")

    newest: list[object] = []
    assert lives.reach("A", in_force, 30) is newest[0]
    assert ran == ["new"]


def test_one_whose_thread_was_lost_is_begun_again_and_comes_too_late() -> None:
    """Its deadline is over and it never said so; nobody waits for it, and nothing of it is kept."""
    lives = Lives()
    reached, go = threading.Event(), threading.Event()

    def lost() -> None:
        reached.set()
        assert go.wait(30)

    def second() -> object:
        try:
            assert reached.wait(30)
            return lives.reach("A", lambda: ("text", None), 30)
        finally:
            go.set()

    first, space = together(lambda: lives.reach("A", lambda: ("text", lost), -10), second)
    assert isinstance(first, MethodOverran)
    assert lives.reach("A", lambda: ("text", None), 30) is space


async def test_it_can_be_reached_on_an_event_loop(manager: ProtoManager, brick: Handle) -> None:
    brick.define("on_wake", TELL.format("one"))
    async with manager.transaction() as tx:
        assert tx.edit("BRICK").live == {"by": "one"}
    assert await asyncio.to_thread(lambda: brick.live) is brick.live


# Any sequence of steps


class LiveAgainstModel(RuleBasedStateMachine):
    """One run per opening and text that came into force; what was put there stays until then, and no longer."""

    names = st.sampled_from(["A", "B"])

    def __init__(self) -> None:
        super().__init__()
        told.clear()
        self.folder = Path(tempfile.mkdtemp())
        self.manager = opened(self.folder)
        self.texts: dict[str, str | None] = {"A": None, "B": None}
        self.built: dict[str, str | None] = {}
        self.spaces: dict[str, dict[str, Any]] = {}
        self.runs: list[str] = []
        for name in self.texts:
            self.manager.register_proto(Proto(name, CODEX, parents=["A"] if name == "B" else []))

    def teardown(self) -> None:
        self.manager.close()
        shutil.rmtree(self.folder)

    def in_force(self, name: str) -> str | None:
        """B inherits from A."""
        return self.texts[name] or self.texts["A"]

    @rule(name=names, text=st.sampled_from(["one", "two"]))
    def define(self, name: str, text: str) -> None:
        self.manager.get_proto(name).define("on_wake", TELL.format(text))
        self.texts[name] = text

    @rule(name=names)
    def forget(self, name: str) -> None:
        if self.texts[name] is not None:
            self.manager.get_proto(name).forget("on_wake")
            self.texts[name] = None

    @rule(name=names, through=st.sampled_from(["handle", "clone", "pin", "transaction"]), key=st.integers(0, 2))
    def reach_and_put(self, name: str, through: str, key: int) -> None:
        if through == "transaction":
            with self.manager.transaction() as tx:
                live = tx.edit(name).live
        else:
            handle = self.manager.get_proto(name)
            seen: dict[str, Any] = {"handle": handle, "clone": handle.clone(), "pin": self.manager.pin()[name]}
            live = seen[through].live
        text = self.in_force(name)
        if name not in self.built or self.built[name] != text:
            self.built[name] = text
            self.spaces[name] = {} if text is None else {"by": text}
            self.runs += [] if text is None else [text]
        assert live == self.spaces[name]
        live[str(key)] = self.spaces[name][str(key)] = threading.Lock()

    @rule()
    def restart(self) -> None:
        self.manager.close()
        self.manager = opened(self.folder)
        self.built, self.spaces = {}, {}

    @rule(name=names)
    def remove_and_revert(self, name: str) -> None:
        if name == "B":
            self.manager.revert(self.manager.remove_proto(name))
            self.built.pop(name, None)

    @invariant()
    def it_ran_as_often_as_the_model_says(self) -> None:
        assert told == self.runs


LiveAgainstModel.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLiveAgainstModel = pytest.mark.slow(LiveAgainstModel.TestCase)
