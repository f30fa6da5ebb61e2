"""The console: names that stay, one transaction an expression, and an end to whatever does not end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import CallerError, ConsoleStuck
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.kernel.console import SOURCE_MAX, Console, Evaluated
from tests.doubles.byte_search import found_in
from tests.doubles.lived_in import SECRET, forgetter, lived_in, opened

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
LONG_S = 120.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ProtoManager]:
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys")) as opened:
        for name in ("BRICK", "ROBIN"):
            opened.register_proto(Proto(name, CODEX, state={"mood": "calm", "notes": ["tea"]}))
        yield opened


def console_of(manager: ProtoManager, **given: Any) -> Console:
    limits = {"deadline_s": LONG_S, "output_max": 2000, "grace_s": LONG_S} | {
        name: given.pop(name) for name in ("deadline_s", "output_max", "grace_s", "abandoned_max") if name in given
    }
    names = {"image": manager, "brick": manager.get_proto("BRICK"), "robin": manager.get_proto("ROBIN"), **given}
    return Console(manager, names, **limits)


@pytest.fixture
def console(manager: ProtoManager) -> Iterator[Console]:
    made = console_of(manager)
    yield made
    made.close()


class Stuck:
    """A console whose expressions have no time, and the means to let those go on that are left behind."""

    def __init__(self, manager: ProtoManager, **given: Any) -> None:
        self.go = threading.Event()
        self.ended = threading.Event()
        self.console = console_of(manager, deadline_s=0.2, grace_s=0.05, go=self.go, ended=self.ended, **given)

    def evaluate(self, source: str) -> Evaluated:
        return self.console.evaluate(source)


@pytest.fixture
def stuck(manager: ProtoManager) -> Iterator[Stuck]:
    made = Stuck(manager, abandoned_max=2)
    yield made
    made.go.set()
    made.console.close()


# What an expression gives


@pytest.mark.parametrize(
    ("source", "value", "output"),
    [
        ("1 + 1", "2", ""),
        ("x = 1", "", ""),
        ("None", "", ""),
        ("", "", ""),
        ("# nothing", "", ""),
        ("x = 2\nx * 3", "6", ""),
        ("print('a'); 'b'", "'b'", "a\n"),
        ("import sys\nprint('a', file=sys.stderr)\nsys.stdout.write('b')", "1", "a\nb"),
        ("'\\ud800'", "'\\ud800'", ""),
        ("print('\\ud800')", "", "\\ud800\n"),
        ("for i in range(2): i", "", ""),
        ("def f(n):\n    return n and n + f(n - 1)\nf(3)", "6", ""),
    ],
)
def test_the_last_expression_is_the_value_and_what_is_written_is_the_output(
    console: Console, source: str, value: str, output: str
) -> None:
    done = console.evaluate(source)
    assert (done.value, done.output, done.error, done.change, done.cut) == (value, output, "", None, False)


def test_names_stay_from_one_expression_to_the_next(console: Console) -> None:
    console.evaluate("import math\ndef outer():\n    def inner(): return x\n    return inner")
    assert "NameError" in console.evaluate("outer()()").error
    console.evaluate("x = math.floor(7.5)")
    assert console.evaluate("outer()()").value == "7"
    console.evaluate("class A:\n    n = x")
    assert console.evaluate("A().n").value == "7"


def test_expressions_share_one_thread_so_what_is_bound_to_a_thread_can_be_kept(console: Console) -> None:
    console.evaluate("import sqlite3\ndb = sqlite3.connect(':memory:')")
    assert console.evaluate("db.execute('select 7').fetchone()").value == "(7,)"
    assert console.evaluate("db.close()").error == ""


@pytest.mark.parametrize(
    "source", ["x = (", "def f(:", "1 +", "a b", "return", "\0", "  x", "(" * 500 + ")" * 500, "\ud800"]
)
def test_what_is_not_python_is_told_and_runs_nothing(console: Console, source: str) -> None:
    done = console.evaluate(f"print('ran')\n{source}")
    assert done.error
    assert (done.value, done.output, done.change) == ("", "", None)
    assert "a4ps" not in done.error
    assert console.evaluate("1").value == "1"


def test_an_error_shows_the_architects_lines_and_none_of_ours(console: Console) -> None:
    console.evaluate("def deep():\n    raise KeyError('why')")
    done = console.evaluate("deep()")
    assert done.error.splitlines() == [
        *('  File "<console 1>", line 1, in <module>'.replace("1>", f"{_number(done)}>"), "    deep()"),
        *(f'  File "<console {_number(done) - 1}>", line 2, in deep', "    raise KeyError('why')"),
        "KeyError: 'why'",
    ]


def _number(done: Evaluated) -> int:
    """Of the expression: the process counts them."""
    return int(done.error.partition("<console ")[2].partition(">")[0])


def test_an_error_of_ours_says_what_to_do_next(console: Console) -> None:
    error = console.evaluate("image.get_proto('NOBODY')").error
    assert error.endswith("UnknownProto: there is no Proto NOBODY\nthere are: BRICK, ROBIN")
    assert "handle.py" not in error


def test_what_led_to_an_error_is_before_it(console: Console) -> None:
    error = console.evaluate("try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise ValueError('no') from e").error
    assert error.index("ZeroDivisionError: ") < error.index("which led to") < error.index("ValueError: no")


@pytest.mark.parametrize("source", ["exit()", "quit(1)", "import sys; sys.exit(3)", "raise SystemExit"])
def test_an_exit_ends_the_expression_only(console: Console, source: str) -> None:
    assert "SystemExit" in console.evaluate(source).error
    assert console.evaluate("1").value == "1"


def test_nobody_is_asked_from_within_an_expression(console: Console) -> None:
    assert "EOFError" in console.evaluate("input('? ')").error


def test_a_text_that_is_too_long_is_refused(console: Console) -> None:
    with pytest.raises(CallerError):
        console.evaluate("#" * (SOURCE_MAX + 1))


# One transaction an expression


def test_what_an_expression_writes_is_one_change_with_its_text_as_the_reason(
    console: Console, manager: ProtoManager
) -> None:
    source = "brick.mood = 'bright'\nbrick.state['n'] = 1\nbrick.notes.append('milk')\nrobin.mood = brick.mood"
    done = console.evaluate(source)
    assert (done.error, done.change) == ("", manager.get_proto("BRICK").version)
    changes = manager.changes(manager.get_proto("BRICK").version)
    assert [(each.name, each.author, each.reason) for each in changes] == [
        ("BRICK", "architect", source),
        ("ROBIN", "architect", source),
    ]
    assert manager.get_proto("BRICK").state == {"mood": "bright", "notes": ["tea", "milk"], "n": 1}
    assert manager.get_proto("ROBIN").state["mood"] == "bright"


@pytest.mark.parametrize(
    "source",
    ["brick.mood", "brick.state", "brick.notes[0]", "brick", "dir(brick)", "brick.mood = 'calm'", "image.names()"],
)
def test_what_changes_nothing_commits_nothing(console: Console, manager: ProtoManager, source: str) -> None:
    before = manager.get_proto("BRICK").version
    done = console.evaluate(source)
    assert (done.error, done.change) == ("", None)
    assert manager.get_proto("BRICK").version == before


def test_an_exception_takes_back_what_the_expression_wrote_and_leaves_the_names(
    console: Console, manager: ProtoManager
) -> None:
    done = console.evaluate("brick.mood = 'bright'\nx = 7\nrobin.notes.append(1)\n1/0\nx = 8")
    assert "ZeroDivisionError" in done.error
    assert done.change is None
    assert console.evaluate("brick.mood, robin.notes, x").value == "('calm', ['tea'], 7)"


def test_methods_write_in_the_expressions_transaction(console: Console, manager: ProtoManager) -> None:
    console.evaluate("brick.define('cheer', 'def cheer(self):\\n    self.state[\"mood\"] = \"bright\"\\n    return 5')")
    done = console.evaluate("robin.mood = 'keen'\nbrick.cheer()")
    assert done.value == "5"
    assert len(manager.changes(done.change or 0)) == 2
    assert "ZeroDivisionError" in console.evaluate("brick.mood = 'low'; brick.cheer(); 1/0").error
    assert manager.get_proto("BRICK").version == done.change


def test_what_cannot_be_kept_takes_the_expression_back(console: Console, manager: ProtoManager) -> None:
    before = manager.get_proto("BRICK").version
    error = console.evaluate("import threading\nbrick.mood = 'bright'\nrobin.lock = threading.Lock()").error
    assert 'ROBIN.state["lock"]' in error
    assert manager.get_proto("BRICK").version == before


def test_a_conflict_is_told_and_nothing_is_changed(manager: ProtoManager) -> None:
    def meanwhile() -> None:
        with manager.transaction(reason="meanwhile") as tx:
            tx.edit("BRICK").state["mood"] = "wild"

    console = console_of(manager, meanwhile=meanwhile)
    done = console.evaluate("brick.mood = 'bright'; robin.mood = 'keen'; meanwhile()")
    console.close()
    assert "Conflict" in done.error
    assert done.change is None
    assert [manager.get_proto(name).state["mood"] for name in ("BRICK", "ROBIN")] == ["wild", "calm"]


def test_a_function_that_was_given_is_no_part_of_the_transaction(manager: ProtoManager) -> None:
    """What a question commits must not hang on whether the expression that asked ends well."""

    def ask(question: str) -> str:
        manager.get_proto("ROBIN").define("f", "def f(self): return 1")
        return f"{question}!"

    console = console_of(manager, ask=ask)
    assert "ZeroDivisionError" in console.evaluate("brick.mood = 'low'; ask('why'); 1/0").error
    assert "f" in manager.get_proto("ROBIN").methods
    assert console.evaluate("brick.mood = 'bright'\nask('why')").value == "'why!'"
    console.close()
    assert manager.get_proto("BRICK").state["mood"] == "bright"


def test_what_is_forgotten_is_found_in_the_reason_too(tmp_path: Path) -> None:
    """I12: also where the text was so long that the reason is cut."""
    places = lived_in(tmp_path)
    with opened(places) as manager:
        console = Console(manager, {"brick": manager.get_proto("BRICK")}, deadline_s=LONG_S, output_max=100)
        assert console.evaluate(f"brick.seen = {SECRET!r}").change
        assert console.evaluate(f"brick.x = {'1 + ' * 93}0 # my PIN is {SECRET} and more").change
        console.close()
        forgetting = forgetter(places, manager)
        forgetting.forget(forgetting.plan(forgetting.by_text(SECRET)).sought)
        assert manager.verify(deep=True).ok
        reasons = [change.reason for change in manager.history("BRICK")]
        assert not any(SECRET.split()[0] in reason for reason in reasons)
    assert found_in(tmp_path, SECRET) == []


# Bounds


@pytest.mark.parametrize(
    ("source", "begins"),
    [("'x' * 10**9", "'xxx"), ("[b'x' * 10**8] * 20", "[b'xxx"), ("list(range(10**6))", "[0, 1, 2")],
)
def test_a_huge_value_is_shown_in_part_and_not_kept(console: Console, source: str, begins: str) -> None:
    done = console.evaluate(source)
    assert done.value.startswith(begins)
    assert (len(done.value), done.cut, done.error) == (2000, True, "")


def test_a_value_that_is_not_named_ends_with_its_expression(console: Console) -> None:
    console.evaluate(
        "import weakref\nclass A: pass\n"
        "def watched():\n    a = A()\n    global seen\n    seen = weakref.ref(a)\n    return a"
    )
    assert "A object" in console.evaluate("watched()").value
    assert console.evaluate("seen() is None").value == "True"


def test_a_huge_message_is_cut_and_the_error_still_named(console: Console) -> None:
    done = console.evaluate("raise ValueError('x' * 10**7)")
    assert done.cut
    assert len(done.error) <= 2000
    assert "ValueError: xxx" in done.error


def test_output_without_end_is_cut_and_its_expression_ended(manager: ProtoManager) -> None:
    begun = threading.Event()
    console = console_of(manager, begun=begun)
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(console.evaluate, "while True:\n    print('abcdefghi')\n    begun.set()")
        assert begun.wait(LONG_S)
        assert console.interrupt()
        done = endless.result(LONG_S)
    console.close()
    assert "KeyboardInterrupt" in done.error
    assert set(done.output.split()) == {"abcdefghi"}


def test_one_huge_line_of_output_is_cut(console: Console) -> None:
    done = console.evaluate("print('x' * 10**7)\nprint('y')")
    assert (done.output, done.cut) == ("x" * 2000, True)


# What does not end


def test_an_endless_loop_is_ended_by_the_deadline(manager: ProtoManager) -> None:
    console = console_of(manager, deadline_s=0.2)
    done = console.evaluate("brick.mood = 'wild'\nx = 7\nwhile True: pass")
    assert "ran for more than 0.2 s" in done.error
    assert (done.change, console.abandoned) == (None, 0)
    assert console.evaluate("brick.mood").value == "'calm'"
    console.close()


@pytest.mark.parametrize(
    "body", ["while True: pass", "brick.spin()", "class A:\n    def __repr__(self):\n        while True: pass\nA()"]
)
def test_an_interrupt_ends_it(manager: ProtoManager, body: str) -> None:
    begun = threading.Event()
    console = console_of(manager, begun=begun)
    console.evaluate("brick.define('spin', 'def spin(self):\\n    while True: pass')")
    with ThreadPoolExecutor(1) as pool:
        endless = pool.submit(console.evaluate, f"brick.mood = 'wild'\nbegun.set()\n{body}")
        assert begun.wait(LONG_S)
        assert console.interrupt()
        done = endless.result(LONG_S)
    assert "interrupted" in done.error or "KeyboardInterrupt" in done.error
    assert console.evaluate("brick.mood").value == "'calm'"
    console.close()


def test_an_expression_may_deal_with_its_interrupt(manager: ProtoManager) -> None:
    begun = threading.Event()
    console = console_of(manager, begun=begun)
    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(
            console.evaluate,
            "try:\n    begun.set()\n    while True: pass\nexcept KeyboardInterrupt:\n    brick.mood = 'cut'\n'done'",
        )
        assert begun.wait(LONG_S)
        assert console.interrupt()
        done = patient.result(LONG_S)
    assert (done.value, done.error, manager.get_proto("BRICK").version) == ("'done'", "", done.change)
    assert console.evaluate("brick.mood").value == "'cut'"
    console.close()


def test_a_loop_that_swallows_interrupts_is_ended_all_the_same(manager: ProtoManager) -> None:
    begun = threading.Event()
    console = console_of(manager, begun=begun, grace_s=0.2)
    with ThreadPoolExecutor(1) as pool:
        deaf = pool.submit(
            console.evaluate,
            "begun.set()\nwhile True:\n try:\n  x = 1\n  while True: pass\n except KeyboardInterrupt: pass",
        )
        assert begun.wait(LONG_S)
        assert console.interrupt()
        done = deaf.result(LONG_S)
    console.close()
    assert "interrupted" in done.error
    assert (done.change, console.abandoned) == (None, 0)


def test_an_interrupt_of_nothing_does_nothing(console: Console) -> None:
    assert not console.interrupt()
    assert console.evaluate("1").value == "1"
    assert not console.interrupt()
    assert console.evaluate("2").value == "2"


SWALLOWING = "while not go.is_set():\n    try:\n        while not go.is_set(): pass\n    except BaseException: pass\n"
DEADLOCK = "import threading\nl = threading.Lock()\nl.acquire()\nl.acquire()"


@pytest.mark.parametrize("source", [SWALLOWING, DEADLOCK, "go.wait()"])
def test_what_cannot_be_ended_is_left_behind_and_the_console_goes_on(stuck: Stuck, source: str) -> None:
    done = stuck.evaluate(f"brick.mood = 'wild'\nprint('said')\n{source}")
    assert "could not be ended" in done.error
    assert f"line {source.count(chr(10)) + 3}" in done.error or source == SWALLOWING
    assert (done.output, done.change, stuck.console.abandoned) == ("said\n", None, 1)
    assert stuck.evaluate("x = 7\nbrick.mood").value == "'calm'"
    stuck.evaluate("'l' in globals() and l.release()")


def test_those_left_behind_are_bounded_and_a_place_comes_back(stuck: Stuck) -> None:
    others = set(threading.enumerate())
    for _ in range(2):
        assert "could not be ended" in stuck.evaluate("go.wait()").error
    with pytest.raises(ConsoleStuck):
        stuck.evaluate("1")
    stuck.go.set()
    for thread in set(threading.enumerate()) - others:
        thread.join(LONG_S)
    assert stuck.console.abandoned == 0
    assert stuck.evaluate("1").value == "1"


@pytest.mark.parametrize(
    "late",
    [
        "pass",
        "brick.mood = 'late'",
        "state['mood'] = 'late'",
        "notes.append('late')",
        "brick.define('late', 'def late(self): pass')",
        "image.register_proto(brick.clone().renamed('LATE'))",
        "image.atomic_swap(draft)",
        "image.remove_proto('BRICK')",
        "tx = image.transaction()\n    with tx: tx.edit('BRICK').state['mood'] = 'late'",
        "handle().define('late', 'def late(self): pass')",
        "commit()",
        "print('late')",
    ],
)
def test_what_was_left_behind_can_commit_nothing_later(manager: ProtoManager, late: str) -> None:
    def commit() -> None:
        with manager.transaction() as tx:
            tx.edit("BRICK").state["mood"] = "late"

    class Given:
        """No function: what it gives is the handle itself."""

        def __call__(self) -> object:
            return manager.get_proto("BRICK")

    stuck = Stuck(manager, handle=Given(), commit=commit)
    done = stuck.evaluate(
        "draft = brick.clone()\ndraft.state['mood'] = 'late'\nstate, notes = brick.state, brick.notes\n"
        "brick.mood = 'wild'\n"
        "try:\n    go.wait()\nexcept BaseException: pass\n"
        f"try:\n    {late}\nfinally:\n    ended.set()"
    )
    assert "could not be ended" in done.error
    before = manager.pin()
    # The next expression is open while the one before tries.
    during = stuck.evaluate("robin.mood = 'keen'\ngo.set()\nassert ended.wait(60)")
    stuck.console.close()
    if not during.error:
        assert [each.name for each in manager.changes(during.change or 0)] == ["ROBIN"]
    assert manager.get_proto("BRICK").version == before["BRICK"].version
    assert manager.names() == ["BRICK", "ROBIN"]
    assert during.output == ""


def test_expressions_of_several_callers_run_one_after_the_other(console: Console) -> None:
    console.evaluate("n, most, inside = 0, 0, 0")
    source = "inside += 1\nmost = max(most, inside)\nn += 1\nbrick.n = n\ninside -= 1"
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(console.evaluate, [source] * 40))
    assert [each.error for each in done] == [""] * 40
    assert len({each.change for each in done}) == 40
    assert console.evaluate("n, most, brick.n").value == "(40, 1, 40)"


def test_interrupts_at_any_moment_harm_only_what_runs(console: Console, manager: ProtoManager) -> None:
    """An interrupt that comes as an expression ends hits that one or none, and what is told is what was committed."""
    over = threading.Event()

    def interrupting() -> None:
        while not over.is_set():
            console.interrupt()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(interrupting)
        told = []
        try:
            for at in range(60):
                done = console.evaluate(f"brick.n = {at}")
                assert (done.change is None) == bool(done.error)
                told.append((at, done.change))
        finally:
            over.set()
    committed = [(at, change) for at, change in told if change is not None]
    history = [each for each in manager.history("BRICK") if each.reason.startswith("brick.n")]
    assert [(int(each.reason.split()[-1]), each.generation) for each in history] == committed
    assert console.evaluate("1").value == "1"


def test_a_closed_console_evaluates_nothing(manager: ProtoManager) -> None:
    begun = threading.Event()
    console = console_of(manager, begun=begun)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(console.evaluate, "begun.set()\nwhile True: pass")
        assert begun.wait(LONG_S)
        console.close()
        console.close()
        assert "nterrupt" in running.result(LONG_S).error
    with pytest.raises(CallerError, match="closed"):
        console.evaluate("1")
