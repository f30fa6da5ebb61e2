"""`a4ps ui`: what has to be here for a window, what it is started with, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from a4ps.cli import ui, window
from a4ps.errors import Stopped, Unsupported
from a4ps.places import Places
from tests.doubles.household import ROOT, Household


@pytest.fixture
def person(tmp_path: Path) -> Household:
    return Household(tmp_path)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "has_ui", lambda: True)


@pytest.fixture
def asked_for(installed: None, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the windows that were opened; there is a backend for them."""
    commands: list[list[str]] = []

    def run(places: Places, options: Mapping[str, str | None]) -> int:
        commands.append(window.window_command(places, options))
        return 0

    @asynccontextmanager
    async def connected(*_: object) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(ui, "run_window", run)
    monkeypatch.setattr(ui, "connected", connected)
    return commands


def opens(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Windows are programs of this code."""
    monkeypatch.setattr(window, "window_command", lambda *_: [sys.executable, "-I", "-c", code])


class TestWhatHasToBeThere:
    def test_without_kivy_it_says_how_it_is_installed(self, person: Household, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(window, "has_ui", lambda: False)
        for arguments in (["ui"], ["ui", "--screenshot", str(person.folder / "x.png")]):
            done = person.run(*arguments)
            assert (done.returncode, done.stdout) == (1, "")
            assert "./start ui" in done.stderr
            assert "pip install 'a4ps[ui]'" in done.stderr
        assert not person.home.exists(), "no backend was started for nothing"

    def test_without_a_display_it_says_so(self, person: Household, installed: None) -> None:
        done = person.run("ui")
        assert done.returncode == 1
        assert "no display" in done.stderr
        assert "--screenshot" in done.stderr
        assert not person.home.exists()

    @pytest.mark.parametrize("display", ["nonsense", ":", ":99999999", ":98765", "127.0.0.1:1", ":0x"])
    def test_a_display_that_does_not_answer_is_named(self, display: str, person: Household, installed: None) -> None:
        person.environ["DISPLAY"] = display
        done = person.run("ui")
        assert done.returncode == 1
        assert f"display {display} does not answer" in done.stderr

    def test_a_display_is_one_that_answers(self, tmp_path: Path) -> None:
        environ = {"WAYLAND_DISPLAY": "wayland-7", "XDG_RUNTIME_DIR": str(tmp_path)}
        assert not window.has_display(environ)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "wayland-7"))
            listener.listen()
            assert window.has_display(environ)
            assert window.has_display({"WAYLAND_DISPLAY": str(tmp_path / "wayland-7")})
        number = 40_000 + os.getpid() % 10_000
        assert not window.has_display({"DISPLAY": f":{number}.0"})
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0/tmp/.X11-unix/X{number}")
            listener.listen()
            assert window.has_display({"DISPLAY": f":{number}.0"})


class TestWhatItIsStartedWith:
    def test_a_picture_needs_no_display(self, person: Household, asked_for: list[list[str]]) -> None:
        script = person.folder / "world.json"
        script.write_text("{}")
        arguments = ["--screenshot", str(person.folder / "world.png"), "--script", str(script), "--size", "800x600"]
        done = person.run("ui", *arguments, "--theme", "light", "--scale", "1.5")
        assert (done.returncode, done.stderr) == (0, "")
        (command,) = asked_for
        assert command[:6] == [sys.executable, "-P", "-m", "a4ps.ui", "--home", str(person.home)]
        given = dict(zip(command[6::2], command[7::2], strict=True))
        assert given == {
            "--theme": "light", "--scale": "1.5", "--size": "800x600",
            "--screenshot": str(person.folder / "world.png"), "--script": str(script),
        }  # fmt: skip

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--size", "big"],
            ["--size", "10x10"],
            ["--size", "99999x800"],
            ["--size", "1x1x1"],
            ["--scale", "0"],
            ["--scale", "x"],
            ["--theme", "pink"],
            ["--script", "{folder}/missing.json", "--screenshot", "x.png"],
            ["--script", "{folder}/script.json"],
            ["--script", "{folder}/script.json", "--world", "desk", "--screenshot", "x.png"],
            ["--screenshot", "{folder}"],
        ],
        ids=" ".join,
    )
    def test_what_makes_no_sense_is_a_usage_error(self, arguments: list[str], person: Household) -> None:
        (person.folder / "script.json").write_text("{}")
        done = person.run("ui", *[each.format(folder=person.folder) for each in arguments])
        assert done.returncode == 2
        assert "→ a4ps ui --help" in done.stderr or "leave out" in done.stderr


@pytest.mark.slow
class TestItsEnd:
    """Of the process that runs it."""

    def test_its_exit_code_is_passed_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for code in (0, 1, 2):
            opens(monkeypatch, f"raise SystemExit({code})")
            assert window.run_window(Places(tmp_path, tmp_path), {}) == code

    def test_one_that_crashed_is_said_in_words(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opens(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        with pytest.raises(Unsupported, match="SIGSEGV"):
            window.run_window(Places(tmp_path, tmp_path), {})
        opens(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
        with pytest.raises(Stopped):
            window.run_window(Places(tmp_path, tmp_path), {})

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    @pytest.mark.parametrize("group", [False, True], ids=["sent to us", "of the terminal"])
    def test_whatever_ends_us_ends_the_window(self, how: signal.Signals, group: bool, tmp_path: Path) -> None:
        child = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
        code = (
            "import sys\nfrom a4ps.cli import window\nfrom a4ps.errors import Stopped\nfrom pathlib import Path\n"
            f"window.window_command = lambda *_: [sys.executable, '-I', '-c', {child!r}]\n"
            "try:\n    window.run_window(None, {})\nexcept Stopped: sys.exit(130)\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        (os.killpg if group else os.kill)(parent.pid, how)
        assert parent.wait(30) == 130
        assert parent.stdout.read() == b"", "nobody has the child's stdout open any more"
        parent.stdout.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
