"""Where the attacks are made: an executor in a process of its own, for each sandbox and user that there is here.

As root, bubblewrap and rootless runsc are attacked as an unprivileged user, who needs a Python that he can read and a
copy of what it runs. What such a process starts is found by descent, and is expected to be gone afterwards.
"""

from __future__ import annotations

import os
import pickle
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a4ps.sandbox.policy import NOBODY

REPOSITORY = Path(__file__).resolve().parents[3]
SECRET = "mellon-7f3a"
#: Nothing hostile runs where this fails: each program begins with it.
GUARD = """
import os
if not os.path.isdir("/a4ps-guest"):
    raise SystemExit("this attacks a sandbox, and runs nowhere else")
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sandbox to attack. `name` is the test's; `tier` the executor's; `unprivileged`: as nobody in particular."""

    name: str
    tier: str
    unprivileged: bool


def kinds() -> list[Kind]:
    if os.geteuid() != 0:
        return [Kind("runsc", "runsc", False), Kind("bubblewrap", "bubblewrap", False)]
    return [
        Kind("runsc", "runsc", False),
        Kind("runsc-rootless", "runsc", True),
        Kind("bubblewrap", "bubblewrap", True),
    ]


class Unavailable(Exception):
    """This kind of sandbox cannot be attacked here; the text says why."""


class Outcome:
    """What a run gave back: the fields of the results and errors of `a4ps.sandbox`, those that there are."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(f"no {name} in {self!r}") from None

    def __repr__(self) -> str:
        return " ".join(f"{name}={value!r:.600}" for name, value in self.fields.items())

    @property
    def raised(self) -> str:
        """The name of the error, "" for none."""
        return str(self.fields.get("raised", ""))


class Arena:
    """One executor under attack. `runtime` is the only folder that its sandboxes may leave anything in."""

    def __init__(self, kind: Kind, folder: Path, *, pool_size: int = 2) -> None:
        """Raises Unavailable."""
        self.kind = kind
        self.folder = folder
        self.runtime = folder / "runtime"
        self.runtime.mkdir(exist_ok=True)
        (folder / "secret").write_text(SECRET, encoding="ascii")
        python, code = sys.executable, REPOSITORY
        owner = NOBODY if kind.unprivileged else os.getuid()
        if kind.unprivileged:
            python, code = _python_for_all(), folder / "code"
            if not code.exists():
                _copy_code(code)
            for path in (folder, *folder.parents):
                if path.stat().st_uid == os.geteuid() and path != path.parent and path.stat().st_mode & 0o005 != 0o005:
                    path.chmod(path.stat().st_mode | 0o055)
            os.chown(self.runtime, owner, owner)
        self.runtime.chmod(0o700)
        inherited = os.open(folder / "secret", os.O_RDONLY)
        try:
            self.process = subprocess.Popen(
                [python, "-I", "-c", _START.format(code=str(code)), kind.tier, str(pool_size)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.runtime), "A4PS_SECRET": SECRET},
                pass_fds=(inherited,),
                user=owner if kind.unprivileged else None,
                group=owner if kind.unprivileged else None,
                extra_groups=[] if kind.unprivileged else None,
            )
        finally:
            os.close(inherited)
        self.seen: set[tuple[int, str]] = set()
        _, self.version, why = self._heard()
        if why:
            self.close()
            raise Unavailable(f"{kind.name}: {why}")

    def execute(self, code: str, **given: Any) -> Outcome:
        """Run a hostile program."""
        return self._asked(mode="execute", code=GUARD + code, **given)

    def call(self, code: str, *args: object, **given: Any) -> Outcome:
        """Call a hostile function."""
        return self._asked(mode="call", code=GUARD + code, args=args, **given)

    def burst(self, code: str, times: int, **given: Any) -> list[Outcome]:
        """Call it so often, all at once."""
        self.ask(mode="call", code=GUARD + code, times=times, **given)
        return [Outcome(fields) for fields in self._heard()]

    def ask(self, **job: Any) -> None:
        """Begin a run; `answer` has its outcome."""
        assert self.process.stdin is not None
        self.process.stdin.write(pickle.dumps(job))
        self.process.stdin.flush()

    def answer(self) -> Outcome:
        return Outcome(self._heard())

    def answer_and_peak(self) -> tuple[Outcome, int]:
        """The outcome, and the most memory, in bytes, that its processes were seen to have until then."""
        assert self.process.stdout is not None
        peak = 0
        while not select.select([self.process.stdout], [], [], 0.05)[0]:
            peak = max(peak, sum(_resident(pid) for pid, _ in self.look_around()))
        return self.answer(), peak

    def _asked(self, **job: Any) -> Outcome:
        self.ask(**job)
        self.look_around()
        return self.answer()

    def _heard(self) -> Any:
        assert self.process.stdout is not None
        return pickle.load(self.process.stdout)

    def look_around(self) -> set[tuple[int, str]]:
        """Remember which processes it has begun, by number and time of birth; those of now."""
        found = descendants(self.process.pid)
        self.seen |= found
        return found

    def alive(self) -> set[tuple[int, str]]:
        """Which of the processes that were ever seen are still there, zombies included."""
        return {(pid, born) for pid, born in self.seen if birth(pid) == born}

    def close(self) -> None:
        """Let it end by itself."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.look_around()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()

    def kill(self) -> None:
        """End it as a crash of this machine's owner would: SIGKILL, to it alone."""
        self.look_around()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


_START = (
    "import sys; sys.path.insert(0, {code!r})\n"
    "from tests.sandbox.attacks import driver; driver.main(sys.argv[1], int(sys.argv[2]))"
)


@contextmanager
def arena(kind: Kind, folder: Path, *, pool_size: int = 2) -> Iterator[Arena]:
    """An arena that ends with the block."""
    made = Arena(kind, folder, pool_size=pool_size)
    try:
        yield made
    finally:
        if made.process.returncode is None:
            made.close()


def birth(pid: int) -> str:
    """When the process of this number was made, in ticks; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def descendants(pid: int) -> set[tuple[int, str]]:
    """Every process below `pid` now."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append((int(entry.name), fields[19]))
    found: set[tuple[int, str]] = set()
    left = [pid]
    while left:
        for child in children.get(left.pop(), []):
            found.add(child)
            left.append(child[0])
    return found


def _python_for_all() -> str:
    """A Python, new enough, that any user may run."""
    for name in ("/usr/bin/python3", "/usr/local/bin/python3"):
        asked = [name, "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        with suppress(OSError):
            if subprocess.run(asked, user=NOBODY, group=NOBODY, extra_groups=[], check=False).returncode == 0:
                return name
    raise Unavailable("no Python 3.11 that an unprivileged user may run")


def _copy_code(code: Path) -> None:
    for name in (
        "a4ps/__init__.py",
        "a4ps/version.py",
        "a4ps/errors.py",
        "a4ps/events.py",
        "a4ps/sandbox",
        "tests/sandbox/attacks/driver.py",
    ):
        source, target = REPOSITORY / name, code / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for path in (code, *code.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
