"""What a granted tool writes in a turn is held back: it sees it, the world does not, and it comes out as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from a4ps.errors import ToolRefused
from a4ps.tools.granted_folders import HELD_BYTES, HELD_FILES, StagedFolders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "in").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    return tmp_path


@pytest.fixture
def held(folder: Path) -> StagedFolders:
    out = str(folder / "out")
    return StagedFolders((out, str(folder / "in")), (out,))


def everything(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_the_tool_sees_what_it_wrote_and_the_folder_does_not(folder: Path, held: StagedFolders) -> None:
    before = everything(folder)
    out = folder / "out"
    held.write_file(f"{out}/new.txt", "new")
    held.write_file(f"{out}//sub/./deep.txt", b"deep")
    held.write_file(f"{out}/old.txt", "newer")
    assert held.read_file(f"{out}/new.txt") == b"new"
    assert held.read_file(f"{out}/old.txt") == b"newer"
    assert held.list_files(str(out)) == ["new.txt", "old.txt", "sub/"]
    assert held.list_files(f"{out}/sub") == ["deep.txt"]
    assert everything(folder) == before
    assert [(Path(write.path).name, write.data, write.before) for write in held.writes] == [
        ("new.txt", b"new", None),
        ("deep.txt", b"deep", None),
        ("old.txt", b"newer", b"old"),
    ]


def test_a_file_that_is_written_twice_is_one_file_with_its_last_content(folder: Path, held: StagedFolders) -> None:
    held.write_file(f"{folder}/out/a", "1")
    held.write_file(f"{folder}/out/./a", "2")
    assert [(write.path, write.data) for write in held.writes] == [(f"{folder}/out/a", b"2")]


@pytest.mark.parametrize("path", ["in/x", "out/../x", "x", "out/sub", "out/none/x", "out/"])
def test_what_could_not_be_written_is_refused_at_once(folder: Path, held: StagedFolders, path: str) -> None:
    with pytest.raises(ToolRefused):
        held.write_file(f"{folder}/{path}", "x")
    assert held.writes == ()


def test_a_link_is_not_followed_now_or_later(folder: Path, held: StagedFolders) -> None:
    held.write_file(f"{folder}/out/a", "1")
    (folder / "out" / "a").symlink_to(folder / "in" / "a")
    with pytest.raises(ToolRefused):
        _ = held.writes


def test_no_more_is_held_than_a_person_can_look_at(folder: Path, held: StagedFolders) -> None:
    with pytest.raises(ToolRefused, match="in a turn"):
        held.write_file(f"{folder}/out/big", b"x" * (HELD_BYTES + 1))
    many = StagedFolders((str(folder / "out"),), (str(folder / "out"),))
    for number in range(HELD_FILES):
        many.write_file(f"{folder}/out/{number}", "x")
    with pytest.raises(ToolRefused, match="in a turn"):
        many.write_file(f"{folder}/out/more", "x")


def test_whether_it_has_seen_files_is_known(folder: Path, held: StagedFolders) -> None:
    held.write_file(f"{folder}/out/a", "1")
    assert not held.was_read
    held.list_files(f"{folder}/in")
    assert held.was_read
