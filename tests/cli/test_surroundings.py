"""The command line in surroundings that are not as usual: encodings, closed streams, a log that cannot be written."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from a4ps.kernel import wiring
from a4ps.kernel.backend import Backend
from a4ps.settings import Settings
from tests.doubles.household import Household, ollama_server

pytestmark = pytest.mark.slow

QUESTION = "I have two free weekends: should I learn Rust or Go to write a command-line tool?"


@pytest.fixture
def person(tmp_path: Path) -> Household:
    return Household(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestOutput:
    def test_characters_that_the_output_lacks_harm_nobody(self, person: Household) -> None:
        person.environ["PYTHONIOENCODING"] = "latin-1"
        for arguments in (("ask", "Warum ░ “so”, 日本?"), ("ask", "--turn", "1"), ("doctor",), ("aks",)):
            done = subprocess.run(person.command(arguments), env=person.env, capture_output=True, check=False)
            assert b"UnicodeEncodeError" not in done.stderr + done.stdout
            assert b"something went wrong" not in done.stderr

    def test_json_loses_no_character_to_the_encoding(self, person: Household) -> None:
        person.environ["PYTHONIOENCODING"] = "latin-1"
        done = subprocess.run(
            person.command(["ask", "--json", "日本 “hello”?"]), env=person.env, capture_output=True, check=False
        )
        assert json.loads(done.stdout.decode("ascii"))["question"] == "日本 “hello”?"

    def test_a_closed_output_harms_nobody(self, person: Household) -> None:
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *person.command(["ask", "hello"])],
            env=person.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert person.run("ask", "--turn", "1").returncode == 0

    def test_a_servers_words_cannot_drive_the_terminal(self, person: Household) -> None:
        person.home.mkdir(parents=True)
        (person.home / "a4ps.toml").write_text('ollama_host = "x\\u001b]0;owned\\u0007\\u202e"')
        for arguments in (("config", "show"), ("ask", QUESTION), ("models", "pull"), ("doctor",)):
            done = person.run(*arguments)
            assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout + done.stderr)


class TestLog:
    @pytest.fixture(params=["folder is a file", "log is a folder"])
    def unwritable(self, person: Household, request: pytest.FixtureRequest) -> Household:
        state = person.folder / ".local" / "state" / "a4ps"
        if request.param == "log is a folder":
            (state / "a4ps.log").mkdir(parents=True)
        else:
            state.parent.mkdir(parents=True)
            state.write_text("")
        person.environ["OLLAMA_HOST"] = "127.0.0.1:9"
        return person

    def test_one_that_cannot_be_written_says_nothing_and_is_not_named(self, unwritable: Household) -> None:
        done = unwritable.run("models", "pull")
        assert done.returncode == 1
        assert "Logging error" not in done.stderr
        assert "Traceback" not in done.stderr
        assert "log:" not in done.stderr

    def test_what_libraries_warn_of_goes_there_and_not_to_the_terminal(
        self, person: Household, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def examine(*_: object) -> None:
            logging.getLogger("some.library").error("it broke", exc_info=ValueError("inner"))
            raise RuntimeError("outer")

        monkeypatch.setattr("a4ps.cli.doctor.examine", examine)
        done = person.run("doctor")
        assert "it broke" not in done.stderr
        log = (person.folder / ".local" / "state" / "a4ps" / "a4ps.log").read_text()
        assert "it broke" in log
        assert "inner" in log


class TestPrivacy:
    def test_what_is_made_is_its_owners_alone(self, person: Household) -> None:
        person.run("ask", "hello")
        person.run("config", "set", "rounds_max", "3")
        assert mode(person.home) == 0o700
        made = [path for path in person.folder.rglob("*") if path.name != ".local"]
        assert made
        assert {oct(mode(path) & 0o077) for path in made} == {"0o0"}


class TestDiskForModels:
    class Usage(NamedTuple):
        free: float

    @pytest.fixture
    def measured(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The folders whose disk was measured; every disk is full."""
        folders: list[str] = []
        real = shutil.disk_usage

        def usage(path: Any) -> TestDiskForModels.Usage:
            real(path)
            folders.append(str(path))
            return TestDiskForModels.Usage(0.0)

        monkeypatch.setattr(shutil, "disk_usage", usage)
        return folders

    def test_the_disk_is_that_of_the_servers_models(self, person: Household, measured: list[str]) -> None:
        with ollama_server("--missing-models") as url:
            person.environ |= {"OLLAMA_HOST": url, "OLLAMA_MODELS": str(person.folder / "not" / "yet")}
            value = person.json("models", "pull", expect=1)
        assert value["error"]["kind"] == "disk_full"
        assert measured == [str(person.folder)]

    def test_a_server_elsewhere_has_a_disk_of_its_own(self) -> None:
        assert wiring.models_folder(Settings.model_validate({"ollama_host": "192.0.2.7"}), {}) is None

    def test_a_server_elsewhere_is_told_of_at_every_start(
        self, person: Household, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the words of a question go is said before the question is, and by the doctor."""

        async def notice(url: str) -> str:
            backend = await Backend.open(wiring.environment(str(person.home), {"OLLAMA_HOST": url}), fleeting=True)
            try:
                return (await backend.kernel()).notice
            finally:
                await backend.aclose()

        with ollama_server() as url:
            person.environ |= {"OLLAMA_HOST": url}
            with monkeypatch.context() as patched:
                patched.setattr(wiring, "is_loopback", lambda url: False)
                patched.setenv("XDG_STATE_HOME", str(person.folder / ".local" / "state"))
                assert f"Your words go to Ollama at {url}" in asyncio.run(notice(url))
                (engine,) = [one for one in person.json("doctor")["checks"] if one["name"] == "engine"]
                assert (engine["verdict"], "beyond this machine" in engine["detail"]) == ("note", True)
            assert "Your words go" not in person.run("ask", "hello").stdout

    def test_the_users_folder_goes_before_the_services(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        home, service = tmp_path / "home", tmp_path / "ollama" / ".ollama" / "models"
        monkeypatch.setattr(wiring, "SERVICE_MODELS", service)
        monkeypatch.setenv("HOME", str(home))
        settings = Settings.model_validate({})
        assert wiring.models_folder(settings, {}) == home / ".ollama" / "models"
        service.parents[1].mkdir()
        assert wiring.models_folder(settings, {}) == service
        (home / ".ollama" / "models").mkdir(parents=True)
        assert wiring.models_folder(settings, {}) == home / ".ollama" / "models"
        assert wiring.models_folder(settings, {"OLLAMA_MODELS": "/x"}) == Path("/x")


def test_a_model_is_the_same_with_and_without_latest(person: Household) -> None:
    with ollama_server("--models", "tiny:latest") as url:
        models = ",".join(f"{name}=Tiny" for name in ("ALFRED", "BRICK", "ROBIN", "BABS"))
        person.environ |= {"OLLAMA_HOST": url, "A4PS_MODELS": models}
        assert "not installed" not in person.run("models", "list").stdout.split("duo")[0]
        assert person.json("models", "pull") == {"pulled": []}


class TestConfigAlone:
    def test_it_shows(self, person: Household) -> None:
        assert person.run("config").stdout == person.run("config", "show").stdout
        assert person.json("config") == person.json("config", "show")

    def test_its_options_count_before_and_after_the_command(self, person: Household, tmp_path: Path) -> None:
        other = tmp_path / "other"
        person.run("config", "set", "rounds_max", "3", "--home", str(other))
        for arguments in (("--home", str(other)), ("--home", str(other), "show"), ("show", "--home", str(other))):
            assert person.json("config", *arguments)["settings"]["rounds_max"]["value"] == 3
        assert json.loads(person.run("config", "--json", "show").stdout)["settings"]["rounds_max"]["value"] == 2


@pytest.mark.parametrize("number", ["99999999999999999999", "9" * 5000, "0", "007", ""])
def test_last_takes_any_number(person: Household, number: str) -> None:
    done = person.run("chat", stdin=f"hello\n/last {number}\n")
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("   1  " in done.stdout) is (number != "0")


def test_ctrl_c_is_one_kind_of_error_everywhere(person: Household, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("a4ps.cli.doctor.examine", interrupted)
    value = person.json("doctor", expect=130)
    assert value["error"]["kind"] == "stopped"


def test_a_history_that_others_could_read_is_tightened(person: Household) -> None:
    from a4ps.cli.prompting import history

    file = person.folder / "chat_history"
    file.write_text("")
    os.chmod(file, 0o644)  # noqa: PTH101
    history(file)
    assert mode(file) == 0o600


def test_an_answer_alone_cannot_drive_the_terminal_either(person: Household, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a4ps.cli.ask.plain", lambda _: "made plain")
    person.run("ask", "hello")
    assert person.run("ask", "-q", "--turn", "1").stdout == "made plain\n"
