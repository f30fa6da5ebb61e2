"""Live methods: what a text must be, where it runs, what an overrun leaves behind."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from a4ps.errors import MethodOverran, MethodRefused
from a4ps.image.keys import KeyFolder
from a4ps.image.method_pool import MethodPool
from a4ps.image.methods import Method, MethodCall, MethodResult, check
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
ADD = "def add(self, by=1):\n    'Adds.'\n    self.state['n'] += by\n    return self.state['n']\n"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ProtoManager]:
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys")) as opened:
        opened.register_proto(Proto("BRICK", CODEX, state={"n": 0, "secret": "x"}))
        yield opened


@pytest.mark.parametrize(
    "source",
    [
        "def",
        "x = 1",
        "def other(self): pass",
        "def f(self): pass\ndef f(self): pass",
        "async def f(self): pass",
        "def f(self): yield 1",
        "def f(self):\n    for x in (yield): pass",
        "def f(): pass",
        "def f(self): return\nreturn",
        "def f(self):\x00",
        "def f(self, self): pass",
    ],
)
def test_a_text_must_define_one_plain_function_of_its_name(source: str) -> None:
    with pytest.raises(MethodRefused):
        check(Method("f", source))


def test_a_function_inside_a_method_may_yield() -> None:
    check(Method("f", "def f(self):\n    def inner():\n        yield 1\n    return list(inner())"))


@pytest.mark.parametrize("name", ["state", "clone", "__init__", "1x", "class", "define", ""])
def test_a_method_cannot_take_the_name_of_what_every_proto_has(name: str) -> None:
    with pytest.raises(MethodRefused):
        Proto("BRICK", CODEX).define(name, f"def {name}(self): pass")


def test_a_method_runs_and_its_writes_are_one_change(manager: ProtoManager) -> None:
    brick = manager.get_proto("BRICK")
    brick.define("add", ADD)
    before = len(manager.history("BRICK"))
    assert brick.add(by=3) == 3
    assert brick.state["n"] == 3
    assert len(manager.history("BRICK")) == before + 1


def test_a_method_that_only_reads_changes_nothing(manager: ProtoManager) -> None:
    brick = manager.get_proto("BRICK")
    brick.define("peek", "def peek(self): return self.state['n']")
    version = brick.version
    assert brick.peek() == 0
    assert brick.version == version


def test_a_method_that_raises_changes_nothing_and_shows_its_live_lines(manager: ProtoManager) -> None:
    """I4, and the traceback shows the text as it was when it ran."""
    brick = manager.get_proto("BRICK")
    brick.define("fail", "def fail(self):\n    self.state['n'] = 9\n    raise ValueError('first text')\n")
    with pytest.raises(ValueError, match="first text") as failed:
        brick.fail()
    brick.define("fail", "def fail(self):\n    return 'mended'\n")
    shown = "".join(traceback.format_exception(failed.value))
    assert "raise ValueError('first text')" in shown
    assert "<BRICK.fail " in shown
    assert brick.state["n"] == 0
    assert brick.fail() == "mended"


def test_a_call_in_flight_ends_on_its_own_version(manager: ProtoManager) -> None:
    brick = manager.get_proto("BRICK")
    reached, go = threading.Event(), threading.Event()
    brick.define("slow", "def slow(self, reached, go):\n    reached.set()\n    go.wait(30)\n    return self.word()\n")
    brick.define("word", "def word(self): return 'old'")
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(brick.slow(reached, go)))
    thread.start()
    assert reached.wait(30)
    brick.define("word", "def word(self): return 'new'")
    go.set()
    thread.join(30)
    assert answers == ["old"]
    assert brick.word() == "new"


def test_a_failing_call_inside_a_transaction_is_taken_back_alone(manager: ProtoManager) -> None:
    brick = manager.get_proto("BRICK")
    brick.define("add", ADD)
    brick.define("fail", "def fail(self):\n    self.add()\n    self.state['n'] += 100\n    raise ValueError\n")
    with manager.transaction() as tx:
        draft = tx.edit("BRICK")
        draft.add()
        with pytest.raises(ValueError):
            draft.fail()
        brick.add(by=10)  # through the handle: it joins the transaction
        assert draft.state["n"] == 11
        assert brick.state["n"] == 0
    assert brick.state["n"] == 11


def test_methods_call_each_other_and_other_protos_in_one_change(manager: ProtoManager) -> None:
    manager.register_proto(Proto("ROBIN", CODEX, state={"n": 0}))
    brick, robin = manager.get_proto("BRICK"), manager.get_proto("ROBIN")
    robin.define("add", ADD)
    brick.define("both", "def both(self, robin):\n    self.state['n'] += 1\n    robin.add(by=5)\n")
    brick.both(robin)
    assert (brick.state["n"], robin.state["n"]) == (1, 5)
    assert brick.version == robin.version


def test_a_draft_runs_its_methods_without_any_image() -> None:
    draft = Proto("NEW", CODEX, state={"n": 1})
    draft.define("add", ADD)
    assert draft.add() == 2
    assert draft.state["n"] == 2
    draft.define("fail", "def fail(self):\n    self.state['n'] = 9\n    raise ValueError\n")
    with pytest.raises(ValueError):
        draft.fail()
    assert draft.state["n"] == 2


def test_an_overrun_is_reported_with_its_stack_and_its_writes_are_discarded(tmp_path: Path) -> None:
    go = threading.Event()
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys"), method_deadline_s=1) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0}))
        brick.define(
            "hang", "def hang(self, go):\n    self.state['n'] = 9\n    go.wait(30)\n    self.state['n'] = 10\n"
        )
        version = brick.version
        with pytest.raises(MethodOverran) as overran:
            brick.hang(go)
        go.set()
        assert "go.wait(30)" in overran.value.stack
        assert (brick.version, brick.state["n"]) == (version, 0)


def test_what_an_overrun_method_still_does_reaches_nothing(tmp_path: Path) -> None:
    go, ended = threading.Event(), threading.Event()
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys"), method_deadline_s=1) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0}))
        brick.define("add", ADD)
        brick.define(
            "hang",
            "def hang(self, brick, go, ended):\n"
            "    try:\n        go.wait(30)\n    except BaseException:\n        pass\n"
            "    try:\n        brick.add()\n    finally:\n        ended.set()\n",
        )
        with pytest.raises(MethodOverran):
            brick.hang(brick, go, ended)
        go.set()
        assert ended.wait(30)
        assert brick.state["n"] == 0


def test_the_pool_is_bounded_and_a_place_given_up_comes_back() -> None:
    pool = MethodPool(max_running=1)
    go, begun = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go.wait(30)

    with pytest.raises(MethodOverran, match="ran for more"):
        pool.run("hang", hang, 1)  # time enough to begin: what had not would be over at once
    assert begun.is_set()
    with pytest.raises(MethodOverran, match="no free thread"):
        pool.run("next", lambda: 1, 0.01)
    go.set()
    assert pool.run("next", lambda: 2, 30) == 2


def test_a_call_inside_a_call_needs_no_place_of_its_own() -> None:
    pool = MethodPool(max_running=1)
    assert pool.run("outer", lambda: pool.run("inner", lambda: 3, 30), 30) == 3


class Runner:
    """A code runner that does what a test tells it."""

    def __init__(self, result: MethodResult) -> None:
        self.result = result
        self.calls: list[MethodCall] = []

    def run(self, call: MethodCall) -> MethodResult:
        self.calls.append(call)
        return self.result


def test_a_models_text_never_runs_in_this_process(manager: ProtoManager, tmp_path: Path) -> None:
    """I5: without a sandbox it is refused, whoever calls it and however it came in."""
    touched = tmp_path / "touched"
    source = f"open({str(touched)!r}, 'w')\ndef f(self): open({str(touched)!r}, 'w')"
    brick = manager.get_proto("BRICK")
    brick.define("f", source, author="ROBIN")
    draft = brick.clone()
    draft.define("g", source.replace("def f", "def g"))
    manager.atomic_swap(draft, author="BABS")
    with manager.transaction(author="ALFRED") as tx:
        tx.edit("BRICK").define("h", source.replace("def f", "def h"))
        with pytest.raises(MethodRefused):
            tx.edit("BRICK").h()
    for call in (brick.f, brick.g, brick.h, brick.clone().f, manager.pin()["BRICK"].f):
        with pytest.raises(MethodRefused, match="sandbox"):
            call()
    assert not touched.exists()
    assert {name: method.author for name, method in brick.methods.items()} == {"f": "ROBIN", "g": "BABS", "h": "ALFRED"}


def test_a_sandboxed_method_sees_its_reads_and_may_change_its_writes(manager: ProtoManager) -> None:
    brick = manager.get_proto("BRICK")
    runner = Runner(MethodResult("value", {"n": 7}))
    manager.bind_code_runner(runner)
    brick.define("f", "def f(self, x): pass", author="ROBIN", reads=["n"], writes=["n"])
    assert brick.f(1, y=2) == "value"
    assert brick.state["n"] == 7
    call = runner.calls[0]
    assert (call.proto, call.method.name, call.args, call.kwargs, call.slots) == (
        "BRICK",
        "f",
        (1,),
        {"y": 2},
        {"n": 0},
    )
    assert manager.history("BRICK")[-1].author == "ROBIN"


def test_a_sandboxed_method_that_writes_something_else_changes_nothing(manager: ProtoManager) -> None:
    brick = manager.get_proto("BRICK")
    manager.bind_code_runner(Runner(MethodResult(None, {"n": 7, "secret": "y"})))
    brick.define("f", "def f(self): pass", author="ROBIN", writes=["n"])
    with pytest.raises(MethodRefused, match="secret"):
        brick.f()
    assert brick.state == {"n": 0, "secret": "x"}


def test_forgetting_uncovers_nothing_of_its_own(manager: ProtoManager) -> None:
    brick = manager.get_proto("BRICK")
    brick.define("add", ADD)
    brick.forget("add")
    with pytest.raises(AttributeError):
        brick.add()
    with pytest.raises(MethodRefused):
        brick.forget("add")


def test_a_method_tells_its_text_and_its_author(manager: ProtoManager) -> None:
    brick = manager.get_proto("BRICK")
    brick.define("add", ADD, reason="counting")
    assert brick.add.source == ADD
    assert repr(brick.add) == "<method add(by=1) by architect>"
    assert brick.methods["add"].reason == "counting"


def test_a_default_that_was_made_to_be_long_is_not_shown() -> None:
    assert Method("f", "def f(self, y=" + "lambda:" * 2500 + "0): return y", "BRICK").signature == "(…)"
