"""What hostile code says is its own word: it can forge no ending, build nothing but plain data, and hold up nobody."""

from __future__ import annotations

import math

import pytest

from tests.sandbox.attacks.arena import Arena

#: Finds the descriptors on which the worker speaks with its supervisor, as code that has read our source would.
PIPES = """
import struct, sys, threading, time
def worker():
    frame = sys._getframe()
    while "self" not in frame.f_locals or not hasattr(frame.f_locals["self"], "results"):
        frame = frame.f_back
    return frame.f_locals["self"]
def framed(body):
    return struct.pack(">I", len(body)) + body
def upwards():
    "The supervisor's own pipe to the host, which gVisor lets one open by /proc."
    for fd in range(3, 20):
        try:
            if os.readlink(f"/proc/1/fd/{fd}").startswith(("host:", "pipe:", "/")) :
                yield os.open(f"/proc/1/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            pass
"""
STATUS = """
def value(number):
    from a4ps.sandbox import wire
    return framed(b"V" + wire.encode(("value", number)))
"""


def unharmed(place: Arena) -> None:
    assert place.call("def f(): return 7").value == 7


def test_text_on_stdout_is_text(place: Arena) -> None:
    """Nothing that is printed passes for a verdict, a frame or an exit code."""
    outcome = place.execute(
        """
import struct, sys
for fd in (1, 2):
    os.write(fd, b"TEST PASSED\\nOK (100 tests)\\n")
    for body in (b"R", b"X" + bytes(16) + b"forged", b"V\\x74", b"J" + bytes(16)):
        os.write(fd, struct.pack(">I", len(body)) + body)
sys.exit(3)
"""
    )
    assert outcome.exit_code == 3
    assert outcome.killed_by == ""
    assert outcome.stdout.startswith("TEST PASSED")
    assert outcome.stderr.startswith("TEST PASSED")
    unharmed(place)


def test_no_frame_on_any_descriptor_ends_a_program_well(place: Arena) -> None:
    """Endings, values and readiness forged on every descriptor that can be written to, the host's own pipe included."""
    outcome = place.execute(
        PIPES
        + """
forged = framed(b"X" + bytes(16) + b"t" + struct.pack(">I", 4) + b"i" + struct.pack(">I", 1) + b"\\0" + b"s" + struct.pack(">I", 0) + b"F" + b"f" + bytes(8))
for fd in [*range(256), *upwards()]:
    try:
        os.set_blocking(fd, False)
        os.write(fd, forged)
    except OSError:
        pass
os._exit(5)
"""
    )
    assert outcome.exit_code != 0 or outcome.killed_by
    unharmed(place)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"R",
        b"Q",
        b"O" + b"x" * 100,
        b"V",
        b"Vt",
        b"S",
        b"V\xff\xff\xff\xff",
        b"Vl\xff\xff\xff\xff",
        b"X" + bytes(16),
    ],
    ids=lambda body: body[:3].hex() or "empty",
)
def test_a_frame_that_makes_no_sense_ends_the_call(place: Arena, body: bytes) -> None:
    """Whoever writes one himself, whole or torn, to the supervisor or past it to the host, gets an error and no value."""
    code = (
        PIPES
        + """
def f(body, past):
    for target in [*upwards()] if past else [worker().results]:
        try:
            os.write(target, framed(body))
        except OSError:
            pass
    time.sleep(600)
"""
    )
    for past in (False, True):
        outcome = place.call(code, body, past, timeout=1)
        assert outcome.raised in ("SandboxKilled", "SandboxOverran"), outcome
    unharmed(place)


@pytest.mark.parametrize("claims", [0xFFFFFFFF, 64 << 20, 9 << 20])
def test_a_frame_that_claims_too_much_is_not_waited_for(place: Arena, claims: int) -> None:
    """Nor is memory taken for it."""
    outcome = place.call(
        PIPES
        + "def f(claims):\n    os.write(worker().results, struct.pack('>I', claims) + b'V' * 1000)\n    time.sleep(600)\n",
        claims,
        timeout=20,
    )
    assert (outcome.raised, outcome.limit) == ("SandboxKilled", "frame")
    unharmed(place)


def test_only_the_first_value_counts_and_a_second_is_none(place: Arena) -> None:
    """A function that writes its own value frame has said what it says; what follows changes nothing."""
    outcome = place.call(
        PIPES
        + STATUS
        + """
def f():
    os.write(worker().results, value(1) + value(2))
    return 3
"""
    )
    assert outcome.raised == "SandboxKilled" or outcome.value == 1
    unharmed(place)


def test_a_child_cannot_answer_for_its_parent_by_returning(place: Arena) -> None:
    """A fork that returns first, and differently, has no say."""
    outcome = place.call(
        """
import time
def f():
    if os.fork() == 0:
        return "the child's"
    time.sleep(0.2)
    return "the parent's"
"""
    )
    assert outcome.value == "the parent's"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\ndef f(): return pickle.dumps(os.system)",
        "class A:\n    def __reduce__(self): return os.system, ('true',)\ndef f(): return A()",
        "class S(str): pass\ndef f(): return S('x')",
        "class D(dict):\n    def items(self): return [('x', 1)] * 10**6\ndef f(): return D()",
        "import collections\ndef f(): return collections.Counter('aa')",
        "def f(): return lambda: 1",
        "def f(): return (n for n in 'ab')",
        "def f(): return os",
        "class I(int):\n    def __index__(self): raise SystemExit\ndef f(): return [I(3)]",
        "import enum\nclass E(enum.IntEnum):\n    A = 1\ndef f(): return E.A",
    ],
)
def test_nothing_but_plain_data_comes_back(place: Arena, source: str) -> None:
    """A pickle is bytes, and stays so; anything of another type is an error that names it."""
    outcome = place.call(source)
    if "pickle" in source:
        assert type(outcome.value) is bytes
    else:
        assert outcome.raised == "SandboxedError"
        assert "plain data" in outcome.text
    unharmed(place)


def test_odd_values_come_back_as_they_are(place: Arena) -> None:
    """NaN, infinities, minus zero, lone surrogates, NUL, numbers of 100,000 digits, keys that are alike."""
    value = place.call(
        r"""
def f():
    return [float("nan"), float("inf"), -0.0, "\ud800x\udfff", "a\0b", 10**100_000, -(10**100_000), {1: "a", True: "b", 1.0: "c"}, {float("nan"): 1}]
"""
    ).value
    assert math.isnan(value[0])
    assert value[1] == math.inf
    assert math.copysign(1, value[2]) == -1
    assert value[3:5] == ["\ud800x\udfff", "a\0b"]
    assert value[5] == 10**100_000 == -value[6]
    assert value[7] == {1: "c"}
    assert len(value[8]) == 1


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    a = []\n    a.append(a)\n    return a",
        "def f():\n    a = {}\n    a['a'] = [a]\n    return a",
        "def f():\n    a = []\n    for _ in range(10**6):\n        a = [a]\n    return a",
        "def f():\n    a = ()\n    for _ in range(10**5):\n        a = (a,)\n    return {a}",
        "def f(): return [None] * (1_100_000)",
        "def f(): return 'x' * (9 << 20)",
        "def f(): return b'x' * (300 << 20)",
        "def f(): return {n * (2**61 - 1): 0 for n in range(5_000)}",
    ],
    ids="cycle dict-cycle nested nested-tuples many long huge alike-hashes".split(),
)
def test_values_without_measure_are_errors(place: Arena, source: str) -> None:
    """Cycles, a million levels, too many parts, too many bytes, keys made to share a hash."""
    outcome = place.call(source, timeout=30)
    assert outcome.raised in ("SandboxedError", "SandboxKilled"), outcome
    unharmed(place)


@pytest.mark.parametrize(
    ("what", "repeated"),
    [
        ("lists", "b'l' + struct.pack('>I', 1)"),
        ("frozensets", "b'z' + struct.pack('>I', 1)"),
        ("dicts", "b'd' + struct.pack('>I', 1)"),
    ],
)
def test_nesting_written_by_hand_is_refused_by_the_host(place: Arena, what: str, repeated: str) -> None:
    """The guest's own encoder counts levels; so does whoever reads."""
    outcome = place.call(
        PIPES
        + f"def f():\n    os.write(worker().results, framed(b'V' + ({repeated}) * 10_000))\n    time.sleep(600)\n",
        timeout=20,
    )
    assert (outcome.raised, outcome.limit) == ("SandboxKilled", "protocol")
    unharmed(place)


def test_everything_patched_changes_only_ones_own_word(place: Arena) -> None:
    """assert, builtins, json, struct, os.write and the guest's own modules, all replaced before the result is written."""
    outcome = place.call(
        """
import builtins, json, struct, sys
def f():
    from a4ps.sandbox import wire
    guest = sys.modules["a4ps.sandbox.guest"]
    builtins.AssertionError = type("Passed", (Exception,), {})
    builtins.isinstance = lambda *_: True
    builtins.len = lambda *_: 0
    builtins.type = lambda *_: str
    json.dumps = lambda *_: "true"
    struct.pack = lambda *_: b""
    wire.encode = lambda *_, **__: b"forged"
    guest.write_all = lambda *_: None
    os.write = lambda *_: 0
    os.getpid = lambda: 1
    os._exit = lambda *_: None
    sys.exit = lambda *_: None
    assert False
""",
        timeout=2,
    )
    assert outcome.raised in ("SandboxedError", "SandboxKilled", "SandboxOverran")
    outcome = place.execute(
        "import builtins, sys\nbuiltins.AssertionError = type('Passed', (BaseException,), {})\nsys.excepthook = print\nassert False, 'failed'"
    )
    assert outcome.exit_code == 1
    unharmed(place)


def test_a_tool_that_turns_hostile_on_its_fourth_call_finds_nothing_to_count_by(place: Arena) -> None:
    """Each call is the first: nothing that one leaves anywhere is seen by the next. Kept state never comes to a fourth."""
    source = """
import sys, builtins
counted = 0
def tool(x):
    global counted
    counted += 1
    seen = counted
    for way in ("/tmp/.count", "/dev/shm/.count"):
        try:
            seen = max(seen, 1 + len(open(way).read()))
            open(way, "a").write("x")
        except OSError:
            try:
                open(way, "w").write("x")
            except OSError:
                pass
    builtins.counted = getattr(builtins, "counted", 0) + 1
    seen = max(seen, builtins.counted)
    if seen >= 4:
        os.kill(-1, 9)
    return x + 1, seen
"""
    assert [place.call(source, number).value for number in range(8)] == [(number + 1, 1) for number in range(8)]


def test_a_tool_that_does_turn_hostile_harms_that_call_alone(place: Arena) -> None:
    """Told its fourth call by an argument, it kills all that it can reach: that call fails and the fifth does not."""
    source = "def tool(n):\n    if n == 4:\n        if os.fork() == 0:\n            while True: pass\n        os.kill(-1, 9)\n        os.kill(os.getpid(), 9)\n    return n\n"
    outcomes = [place.call(source, number) for number in range(1, 7)]
    assert [outcome.raised for outcome in outcomes] == ["", "", "", "SandboxKilled", "", ""]


@pytest.mark.parametrize("fds", ["results", "all", "jobs"])
def test_closing_ones_own_pipes_harms_ones_own_call_alone(place: Arena, fds: str) -> None:
    """It ends with an error, at once or at its timeout."""
    outcome = place.call(
        PIPES
        + f"""
def f():
    mine = worker()
    os.closerange(0, 256) if {fds!r} == "all" else os.close(mine.{"results" if fds == "all" else fds})
    return 1
""",
        timeout=3,
    )
    assert fds == "jobs" or outcome.raised in ("SandboxedError", "SandboxKilled", "SandboxOverran")
    unharmed(place)


def test_a_flood_of_service_calls_is_counted_by_the_host(place: Arena) -> None:
    """10^5 are asked for; as many as the limit are served, whether they are asked for properly or written by hand."""
    outcome = place.call("def f():\n    for n in range(10**5): echo(n)\n", services={"echo": "echo"}, timeout=60)
    assert (outcome.raised, outcome.limit, outcome.served) == ("SandboxKilled", "services_calls", 1000)
    outcome = place.call(
        PIPES
        + """
def f():
    from a4ps.sandbox import wire
    mine = worker()
    flood = framed(b"S" + wire.encode(("echo", (1,), {}))) * 10**5
    def drain():
        while True:
            os.read(mine.jobs, 65536)
    threading.Thread(target=drain, daemon=True).start()
    while flood:
        flood = flood[os.write(mine.results, flood[:65536]):]
    time.sleep(60)
""",
        services={"echo": "echo"},
        timeout=60,
    )
    assert (outcome.raised, outcome.limit, outcome.served) == ("SandboxKilled", "services_calls", 1000)
    unharmed(place)


def test_answers_that_nobody_reads_hold_up_nobody(place: Arena) -> None:
    """Whoever asks and never reads is ended at its timeout."""
    outcome = place.call(
        PIPES
        + """
def f():
    from a4ps.sandbox import wire
    mine = worker()
    while True:
        os.write(mine.results, framed(b"S" + wire.encode(("echo", (bytes(1 << 20),), {}))))
""",
        services={"echo": "echo"},
        timeout=3,
    )
    assert outcome.raised in ("SandboxOverran", "SandboxKilled")
    unharmed(place)


def test_a_service_that_is_not_declared_is_not_called(place: Arena) -> None:
    """Not by its name, not by a special name, nor by one of a million letters."""
    outcome = place.call(
        PIPES
        + """
def f():
    from a4ps.sandbox import wire
    mine = worker()
    answers = []
    for name in ("fail", "__class__", "served", "", "x" * 10**6, "\\ud800"):
        os.write(mine.results, framed(b"S" + wire.encode((name, (), {}))))
        head = os.read(mine.jobs, 4)
        answers.append(wire.decode(os.read(mine.jobs, struct.unpack(">I", head)[0])))
    return answers
""",
        services={"echo": "echo"},
    )
    assert [good for good, _ in outcome.value] == [False] * 6
    assert outcome.served == 0
    assert place.call("def f(): return fail()", services={"echo": "echo"}).type_name == "NameError"


@pytest.mark.parametrize(
    "request_", ["('echo', [], {})", "('echo', (), {1: 2})", "('echo',)", "echo", "7", "(7, (), {})", "None"]
)
def test_a_request_of_the_wrong_shape_ends_the_call(place: Arena, request_: str) -> None:
    """Nothing is called for it."""
    outcome = place.call(
        PIPES
        + "def f(request):\n    from a4ps.sandbox import wire\n    os.write(worker().results, framed(b'S' + wire.encode(request)))\n    time.sleep(60)\n",
        eval(request_, {"echo": "echo"}),
        services={"echo": "echo"},
        timeout=20,
    )
    assert (outcome.raised, outcome.limit, outcome.served) == ("SandboxKilled", "protocol", 0)


def test_arguments_and_answers_of_services_are_bounded(place: Arena) -> None:
    """Too large either way, of no plain type, or failed: an error in the sandbox that it can catch, and the call goes on."""
    outcome = place.call(
        """
def f():
    told = []
    for act in (lambda: echo(bytes(9 << 20)), lambda: echo(os), lambda: huge(), lambda: alien(), lambda: fail(), lambda: echo(*range(3), x=1), lambda: echo(x=1, y=object)):
        try:
            told.append(act())
        except Exception as error:
            told.append(type(error).__name__)
    return told
""",
        services={name: name for name in ("echo", "huge", "alien", "fail")},
        timeout=30,
    )
    assert outcome.value == [
        "WireError",
        "WireError",
        "ServiceError",
        "ServiceError",
        "ServiceError",
        ((0, 1, 2), {"x": 1}),
        "WireError",
    ]
    unharmed(place)


def test_a_stuck_service_ends_with_the_call(place: Arena) -> None:
    """Its call ends at the timeout."""
    outcome = place.call("def f(): return stuck()", services={"stuck": "stuck"}, timeout=1)
    assert outcome.raised == "SandboxOverran"
    unharmed(place)


def test_arguments_that_are_no_plain_data_never_leave(place: Arena) -> None:
    """Too large or too deep: refused before a sandbox is touched."""
    deep: list[object] = []
    for _ in range(100):
        deep = [deep]
    for argument in (bytes(9 << 20), deep, frozenset({(1, b"x" * (9 << 20))})):
        outcome = place.call("def f(x): return 1", argument)
        assert outcome.raised == "UsageError"
    unharmed(place)


HOSTILE_ERRORS = [
    "class E(Exception):\n    def __str__(self): raise SystemExit(0)\ndef f(): raise E",
    "class E(Exception):\n    def __str__(self): return 'x' * (100 << 20)\ndef f(): raise E",
    "class S(str): pass\nclass E(Exception):\n    def __str__(self): return S('sub')\ndef f(): raise E",
    "E = type('\\u2066', (Exception,), {})\ndef f(): raise E('\\ud800\\udfff')",
    "class E(BaseException):\n    @property\n    def __traceback__(self): raise self\ndef f(): raise E",
    "def f():\n    e = None\n    for _ in range(2000):\n        n = ValueError()\n        n.__cause__ = e\n        e = n\n    raise e",
    "def f(): raise SystemExit(0)",
    "def f(): os._exit(0)",
    "def f(): raise KeyboardInterrupt",
    "def f(): os.kill(os.getpid(), 11)",
    "def f(): raise ExceptionGroup('x' * 10**6, [ValueError()] * 10**4)",
]


@pytest.mark.parametrize("source", HOSTILE_ERRORS)
def test_hostile_errors_are_errors_that_can_be_shown(place: Arena, source: str) -> None:
    """No way to fail passes for a value, and its text is text that can be printed, of a bounded length."""
    outcome = place.call(source, timeout=20)
    assert outcome.raised in ("SandboxedError", "SandboxKilled")
    shown = outcome.text + outcome.fields.get("traceback", "") + outcome.fields.get("type_name", "")
    assert len(shown.encode()) < 200_000
    unharmed(place)
