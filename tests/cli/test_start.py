"""`./start`: which Python it takes, when it makes the environment anew, and that it leaves stdout to the program.

The Pythons are stand-ins that note how they are called; the real installation is told by the story of the first evening.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.doubles.household import ROOT

pytestmark = pytest.mark.slow

#: Answers what `start` asks of a Python. Beside it, a file `old` or `no-venv` says what it lacks.
STAND_IN = """#!/bin/bash
here=$(dirname "$0")
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
    *version_info*) [ ! -e "$here/$(basename "$0").old" ] ;;
    *ensurepip*) [ ! -e "$here/$(basename "$0").no-venv" ] ;;
    --version) echo "Python 3" ;;
    "-m venv --clear "*) rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; echo "noise of venv" ;;
    *"-m pip "*) echo "noise of pip" ;;
    *"-m a4ps"*) echo "a4ps was run: ${*: -1}" ;;
esac
"""


class Checkout:
    """A folder with what `start` reads, and a PATH with stand-ins for Pythons of these names."""

    def __init__(self, folder: Path, *pythons: str) -> None:
        self.root = folder / "a4ps"
        self.root.mkdir()
        for name in ("start", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.root)
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in ("python3.13", "python3.12", "python3.11", "python3"):
            self.python(name, *([] if name in pythons else ["old"]))
        self.calls = folder / "calls"

    def python(self, name: str, *lacks: str) -> None:
        (self.bin / name).write_text(STAND_IN)
        (self.bin / name).chmod(0o755)
        for lack in lacks:
            (self.bin / f"{name}.{lack}").touch()

    def start(self, command: str = "hello", **environ: str) -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        return subprocess.run(
            [str(self.root / "start"), command],
            env={**self.env, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "CALLS": str(self.calls)}

    @property
    def made(self) -> list[str]:
        """The Pythons that made an environment in the last start."""
        return [line.split()[0] for line in self.calls.read_text().splitlines() if "-m venv" in line]

    @property
    def installed(self) -> bool:
        return "-m pip" in self.calls.read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path, "python3.12", "python3.11", "python3")


def test_stdout_is_the_programs_alone(checkout: Checkout) -> None:
    done = checkout.start()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a4ps was run: hello\n"
    assert "[1/2]" in done.stderr
    assert checkout.made == ["python3.12"]


def test_a_second_start_only_runs(checkout: Checkout) -> None:
    checkout.start()
    done = checkout.start()
    assert (done.stdout, done.stderr) == ("a4ps was run: hello\n", "")
    assert len(checkout.calls.read_text().splitlines()) == 1


def test_the_first_python_that_can_make_environments_is_taken(checkout: Checkout) -> None:
    checkout.python("python3.12", "no-venv")
    assert checkout.start().returncode == 0
    assert checkout.made == ["python3.11"]


def test_what_no_python_can_do_is_said(checkout: Checkout, tmp_path: Path) -> None:
    for name in ("python3.12", "python3.11", "python3"):
        checkout.python(name, "no-venv")
    done = checkout.start()
    assert done.returncode == 1
    assert "python3 cannot make environments" in done.stderr
    assert "python3-venv" in done.stderr
    for name in ("python3.12", "python3.11", "python3"):
        checkout.python(name, "old")
    assert "Python 3.11 or newer is needed" in checkout.start().stderr


def test_changed_dependencies_are_installed_into_the_same_environment(checkout: Checkout) -> None:
    checkout.start()
    with (checkout.root / "constraints.txt").open("a") as file:
        file.write("more==1\n")
    assert checkout.start().returncode == 0
    assert checkout.made == []
    assert checkout.installed


@pytest.mark.parametrize(
    ("command", "environ"), [("hello", {"DISPLAY": ":0"}), ("hello", {"WAYLAND_DISPLAY": "wayland-0"}), ("ui", {})]
)
def test_the_window_is_installed_where_there_is_a_display_or_it_is_asked_for(
    command: str, environ: dict[str, str], checkout: Checkout
) -> None:
    """Also later than the rest, once, and a start without a display needs nothing more."""
    checkout.start()
    assert "[ui]" not in checkout.calls.read_text()
    assert checkout.start(command, **environ).returncode == 0
    assert f"-e {checkout.root}[ui]" in checkout.calls.read_text()
    assert checkout.made == []
    for again in (checkout.start(command, **environ), checkout.start()):
        assert (again.returncode, again.stderr) == (0, "")
        assert not checkout.installed


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_an_environment_of_another_folder_is_made_anew(checkout: Checkout, how: object, tmp_path: Path) -> None:
    """Its scripts name the other folder: in a copy they would run, and change, the original's."""
    assert callable(how)
    checkout.start()
    left_over = checkout.root / ".venv" / "bin" / "ruff"
    left_over.touch()
    how(checkout.root, tmp_path / "elsewhere")
    checkout.root = tmp_path / "elsewhere"
    assert checkout.start().returncode == 0
    assert checkout.made == ["python3.12"]
    assert checkout.installed
    assert not (checkout.root / ".venv" / "bin" / "ruff").exists()


def test_an_environment_whose_python_is_gone_or_another_is_made_anew(checkout: Checkout) -> None:
    checkout.start()
    python = checkout.root / ".venv" / "bin" / "python"
    for target in (checkout.bin / "gone", checkout.bin / "python3.11"):
        python.unlink()
        python.symlink_to(target)
        assert checkout.start().returncode == 0
        assert checkout.made == ["python3.12"]


def test_a_start_that_waits_for_another_says_so(checkout: Checkout) -> None:
    with (checkout.root / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [str(checkout.root / "start"), "hello"],
            env=checkout.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stderr is not None
        assert "waiting for it" in waiting.stderr.readline()
    out, _ = waiting.communicate(timeout=30)
    assert out == "a4ps was run: hello\n"
