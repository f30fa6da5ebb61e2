"""`a4ps image` as a program: what it prints and writes, what it refuses and with which exit code."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.protocol.objects import OBJECTS
from tests.doubles.household import Household, at_terminal, ollama_server, read_until

pytestmark = pytest.mark.slow

FOUR = ["ALFRED", "BABS", "BRICK", "ROBIN"]


@pytest.fixture
def person(tmp_path: Path) -> Household:
    """Somebody who has asked one question."""
    person = Household(tmp_path)
    person.json("ask", "Tea or coffee in the morning?")
    return person


def keys_of(person: Household) -> KeyFolder:
    return KeyFolder(person.folder / ".local" / "state" / "a4ps" / "keys")


def change_something(person: Household, mood: str = "calm") -> int:
    """The number of a new change of BRICK, made by a program of its own."""
    person.json("down")
    with ProtoManager.open(person.home / "image.a4ps", keys=keys_of(person)) as manager:
        with manager.transaction(reason=f"be {mood}") as tx:
            tx.edit("BRICK").state["mood"] = mood
        return manager.history("BRICK")[-1].generation


def seen(person: Household, name: str, *arguments: str, expect: int = 0) -> Any:
    """What `a4ps image NAME --json` prints, held to docs/cli.md."""
    value = person.json("image", name, *arguments, expect=expect)
    TypeAdapter(OBJECTS[f"image {name}" if expect in (0, 4) else "error"]).validate_python(
        value, strict=True, extra="forbid"
    )
    return value


def test_verify_tells_what_was_checked(person: Household) -> None:
    value = seen(person, "verify", "--deep")
    assert (value["ok"], value["deep"], value["faults"]) == (True, True, [])
    done = person.run("image", "verify")
    assert done.returncode == 0
    assert "as they were stored" in done.stdout


def test_verify_of_a_damaged_image_ends_with_4(person: Household) -> None:
    """One that opens, since the damage lies before the newest commits; and one that does not."""
    for number in range(70):
        change_something(person, str(number))
    harm(person, "UPDATE rows SET body = zeroblob(length(body)) WHERE place = (SELECT min(place) FROM rows)")
    value = seen(person, "verify", "--deep", expect=4)
    assert not value["ok"]
    assert value["faults"]
    done = person.run("image", "verify", "--deep")
    assert done.returncode == 4
    assert "a4ps image restore" in done.stdout
    harm(person, "UPDATE rows SET body = zeroblob(length(body))")
    assert person.json("image", "verify", expect=4)["error"]["kind"] == "integrity_error"


def harm(person: Household, statement: str) -> None:
    person.json("down")
    connection = sqlite3.connect(person.home / "image.a4ps")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_history_diff_and_revert(person: Household) -> None:
    change = change_something(person)
    everything = seen(person, "history")["changes"]
    assert sorted(each["proto"] for each in everything[:4]) == FOUR
    assert seen(person, "history", "BRICK")["changes"][-1] == everything[-1]
    assert everything[-1]["reason"] == "be calm"
    assert seen(person, "diff", str(change)) == {
        "change": change,
        "differences": [{"proto": "BRICK", "part": "slot", "name": "mood", "before": None, "after": "'calm'"}],
    }
    assert "+ 'calm'" in person.run("image", "diff", str(change)).stdout
    assert f"{change} " in person.run("image", "history", "BRICK").stdout
    value = seen(person, "revert", str(change), "--reason", "no")
    assert value["reverted"] == change
    assert value["changes"][0]["reason"] == "no"
    assert seen(person, "diff", str(value["changes"][0]["change"]))["differences"][0]["after"] is None


def test_what_others_wrote_cannot_drive_the_terminal(person: Household) -> None:
    change = change_something(person, "\x1b]0;owned\x07\n1 fake line")
    for arguments in (("history", "BRICK"), ("diff", str(change))):
        done = person.run("image", *arguments)
        assert "\x1b" not in done.stdout
        assert "\n1 fake" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (("history", "NOBODY"), 1, "unknown_proto"),
        (("diff", "999"), 1, "unknown_proto"),
        (("revert", "999"), 1, "unknown_proto"),
        (("revert", "0"), 2, "usage_error"),
        (("diff", "x"), 2, "usage_error"),
        (("load", "/nowhere/file"), 1, "storage_failed"),
        (("import", "/nowhere/folder"), 1, "caller_error"),
        (("restore", "/nowhere/file"), 1, "caller_error"),
        (("import", "--salvage", "/nowhere/file"), 1, "caller_error"),
        (("import", "--salvage", "/"), 1, "caller_error"),
        (("import", "--salvage", __file__), 4, "integrity_error"),
        (("restore", __file__), 4, "integrity_error"),
        (("load", __file__), 4, "integrity_error"),
        (("save", "/proc/no"), 1, "storage_failed"),
        (("backup", "/proc/no"), 1, "storage_failed"),
        (("export", "/proc/no"), 1, "storage_failed"),
    ],
)
def test_what_cannot_be_done_says_why_and_what_next(
    person: Household, arguments: tuple[str, ...], code: int, kind: str
) -> None:
    error = person.json("image", *arguments, expect=code)["error"]
    assert error["kind"] == kind
    assert error["message"]
    assert error["next"]
    assert seen(person, "verify", "--deep")["ok"]


@pytest.mark.parametrize(
    "arguments",
    [
        *(("verify",), ("history",), ("diff", "1"), ("revert", "1"), ("backup", "b"), ("save", "s"), ("export", "e")),
        *(("import", "nowhere"), ("import", "--salvage", "nowhere"), ("restore", "nowhere")),
    ],
)
def test_no_image_is_made_where_there_is_none(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    person = Household(tmp_path)
    assert person.json("image", *arguments, expect=1)["error"]["kind"] == "caller_error"
    assert not (person.home / "image.a4ps").exists()


def test_what_cannot_be_loaded_makes_no_image(person: Household, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    person.json("image", "load", __file__, "--home", str(elsewhere), expect=4)
    assert not elsewhere.exists()


def test_backup_and_restore(person: Household, tmp_path: Path) -> None:
    """An older state comes back, opens, says that it was restored, and the newer one is kept."""
    backup = tmp_path / "backup.a4ps"
    assert seen(person, "backup", str(backup))["file"] == str(backup)
    assert person.json("image", "backup", str(backup), expect=1)["error"]["kind"] == "caller_error"
    change = change_something(person)
    value = seen(person, "restore", str(backup))
    assert Path(value["kept"]).parent == person.home
    assert "mood" not in str(seen(person, "history")["changes"][-1])
    assert seen(person, "verify", "--deep")["ok"]
    done = person.run("image", "restore", value["kept"])
    assert done.returncode == 0
    assert "What was there before" in done.stdout
    assert seen(person, "diff", str(change))["differences"]


def test_an_image_that_was_copied_back_by_hand_is_restored(person: Household, tmp_path: Path) -> None:
    """Exit 4 says what is wrong; restoring the same file records the step back in time."""
    seen(person, "backup", str(tmp_path / "backup"))
    change_something(person)
    person.json("down")
    shutil.copyfile(tmp_path / "backup", person.home / "image.a4ps")
    error = person.json("image", "verify", expect=4)["error"]
    assert "a4ps image restore" in error["next"]
    seen(person, "restore", str(tmp_path / "backup"))
    assert person.json("ask", "--turn", "1")["turn_id"] == "1"


def test_save_and_load(person: Household, tmp_path: Path) -> None:
    assert seen(person, "save", str(tmp_path / "saved")) == {"path": str(tmp_path / "saved"), "protos": FOUR}
    change_something(person)
    person.json("ask", "And in the evening?")
    value = seen(person, "load", str(tmp_path / "saved"))
    assert value["protos"] == FOUR
    assert Path(value["kept"]).exists()
    assert person.json("ask", "--turn", "2", expect=1)["error"]["kind"] == "no_such_turn"
    assert person.json("ask", "And at noon?")["turn_id"] == "2"


def test_a_strangers_file_is_refused_and_their_export_imported(person: Household, tmp_path: Path) -> None:
    stranger = Household(tmp_path / "stranger")
    stranger.folder.mkdir()
    stranger.json("ask", "What is a hedge?")
    stranger.json("image", "save", str(tmp_path / "saved"))
    error = person.json("image", "load", str(tmp_path / "saved"), expect=4)["error"]
    assert error["kind"] == "key_lost"
    assert "a4ps image import" in error["next"]
    seen(stranger, "export", str(tmp_path / "texts"))
    value = seen(person, "import", str(tmp_path / "texts"))
    assert value["protos"] == FOUR
    assert person.json("ask", "--turn", "1")["question"] == "What is a hedge?"


def test_loading_makes_an_image_where_there_is_none(person: Household, tmp_path: Path) -> None:
    seen(person, "save", str(tmp_path / "saved"))
    elsewhere = str(tmp_path / "elsewhere")
    value = seen(person, "load", str(tmp_path / "saved"), "--home", elsewhere)
    assert (value["kept"], value["image"]) == (None, f"{elsewhere}/image.a4ps")
    assert person.json("ask", "--turn", "1", "--home", elsewhere)["turn_id"] == "1"


def test_an_image_whose_key_is_lost_is_salvaged(person: Household, tmp_path: Path) -> None:
    """In its own place: the command that the error names, and then a question that recalls what was said before."""
    change_something(person)
    person.json("down")
    shutil.rmtree(keys_of(person).path)
    error = person.json("image", "verify", expect=4)["error"]
    assert (error["kind"], "a4ps image import --salvage" in error["next"]) == ("key_lost", True)
    image = person.home / "image.a4ps"
    value = seen(person, "import", "--salvage", str(image))
    assert (value["image"], value["protos"]) == (str(image), FOUR)
    rows = value["salvaged"].pop("rows")
    assert value["salvaged"] == {"turns": 1, "others": 0, "rows_skipped": 0, "lost": []}
    assert rows >= 7
    assert Path(value["kept"]).parent == person.home
    assert seen(person, "history", "BRICK")["changes"][-1]["act"] == "install"
    assert person.json("ask", "--turn", "1")["question"] == "Tea or coffee in the morning?"
    assert "coffee" in person.json("ask", "What did I ask before?")["answer"]
    assert seen(person, "verify", "--deep")["ok"]


def test_salvage_tells_a_person_what_came_and_that_nothing_vouches_for_it(person: Household, tmp_path: Path) -> None:
    harm(person, "UPDATE rows SET body = zeroblob(5) WHERE kind = 'reply'")
    done = person.run("image", "import", "--salvage", str(person.home / "image.a4ps"), "--home", str(tmp_path / "new"))
    assert done.returncode == 0
    assert "verified by nothing: 4 Protos, 1 turns and 0 other records; 1 rows could not be read" in done.stdout
    assert "define it anew" in done.stdout
    assert (tmp_path / "new" / "image.a4ps").exists()


def test_a_whole_image_whose_key_is_here_is_left_to_restore(person: Household, tmp_path: Path) -> None:
    seen(person, "backup", str(tmp_path / "backup"))
    for file in (tmp_path / "backup", person.home / "image.a4ps"):
        error = person.json("image", "import", "--salvage", str(file), expect=1)["error"]
        assert "a4ps image restore" in error["next"]
    assert seen(person, "verify", "--deep")["ok"]


@pytest.mark.parametrize("name", ["restore", "load", "import"])
def test_a_person_is_asked_before_anything_is_replaced(person: Household, name: str, tmp_path: Path) -> None:
    """No is the default, and leaves everything; --yes does not ask."""
    source = tmp_path / "source"
    person.json("image", {"restore": "backup", "load": "save", "import": "export"}[name], str(source))
    change = change_something(person)
    with at_terminal(person, "image", name, str(source)) as (terminal, process):
        terminal.wait_for("[y/N]")
        terminal.type("\n")
        terminal.rest()
        assert process.wait(30) == 130
    assert seen(person, "history", "BRICK")["changes"][-1]["change"] == change
    with at_terminal(person, "image", name, str(source), "--yes") as (terminal, process):
        assert "before" in terminal.rest()
        assert process.wait(30) == 0
    assert seen(person, "history", "BRICK")["changes"][-1]["reason"] != "be calm"


def test_a_person_is_asked_before_a_salvage(person: Household) -> None:
    person.json("down")
    image = person.home / "image.a4ps"
    before = image.read_bytes()
    with at_terminal(person, "image", "import", "--salvage", str(image)) as (terminal, process):
        assert "unverified" in terminal.wait_for("[y/N]")
        terminal.type("\n")
        terminal.rest()
        assert process.wait(30) == 130
    assert image.read_bytes() == before


def test_an_image_in_use_is_not_touched(person: Household, tmp_path: Path) -> None:
    person.json("image", "backup", str(tmp_path / "backup"))
    person.json("down")
    with ProtoManager.open(person.home / "image.a4ps", keys=keys_of(person)):
        done = person.run_apart("image", "restore", str(tmp_path / "backup"))
        assert done.returncode == 1
        assert "is open in process" in done.stderr


def test_a_restore_ends_the_backend_and_says_so(person: Household, tmp_path: Path) -> None:
    """One that passes without a word, as the next command starts another; one that was to stay with how to have it again."""
    backup = str(tmp_path / "backup")
    person.json("image", "backup", backup)
    done = person.run("image", "restore", backup)
    assert (done.returncode, done.stderr) == (0, "")
    person.json("down")
    up = person.start("up", "--headless")
    read_until(up, "A4PS is up")
    assert person.run("image", "restore", "/nowhere/file").returncode == 1
    assert person.run("status").returncode == 0  # nothing was to be restored, so it still runs
    done = person.run("image", "restore", backup)
    assert done.returncode == 0
    assert "a4ps up" in done.stderr
    up.communicate(timeout=30)
    assert up.returncode == 0
    assert person.json("ask", "--turn", "1")["turn_id"] == "1"


def test_nothing_is_replaced_under_a_turn(person: Household, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup, saved = str(tmp_path / "backup"), str(tmp_path / "saved")
    person.json("image", "backup", backup)
    person.json("image", "save", saved)
    monkeypatch.setattr("a4ps.cli.alone._WAIT_S", 0.1)
    with ollama_server("--delay-ms", "50") as url:
        person.environ["OLLAMA_HOST"] = url
        asking = person.start("ask", "Should the greenhouse face south or west?")
        read_until(asking, "ROBIN")
        error = person.json("image", "load", saved, expect=1)["error"]
        assert (error["kind"], "turn is under way" in error["message"]) == ("backend_busy", True)
        error = person.json("image", "restore", backup, expect=1)["error"]
        assert (error["kind"], "a4ps down" in error["next"]) == ("backend_busy", True)
        out, _ = asking.communicate(timeout=60)
    assert asking.returncode == 0
    assert "ALFRED · answer" in out.decode()


def test_a_question_after_a_load_is_answered_from_what_was_loaded(person: Household, tmp_path: Path) -> None:
    """In one backend, whose society was open over what was there before; open turns are those of the new content."""
    other = Household(tmp_path / "other")
    other.folder.mkdir()
    other.json("ask", "Which pump fits a rain barrel of 300 litres?")
    other.json("image", "export", str(tmp_path / "texts"))
    pid = person.json("status")["backend"]["pid"]
    change_nothing = person.json("ask", "What did I ask before?")
    assert [memory["id"] for memory in change_nothing["memories_used"]] == ["1"]
    person.json("image", "import", str(tmp_path / "texts"))
    asked = person.json("ask", "What did I ask before?")
    assert asked["turn_id"] == "2"
    assert ["pump" in memory["text"] for memory in asked["memories_used"]] == [True]
    status = person.json("status")["backend"]
    assert (status["pid"], status["turns"]["open"]) == (pid, 0)


def test_settings_that_cannot_be_read_do_not_keep_an_image_from_being_checked(person: Household) -> None:
    """By the backend that runs, and where none does."""
    (person.home / "a4ps.toml").write_text("nonsense = [")
    assert seen(person, "verify")["ok"]
    person.json("down")
    assert seen(person, "verify", "--deep")["ok"]
    assert person.json("image", "diff", "999", expect=1)["error"]["kind"] == "unknown_proto"
    assert person.run("status").returncode == 1
