"""I5: a method that a model wrote runs in a sandbox, sees what it reads, and changes what it may write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from a4ps.errors import MethodRefused, SandboxedError, SandboxOverran
from a4ps.image.plain import register_record
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.store import Store
from a4ps.sandbox import tiers
from a4ps.tools.method_runner import MethodRunner
from tests.sandbox.tiers_here import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@register_record
@dataclass(frozen=True)
class Point:
    x: int
    rest: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.x, int) or self.x < 0:
            raise ValueError("x is negative")


@pytest.fixture
def manager(store: Store) -> Iterator[ProtoManager]:
    if missing(""):
        pytest.skip(missing(""))
    runner = MethodRunner()
    manager = ProtoManager.over(store)
    manager.bind_code_runner(runner)
    codex = {"role": "r", "model_name": "m", "system_prompt": ""}
    manager.register_proto(Proto("BRICK", codex, state={"n": 1, "secret": "s", "day": date(2026, 1, 1)}))
    yield manager
    runner.close()


def define(manager: ProtoManager, source: str, reads: tuple[str, ...] = (), writes: tuple[str, ...] = ()) -> None:
    manager.get_proto("BRICK").define("f", source, author="BRICK", reads=reads, writes=writes)


def test_it_sees_its_reads_and_changes_its_writes(manager: ProtoManager) -> None:
    brick = manager.get_proto("BRICK")
    source = (
        "def f(self, a, *, b=1):\n    self.state['n'] = self.n + a\n    self.state['new'] = [b]\n"
        "    return self.name, sorted(self.state)"
    )
    define(manager, source, ("n",), ("n", "new"))
    assert brick.f(2, b=5) == ("BRICK", ["n", "new"])
    assert (brick.n, brick.new) == (3, [5])


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("def f(self):\n    self.state['n'] = 2\n    return self.secret", "'secret'"),
        ("def f(self):\n    self.state['n'] = 2\n    self.state['secret'] = 1", "changed secret"),
        ("def f(self):\n    del self.state['n']\n    self.state['x'] = 1", "changed x"),
        ("def f(self):\n    self.state['n'] = 2\n    raise ValueError('no')", "ValueError: no"),
        ("import os\ndef f(self):\n    os._exit(0)", "ended with 0"),
    ],
)
def test_one_that_fails_changes_nothing(manager: ProtoManager, source: str, text: str) -> None:
    define(manager, source, ("n",), ("n",))
    with pytest.raises(SandboxedError, match=text):
        manager.get_proto("BRICK").f()
    assert manager.get_proto("BRICK").n == 1


def test_its_traceback_has_its_own_lines(manager: ProtoManager) -> None:
    define(manager, "def f(self):\n    x = 0\n    return 1 / x")
    with pytest.raises(SandboxedError) as caught:
        manager.get_proto("BRICK").f()
    assert "line 3, in f\n    return 1 / x" in caught.value.traceback


def test_one_that_forges_its_answer_is_refused_or_held_to_its_writes(manager: ProtoManager) -> None:
    """It can replace what runs it, which is then no more than another value."""
    define(manager, "def f(self):\n    globals()['_a4ps_run_method'] = None")
    assert manager.get_proto("BRICK").f() is None
    source = (
        "def f(self):\n    import sys\n    frame = sys._getframe(1)\n    import a4ps.sandbox.worker as guest\n"
        "    import gc\n    worker = [o for o in gc.get_objects() if type(o) is guest.Worker][0]\n"
        "    worker._send(b'V', ('value', (1, {'secret': 'stolen'})))\n"
    )
    define(manager, source, ("n",), ("n",))
    with pytest.raises(MethodRefused, match="secret"):
        manager.get_proto("BRICK").f()
    assert manager.get_proto("BRICK").secret == "s"


def test_it_cannot_outlast_its_deadline(manager: ProtoManager, store: Store) -> None:
    define(manager, "def f(self):\n    while True: pass")
    manager.method_deadline_s = 0.5
    with pytest.raises(SandboxOverran):
        manager.get_proto("BRICK").f()


def test_all_that_state_may_hold_goes_in_and_comes_back(manager: ProtoManager) -> None:
    numpy = pytest.importorskip("numpy")
    zone = ZoneInfo("Europe/Berlin")
    given = [
        *(
            date(2026, 3, 1),
            datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zone),
            time(1, tzinfo=UTC),
            timedelta(7, 1, 2),
        ),
        *(Decimal("1.50"), UUID(int=7), 1 + 2j, bytearray(b"x"), {(1,): frozenset({b"y"})}, Point(1, (2, 3))),
    ]
    source = (
        "from datetime import timedelta\n\ndef f(self, given, array):\n    when = self.state['when']\n"
        "    self.state['when'] = when + timedelta(days=1)\n    self.state['array'] = self.state['array'] * 2\n"
        "    self.state['points'] = [each.replaced(x=each.x + 1) for each in self.points]\n"
        "    return given, given[1].tzinfo.key, float(array.sum()), given[-1].rest[0]"
    )
    with manager.transaction(reason="test") as change:
        change.edit("BRICK").state.update(
            {
                "when": datetime(2026, 1, 31, tzinfo=UTC),
                "array": numpy.arange(3),
                "points": [Point(1, ()), Point(5, (1,))],
            }
        )
    define(manager, source, ("when", "array", "points"), ("when", "array", "points"))
    brick = manager.get_proto("BRICK")
    back, key, total, rest = brick.f(given, numpy.eye(3))
    assert (back, key, total, rest) == (given, "Europe/Berlin", 3.0, 2)
    assert [type(each) for each in back] == [type(each) for each in given]
    assert brick.when == datetime(2026, 2, 1, tzinfo=UTC)
    assert brick.array.tolist() == [0, 2, 4]
    assert list(brick.points) == [Point(2, ()), Point(6, (1,))]


@pytest.mark.parametrize(
    "forged",
    [
        "point.replaced(x=-1)",  # the class refuses it
        "type(point)(type(point).__module__ + '.Point', {'x': 1, 'rest': ()})",
        "type(point)('os.system', {'command': 'id'})",
        "type(point)(NAME, {'x': 1})",
        "type(point)(NAME, {'x': 1, 'rest': (), 'more': 1})",
        "{type(point)(NAME, {'x': [], 'rest': ()})}",
    ],
)
def test_a_record_that_its_class_would_not_make_does_not_come_back(manager: ProtoManager, forged: str) -> None:
    source = f"NAME = {Point.__module__ + '.Point'!r}\ndef f(self, point): return {forged}"
    define(manager, source)
    with pytest.raises((MethodRefused, SandboxedError)):
        manager.get_proto("BRICK").f(Point(1, ()))


def test_what_a_sandbox_cannot_be_given_is_refused(manager: ProtoManager) -> None:
    define(manager, "def f(self, x=0): pass")
    for strange in (object(), [Decimal("1e99999")], iter(())):
        with pytest.raises(MethodRefused, match="not plain data"):
            manager.get_proto("BRICK").f(strange)


def test_a_granted_folder_is_read_and_written_and_others_are_not(manager: ProtoManager, tmp_path: Path) -> None:
    """By the same functions as a tool's, in a sandbox that has none of them before the promotion."""
    granted, out, other = tmp_path / "granted", tmp_path / "out", tmp_path / "other"
    for folder in (granted, out, other):
        folder.mkdir()
        (folder / "file").write_text(folder.name, encoding="ascii")
    source = (
        "import os\ndef f(self, out, *paths):\n    said = []\n    for path in paths:\n        try:\n"
        "            data = read_file(path + '/file')\n            write_file(out + '/copy', data)\n"
        "            said.append(list_files(out))\n        except Exception as error:\n"
        "            said.append(type(error).__name__)\n    return said, [os.path.exists(each) for each in (out, *paths)]"
    )
    define(manager, source)
    brick = manager.get_proto("BRICK")
    paths = [str(each) for each in (out, granted, other)]
    assert brick.f(*paths) == (["NameError"] * 2, [False] * 3)
    manager.promote(brick.f, "granted", folders=[granted, out], reason="test")
    assert brick.f(*paths) == (["ServiceError"] * 2, [False] * 3)
    assert not (out / "copy").exists()
    manager.promote(brick.f, "granted", folders=[granted, out], writable=[out], reason="test")
    assert brick.f(*paths) == ([["copy", "file"], "ServiceError"], [False] * 3)
    assert (out / "copy").read_text() == "granted"


def test_without_a_sandbox_it_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "_found", {"": tiers.Found(None)})
    manager = ProtoManager.over(store)
    manager.bind_code_runner(MethodRunner())
    manager.register_proto(Proto("BRICK", {"role": "r", "model_name": "m", "system_prompt": ""}))
    define(manager, "def f(self): pass")
    with pytest.raises(MethodRefused, match="written by BRICK and may only run in a sandbox"):
        manager.get_proto("BRICK").f()


def test_nothing_is_started_before_the_first_call_that_needs_a_sandbox(manager: ProtoManager) -> None:
    made = 0

    def make() -> object:
        nonlocal made
        made += 1
        raise AssertionError("not wanted")

    manager.bind_code_runner(MethodRunner(make))  # type: ignore[arg-type]
    manager.get_proto("BRICK").define("g", "def g(self): return 1", author="architect")
    assert manager.get_proto("BRICK").g() == 1
    assert made == 0
