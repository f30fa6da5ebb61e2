"""What every sandbox must keep, as functions of an executor over it. Standard library and `a4ps.sandbox` only.

`rules()` lists them. They run under pytest, or, where the user who runs pytest is not one that the sandbox is for, by
`python -m tests.contracts.sandbox_contract TIER` as another user, which prints {rule: "" or what went wrong} as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from a4ps.errors import SandboxedError, SandboxKilled, SandboxOverran, UsageError
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.sandbox.limits import MIB, Limits

Rule = Callable[[SecureCodeExecutor], None]


@contextmanager
def raises(kind: type[Exception] | tuple[type[Exception], ...], text: str = "") -> Iterator[list[Any]]:
    """As pytest's, which is not there for other users."""
    caught: list[Any] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    assert caught, f"no {kind} was raised"
    assert text in str(caught[0]), str(caught[0])


def _value_of(executor: SecureCodeExecutor, code: str, *args: object, **given: Any) -> Any:
    return executor.call(code, args, **given).value


def a_program_runs_to_its_end(executor: SecureCodeExecutor) -> None:
    code = "import sys\nprint('out', sys.stdin.read(), open('a/b').read())\nprint('err', file=sys.stderr)\nsys.exit(3)"
    done = executor.execute(code, stdin="in", files={"a/b": b"file"})
    assert (done.stdout, done.stderr, done.exit_code) == ("out in file\n", "err\n", 3)
    assert (done.killed_by, done.timed_out, done.truncated, done.tier) == ("", False, False, executor.tier.name)
    out, err = executor.execute("print(1)")
    assert (out, err) == ("1\n", "")


def an_error_has_a_traceback_with_the_codes_lines(executor: SecureCodeExecutor) -> None:
    done = executor.execute("def f():\n    return 1 / 0\nf()")
    assert done.exit_code == 1
    assert "return 1 / 0" in done.stderr
    assert "guest" not in done.stderr
    with raises(SandboxedError, "ZeroDivisionError") as caught:
        executor.call("def f(x):\n    print('before')\n    return g(x)\n\ndef g(x):\n    return x / 0", (1,), name="f")
    error = caught[0]
    assert (error.type_name, error.text, error.stdout) == ("ZeroDivisionError", "division by zero", "before\n")
    assert "return g(x)" in error.traceback
    assert "guest" not in error.traceback


def a_value_comes_back_as_what_it_was(executor: SecureCodeExecutor) -> None:
    value = [None, True, 2**200, -1, 1.5, float("inf"), "ü\n", b"\0\xff", (1, (2,)), {1: {"a": {3}}}, frozenset({"x"})]
    done = executor.call("def f(value, *, more):\n    print('said')\n    return value, more", (value,), {"more": value})
    back: Any = done.value
    assert back == (value, value)
    assert [type(item) for item in back[0]] == [type(item) for item in value]
    assert (done.stdout, done.stderr) == ("said\n", "")


def plain_data_of_every_kind_goes_in_and_comes_back(executor: SecureCodeExecutor) -> None:
    given = [date(2026, 1, 2), datetime(2026, 1, 2, 3, tzinfo=UTC), timedelta(1), Decimal("1.50"), UUID(int=1), 1j]
    code = "def f(given):\n    return [given, [type(each).__name__ for each in given], given[0].year, given[3] + 1]"
    names = ["date", "datetime", "timedelta", "Decimal", "UUID", "complex"]
    assert executor.call(code, (given,)).value == [given, names, 2026, Decimal("2.50")]


def what_is_no_plain_data_does_not_come_back(executor: SecureCodeExecutor) -> None:
    for made in ("range(3)", "open", "type('T', (str,), {})('x')", "collections.OrderedDict()"):
        with raises(SandboxedError, "not plain data"):
            executor.call(f"import collections\ndef f():\n    return [{{'a': {made}}}]")
    with raises(SandboxedError, "nested deeper"):
        executor.call("def f():\n    x = []\n    x.append(x)\n    return x")
    with raises(SandboxedError, "is the limit"):
        executor.call("def f():\n    return 'x' * 10_000_000")
    with raises(UsageError, "not plain data"):
        executor.call("def f(x): return x", (object(),))
    with raises(UsageError, "is the limit"):
        executor.call("def f(x): return x", ("x" * 10_000_000,))


def a_pickle_is_only_bytes(executor: SecureCodeExecutor) -> None:
    code = "import pickle, os\nclass E:\n    def __reduce__(self): return os._exit, (9,)\ndef f(): return pickle.dumps(E())"
    assert type(executor.call(code).value) is bytes


def nothing_is_shared_between_calls(executor: SecureCodeExecutor) -> None:
    leave = "import builtins, os\nbuiltins.left = 1\nopen('/tmp/left', 'w').close()\nos.environ['LEFT'] = '1'"
    executor.execute(leave)
    look = "import builtins, os\nprint(hasattr(builtins, 'left'), os.listdir('/tmp'), 'LEFT' in os.environ)"
    assert executor.execute(look).stdout == "False [] False\n"


def nothing_of_this_machine_is_seen(executor: SecureCodeExecutor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        secret = Path(folder) / "secret"
        secret.write_text("secret", encoding="ascii")
        secret.chmod(0o644)
        code = (
            "import os\ndef f(path):\n    seen = [p for p in (path, '/proc/1/root' + path, '/etc/passwd', '/root', '/home',"
            " '/var', '/sys/class/net/eth0', '/dev/sda', '/dev/kmsg', '/run') if os.path.exists(p)]\n"
            "    return seen, sorted(os.environ), os.getuid(), sorted(int(p) for p in os.listdir('/proc') if p.isdigit())"
        )
        seen, environment, uid, processes = _value_of(executor, code, str(secret))
    assert seen == []
    assert set(environment) <= {"HOME", "LC_ALL", "LD_LIBRARY_PATH", "OPENBLAS_NUM_THREADS", "PATH", "PWD"}
    assert uid == 65534
    assert len(processes) == 2


def there_is_no_network(executor: SecureCodeExecutor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = (
            "import socket\ndef f(addresses):\n    reached = []\n    for address in addresses:\n        try:\n"
            "            socket.create_connection(tuple(address), 1).close()\n            reached.append(address)\n"
            "        except OSError:\n            pass\n    return reached"
        )
        wanted = [["127.0.0.1", server.getsockname()[1]], ["169.254.169.254", 80], ["1.1.1.1", 53]]
        assert executor.call(code, (wanted,)).value == []


def only_tmp_can_be_written_to(executor: SecureCodeExecutor) -> None:
    code = (
        "import os\ndef f():\n    made = []\n"
        "    for folder in ('/', '/usr/lib', '/lib64',"
        " '/python', '/python/lib', '/a4ps-guest', '/proc', '/proc/sys/kernel', '/tmp'):\n"
        "        try:\n            open(folder + '/made', 'w').close()\n            made.append(folder)\n"
        "        except OSError:\n            pass\n"
        "    for path in (os.__file__, '/a4ps-guest/a4ps/sandbox/guest.py', '/proc/sys/kernel/hostname'):\n"
        "        try:\n            open(path, 'a').close()\n            made.append(path)\n"
        "        except OSError:\n            pass\n    return made"
    )
    assert _value_of(executor, code) == ["/tmp"]


def a_timeout_ends_it_and_keeps_what_it_said(executor: SecureCodeExecutor) -> None:
    code = "import signal\nfor s in (15, 2, 1): signal.signal(s, signal.SIG_IGN)\nprint('said')\nwhile True: pass"
    done = executor.execute(code, 0.5)
    assert (done.stdout, done.timed_out, done.killed_by, done.exit_code) == ("said\n", True, "wall", -9)
    with raises(SandboxOverran) as caught:
        executor.call("import time\ndef f():\n    print('said')\n    time.sleep(60)", timeout=0.5)
    assert caught[0].stdout == "said\n"


def processor_time_ends_it(executor: SecureCodeExecutor) -> None:
    for ignore in ("", "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"):
        with raises(SandboxKilled) as caught:
            executor.call(f"{ignore}def f():\n    while True: pass", timeout=50, limits=Limits(cpu_s=1))
        assert caught[0].limit == "cpu"


def memory_is_bounded_for_each_process_and_for_all(executor: SecureCodeExecutor) -> None:
    with raises(SandboxedError, "MemoryError"):
        executor.call("def f():\n    return len(bytearray(600_000_000))")
    code = (
        "import os, time\ndef f():\n    for _ in range(8):\n        if os.fork() == 0:\n"
        "            kept = bytearray(100_000_000)\n            time.sleep(60)\n    time.sleep(60)"
    )
    with raises(SandboxKilled) as caught:
        executor.call(code, timeout=50, limits=Limits(total_memory_bytes=300 * MIB))
    assert caught[0].limit == "memory"


def processes_are_bounded(executor: SecureCodeExecutor) -> None:
    code = (
        "import os, time\ndef f():\n    made = 0\n    try:\n        while made < 500:\n            if os.fork() == 0:\n"
        "                time.sleep(60)\n            made += 1\n    except BlockingIOError:\n        pass\n    return made"
    )
    assert executor.call(code, limits=Limits(processes=5)).value in (4, 5)


def files_are_bounded(executor: SecureCodeExecutor) -> None:
    code = (
        "import errno\ndef f():\n    said = []\n    def fill(name):\n        try:\n"
        "            with open(name, 'wb') as file:\n"
        "                while True: file.write(bytes(100_000))\n        except OSError as error:\n"
        "            said.append(errno.errorcode[error.errno])\n    fill('a')\n"
        "    for n in range(9): fill(str(n))\n    held = []\n    try:\n        while True: held.append(open('a'))\n"
        "    except OSError as error:\n        said.append(errno.errorcode[error.errno])\n"
        "    return said, len(held)"
    )
    said, held = _value_of(executor, code, limits=Limits(file_bytes=20 * MIB, open_files=32))
    assert said[0] == "EFBIG"
    assert "ENOSPC" in said
    assert said[-1] == "EMFILE"
    assert held < 32


def output_is_cut_and_a_flood_of_it_ends_the_call(executor: SecureCodeExecutor) -> None:
    limits = Limits(output_bytes=10_000)
    done = executor.execute("print('x' * 50_000)\nimport sys\nprint('e', file=sys.stderr)", limits=limits)
    assert (len(done.stdout), done.stderr, done.truncated, done.exit_code) == (10_000, "e\n", True, 0)
    done = executor.execute("import os\nwhile True: os.write(1, b'x' * 65_536)", 50, limits=limits)
    assert (len(done.stdout), done.killed_by, done.truncated) == (10_000, "output", True)


def what_it_prints_is_never_taken_for_a_result(executor: SecureCodeExecutor) -> None:
    code = (
        "import os\ndef f():\n    for fd in (1, 2):\n        os.write(fd, b'\\0\\0\\0\\x0cV' + b't' + b'\\0\\0\\0\\1N')\n"
        "        os.write(fd, b'\\0\\0\\0\\1X')\n    print('TEST PASSED')\n    raise ValueError('true')"
    )
    with raises(SandboxedError, "true"):
        executor.call(code)
    # Written to every pipe that can be found: either harmless, or the call is ended for it.
    code = (
        "import os\ndef f():\n    for path in ['/proc/self/fd', '/proc/1/fd']:\n        for fd in range(3, 40):\n"
        "            try:\n                held = os.open(f'{path}/{fd}', os.O_WRONLY)\n"
        "                os.write(held, b'\\0\\0\\0\\x11X' + bytes(16))\n"
        "            except OSError:\n                pass\n    os._exit(5)"
    )
    with raises((SandboxedError, SandboxKilled)):
        executor.call(code)


def an_exit_is_no_value(executor: SecureCodeExecutor) -> None:
    with raises(SandboxedError, "ended with 0"):
        executor.call("import os\ndef f():\n    os._exit(0)")
    with raises(SandboxedError, "SystemExit"):
        executor.call("import sys\ndef f():\n    sys.exit(0)")
    with raises(SandboxKilled) as caught:
        executor.call("import os\ndef f():\n    os.kill(os.getpid(), 11)")
    assert caught[0].limit == "signal"


def processes_left_behind_do_not_hold_a_call(executor: SecureCodeExecutor) -> None:
    done = executor.execute("import os, time\nif os.fork() == 0:\n    time.sleep(600)\nprint('parent')")
    assert (done.stdout, done.exit_code) == ("parent\n", 0)


def services_are_called_by_name(executor: SecureCodeExecutor) -> None:
    told: list[object] = []

    def add(a: int, *, b: int) -> int:
        told.append((a, b))
        return a + b

    code = "def f():\n    return [add(n, b=1) for n in range(3)]"
    assert executor.call(code, services={"add": add}).value == [1, 2, 3]
    assert told == [(0, 1), (1, 1), (2, 1)]


def what_makes_no_sense_is_refused(executor: SecureCodeExecutor) -> None:
    odd: Any = 5
    for given in ({"files": {"a": "text"}}, {"files": {odd: b""}}, {"stdin": odd}):
        with raises(UsageError):
            executor.execute("print(1)", **given)
    for kwargs, services in (({odd: 1}, {}), ({}, {odd: max})):
        with raises(UsageError, "no name"):
            executor.call("def f(**given): return 1", (), kwargs, services=services)
    with raises(SandboxedError, "defines no g"):
        executor.call("def f(): return 1", name="g")
    with raises(SandboxedError, "async"):
        executor.call("async def f(): return 1")


def a_service_that_exits_ends_only_itself(executor: SecureCodeExecutor) -> None:
    code = "def f():\n    try: leave()\n    except Exception as error: return str(error)"
    assert executor.call(code, services={"leave": sys.exit}).value == "SystemExit: "


def a_service_that_fails_is_an_error_of_the_guest(executor: SecureCodeExecutor) -> None:
    def fail() -> object:
        raise LookupError("not there")

    services: dict[str, Callable[..., object]] = {"fail": fail, "odd": object}
    code = "def f():\n    try: fail()\n    except Exception as error: return type(error).__name__, str(error)"
    assert executor.call(code, services=services).value == ("ServiceError", "LookupError: not there")
    with raises(SandboxedError, "not plain data"):
        executor.call("def f(): return odd()", services=services)
    with raises(SandboxedError, "is the limit"):
        executor.call("def f(): return fail('x' * 10_000_000)", services=services)


def an_undeclared_service_is_an_error_of_the_guest(executor: SecureCodeExecutor) -> None:
    with raises(SandboxedError, "NameError"):
        executor.call("def f(): return secret()", services={"other": int})
    # Asked for past the functions that the code was given.
    code = (
        "def f():\n    held = [cell.cell_contents for cell in other.__closure__]\n"
        "    return next(each for each in held if hasattr(each, 'jobs'))._service('secret')()"
    )
    with raises(SandboxedError, "no service is called 'secret'"):
        executor.call(code, services={"other": int})


def a_flood_of_services_ends_the_call(executor: SecureCodeExecutor) -> None:
    calls: list[object] = []
    with raises(SandboxKilled) as caught:
        executor.call(
            "def f():\n    for n in range(100_000): note(n)",
            services={"note": calls.append},
            limits=Limits(services_calls=20),
        )
    assert (caught[0].limit, len(calls)) == ("services_calls", 20)


def a_service_that_hangs_ends_with_the_call(executor: SecureCodeExecutor) -> None:
    release = threading.Event()
    try:
        with raises(SandboxOverran):
            executor.call("def f(): return wait()", services={"wait": release.wait}, timeout=0.5)
    finally:
        release.set()


def hostile_calls_are_forbidden(executor: SecureCodeExecutor) -> None:
    code = (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\ndef f():\n    done = []\n"
        "    for name, arguments in (('unshare', (0x10000000,)), ('mount', (b'a', b'/tmp', b'tmpfs', 0, 0)),"
        " ('ptrace', (16, 1, 0, 0)), ('setuid', (0,)),"
        " ('chroot', (b'/tmp',)), ('reboot', (0,)), ('sethostname', (b'x', 1))):\n"
        "        if getattr(libc, name)(*arguments) == 0:\n            done.append(name)\n"
        "    try:\n        os.setuid(0)\n        done.append('root')\n    except OSError:\n        pass\n    return done"
    )
    assert executor.call(code).value == []


def many_callers_share_a_small_pool(executor: SecureCodeExecutor) -> None:
    values: list[object] = []

    def call(n: int) -> None:
        values.append(executor.call("def f(n): return n", (n,), timeout=30).value)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values) == list(range(12))  # type: ignore[type-var]


def rules() -> dict[str, Rule]:
    """Every function above that takes an executor, by name."""
    return {
        name: rule
        for name, rule in globals().items()
        if not name.startswith("_")
        and callable(rule)
        and getattr(rule, "__module__", "") == __name__
        and "executor" in rule.__code__.co_varnames[:1]
    }


def main(tier: str) -> None:
    faults: dict[str, str] = {}
    with SecureCodeExecutor(tier=tier) as executor:
        for name, rule in rules().items():
            try:
                rule(executor)
                faults[name] = ""
            except Exception:  # noqa: BLE001 - told to whoever started this
                faults[name] = traceback.format_exc()
    print(json.dumps(faults))


if __name__ == "__main__":
    main(sys.argv[1])
