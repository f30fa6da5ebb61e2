"""Files beside the image as holders of words: what goes, what stays as it was to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from a4ps.errors import StorageFailed
from a4ps.kernel.held_files import LogTexts, TypedHistory
from a4ps.society.checkpoint_texts import CheckpointTexts
from a4ps.sought import BAR, Sought
from tests.doubles.lived_in import checkpoint, places_in

SOUGHT = Sought(texts=("secret words",), whole=("hello",))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\n# t\n+one\n\n# t\n+my SECRET words\n\n# t\n+two\n", "\n# t\n+one\n\n# t\n+two\n"),
        ("\n# t\n+hello\n\n# t\n+hello you\n", "\n# t\n+hello you\n"),
        ("\n# t\n+/all hello\n", ""),
        ("\n# t\n+two\n+lines of\n+secret words\n\n# t\n+x\n", "\n# t\n+x\n"),
        ("+no time\n+secret words", ""),
        ("torn secret words\n\n# t\n+x\n", "\n# t\n+x\n"),
        ("\n# t\n+\udcff\n\n# t\n+secret words\n", "\n# t\n+\udcff\n"),
        ("\n# t\n+nothing of it\n", "\n# t\n+nothing of it\n"),
        ("", ""),
    ],
)
def test_what_was_typed_goes_entry_by_entry(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / "chat_history"
    file.write_bytes(before.encode("utf-8", "surrogateescape"))
    holder = TypedHistory(file)
    assert bool(holder.find(SOUGHT)) == (before != after)
    holder.remove(SOUGHT)
    assert file.read_bytes() == after.encode("utf-8", "surrogateescape")
    assert holder.find(SOUGHT) == []
    assert [path.name for path in tmp_path.iterdir()] == ["chat_history"]


def test_a_history_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    holder = TypedHistory(tmp_path / "chat_history")
    assert holder.find(SOUGHT) == []
    holder.remove(SOUGHT)
    assert list(tmp_path.iterdir()) == []


def test_the_log_is_barred_in_place(tmp_path: Path) -> None:
    """Whoever has it open goes on writing to it."""
    log = tmp_path / "a4ps.log"
    log.write_text("one\nSecret Words and more\n")
    with log.open("a") as writing:
        LogTexts(log).remove(SOUGHT)
        writing.write("two\n")
    assert log.read_text() == f"one\n{BAR} and more\ntwo\n"


def test_checkpoints_go_where_one_holds_it_or_is_of_the_turn(tmp_path: Path) -> None:
    places = places_in(tmp_path)
    holder = CheckpointTexts(places.checkpoints)
    assert holder.find(SOUGHT) == []
    places.home.mkdir()
    checkpoint(places, "7", b"x" * 10_000)
    assert holder.find(SOUGHT) == []
    holder.remove(SOUGHT)
    assert places.checkpoints.exists()
    assert holder.find(Sought(things=(("turn", "7"),)))
    checkpoint(places, "8", b"x" * 4_000 + b"secret words")
    assert holder.find(SOUGHT)
    places.checkpoints.with_suffix(".damaged").write_text("older")
    holder.remove(SOUGHT)
    assert list(places.checkpoints.parent.iterdir()) == []


def test_a_checkpoint_file_that_is_damaged_goes(tmp_path: Path) -> None:
    places = places_in(tmp_path)
    places.checkpoints.parent.mkdir(parents=True)
    places.checkpoints.write_bytes(b"SQLite format 3\x00" + b"\xff" * 3000)
    assert CheckpointTexts(places.checkpoints).find(SOUGHT)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "a4ps.log"
    log.write_text("secret words")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageFailed, match=r"a4ps\.log cannot be read"):
        LogTexts(log).remove(SOUGHT)
