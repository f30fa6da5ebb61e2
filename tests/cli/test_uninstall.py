"""`a4ps uninstall` as a person types it: with a backend that runs, with nobody there, and twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from a4ps.cli.uninstall import _program
from tests.doubles.household import Household, at_terminal
from tests.kernel.test_autostart import SHIPPED

pytestmark = pytest.mark.slow


@pytest.fixture
def person(tmp_path: Path) -> Household:
    person = Household(tmp_path / "me")
    person.folder.mkdir()
    return person


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def systemd(person: Household) -> Path:
    """A `systemctl` that writes down what it is asked, and a unit that is enabled. Returns the note."""
    note = person.folder.parent / "asked"
    program = person.folder.parent / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >>{note}\n')
    program.chmod(0o755)
    person.environ["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    unit = person.folder / ".config" / "systemd" / "user" / "a4ps.service"
    (unit.parent / "default.target.wants").mkdir(parents=True)
    unit.symlink_to(SHIPPED)
    (unit.parent / "default.target.wants" / unit.name).symlink_to(unit)
    return note


def test_ends_the_backend_keeps_the_image_and_says_where(person: Household) -> None:
    person.run("ask", "-q", "hello")
    assert person.run("status").returncode == 0
    done = person.run("uninstall", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{person.home / 'image.a4ps'}: the image" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("To remove the program: ")
    assert person.run("status").returncode == 1
    assert "a4ps.log" not in left(person.folder)
    assert "hello" in person.run("ask", "--turn", "1").stdout  # installed anew, with nothing lost


def test_everything_leaves_no_trace_and_doing_it_again_finds_nothing(person: Household) -> None:
    person.run("ask", "-q", "hello")
    assert person.json("uninstall", "--everything", "--yes")["done"]
    assert left(person.folder) == []
    assert left(person.run_base.parent) == []
    again = person.run("uninstall", "--everything", "--yes")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "There is nothing to remove.")
    assert person.json("uninstall", "--everything", "--yes")["done"] is False
    assert left(person.folder) == []


def test_a_text_is_written_before_anything_goes(person: Household, tmp_path: Path) -> None:
    person.run("ask", "-q", "hello")
    found = person.json("uninstall", "--export", str(tmp_path / "text"), "--everything", "--yes")
    assert found["exported"] == str(tmp_path / "text")
    assert "hello" in (tmp_path / "text" / "turns.jsonl").read_text()
    assert left(person.folder) == []


def test_where_the_text_cannot_be_written_nothing_goes(person: Household, tmp_path: Path) -> None:
    person.run("ask", "-q", "hello")
    (tmp_path / "text").write_text("a file")
    done = person.run("uninstall", "--export", str(tmp_path / "text"), "--everything", "--yes")
    assert done.returncode != 0
    assert "hello" in person.run("ask", "--turn", "1").stdout


@pytest.mark.parametrize("inside", [".local/share/a4ps/text", ".local/state/a4ps", ".local/share/a4ps"])
def test_the_text_is_not_written_into_what_goes(person: Household, inside: str) -> None:
    person.run("ask", "-q", "hello")
    assert person.json("uninstall", "--export", str(person.folder / inside), "--yes", expect=2)["error"]["kind"] == (
        "usage_error"
    )


def test_without_an_image_there_is_none_to_export(person: Household, tmp_path: Path) -> None:
    assert person.run("uninstall", "--export", str(tmp_path / "text"), "--yes").returncode == 2
    assert not (tmp_path / "text").exists()


def test_a_dry_run_changes_nothing_and_lets_the_backend_be(person: Household) -> None:
    person.run("ask", "-q", "hello")
    before = left(person.folder)
    found = person.json("uninstall", "--everything", "--dry-run")
    assert found["done"] is False
    assert {"image", "keys", "tokens", "run-time folder"} <= {each["what"] for each in found["removals"]}
    assert person.run("status").returncode == 0
    assert left(person.folder) == before


@pytest.mark.parametrize("options", [(), ("--everything",), ("--json",)])
def test_nothing_goes_unasked(person: Household, options: tuple[str, ...]) -> None:
    person.run("ask", "-q", "hello")
    before = left(person.folder)
    assert person.run("uninstall", *options).returncode == 2
    assert left(person.folder) == before


def test_keep_and_everything_contradict_each_other(person: Household) -> None:
    assert person.run("uninstall", "--keep", "--everything", "--yes").returncode == 2


@pytest.mark.parametrize(("answer", "code"), [("n\r", 1), ("y\r", 0)])
def test_a_person_is_asked(person: Household, answer: str, code: int) -> None:
    person.run("ask", "-q", "hello")
    with at_terminal(person, "uninstall", "--everything") as (terminal, process):
        terminal.wait_for("for good?")
        terminal.type(answer)
        rest = terminal.rest()
        assert (process.wait(60) == 0) is (code == 0), rest
    assert (person.home / "image.a4ps").exists() is (code == 1)


def test_systemd_is_told_before_and_after_and_the_unit_goes(person: Household) -> None:
    note = systemd(person)
    assert [each["what"] for each in person.json("uninstall", "--yes")["removals"]] == ["autostart"]
    assert note.read_text().splitlines() == ["--user disable --now a4ps.service", "--user daemon-reload"]
    assert left(person.folder) == []
    assert SHIPPED.exists()


def test_one_home_of_two_leaves_the_others_autostart_and_tokens(person: Household, tmp_path: Path) -> None:
    note = systemd(person)
    person.run("ask", "-q", "hello")
    person.run("ask", "-q", "hello", "--home", str(tmp_path / "other"))
    found = person.json("uninstall", "--everything", "--yes", "--home", str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()
    assert not note.exists()
    assert any(each["path"].endswith("a4ps.service") for each in found["kept"])
    assert person.run("status").returncode == 0  # its backend, with its tokens
    assert "hello" in person.run("ask", "--turn", "1").stdout


def test_a_home_with_files_of_somebody_keeps_them_and_names_them(person: Household, tmp_path: Path) -> None:
    home = tmp_path / "documents"
    home.mkdir()
    (home / "letter.txt").write_text("dear")
    person.run("ask", "-q", "hello", "--home", str(home))
    done = person.run("uninstall", "--everything", "--yes", "--home", str(home))
    assert f"{home / 'letter.txt'}: A4PS did not make it" in done.stdout
    assert left(home) == ["letter.txt"]


def test_a_program_that_has_the_image_open_keeps_all(person: Household) -> None:
    from a4ps.clock import SystemClock
    from a4ps.image.keys import KeyFolder
    from a4ps.image.store import Store

    keys = KeyFolder(person.folder / ".local" / "state" / "a4ps" / "keys")
    with Store.open(person.home / "image.a4ps", keys, SystemClock()):
        failed = person.run("uninstall", "--everything", "--yes", "--json")
        assert failed.returncode == 1
        assert json.loads(failed.stdout)["error"]["kind"] == "image_held"
    assert (person.home / "image.a4ps").exists()


@pytest.mark.parametrize(
    ("prefix", "says"),
    [("/x/pipx/venvs/a4ps", "pipx uninstall a4ps"), ("/x/uv/tools/a4ps", "uv tool uninstall a4ps"), ("/usr", "-m pip")],
)
def test_the_program_is_removed_as_it_was_installed(prefix: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", prefix)
    assert says in _program()


def test_a_checkout_is_removed_with_the_link_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a4ps" / ".venv").mkdir(parents=True)
    (tmp_path / "a4ps" / "start").touch()
    monkeypatch.setattr("sys.prefix", str(tmp_path / "a4ps" / ".venv"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _program() == f"rm -r {tmp_path}/a4ps"
    link = tmp_path / ".local" / "bin" / "a4ps"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "a4ps" / "start")
    assert _program() == f"rm -r {tmp_path}/a4ps {link}"
