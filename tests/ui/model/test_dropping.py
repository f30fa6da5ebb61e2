import pytest

from a4ps.ui.model.dropping import (
    HUGE_BYTES,
    LARGE_BYTES,
    Refuse,
    Remember,
    RunTool,
    dropped_file,
    dropped_on,
    in_words,
)
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.morph import Morph, World

WORLD = (
    World()
    .add(Morph("gpx", "tool", Rect(100, 100, 140, 40), {"name": "gpx_points"}))
    .add(Morph("robin", "persona", Rect(400, 100, 112, 112), {"name": "ROBIN"}))
    .add(Morph("note", "note", Rect(700, 100, 100, 50), {"text": "x"}))
)


def test_a_persona_and_a_tool_mean_the_same_whichever_is_dropped() -> None:
    assert dropped_on(WORLD, "robin", Point(150, 120)) == RunTool("gpx_points", "ROBIN")
    assert dropped_on(WORLD, "gpx", Point(456, 156)) == RunTool("gpx_points", "ROBIN")


def test_other_drops_mean_no_more_than_lying_there() -> None:
    assert dropped_on(WORLD, "robin", Point(750, 120)) is None
    assert dropped_on(WORLD, "robin", Point(1000, 900)) is None
    assert dropped_on(WORLD, "note", Point(150, 120)) is None


def test_a_file_is_remembered_and_one_on_a_persona_is_given_to_it() -> None:
    dropped = dropped_file(WORLD, "/home/a/notes.md", Point(5, 900), what="file", size_bytes=3_000)
    assert dropped == Remember("/home/a/notes.md")
    on_robin = dropped_file(WORLD, "/home/a/notes.md", Point(456, 156), what="file", size_bytes=3_000)
    assert on_robin == Remember("/home/a/notes.md", persona="ROBIN")


@pytest.mark.parametrize(
    ("what", "size", "words"),
    [("file", LARGE_BYTES + 200_000, "notes.md is 1.2 MB. Remember all of it?"),
     ("folder", 40_000, "Remember all texts in notes.md, 40 kB?")],
)  # fmt: skip
def test_much_is_asked_about_first_and_says_how_much(what: str, size: int, words: str) -> None:
    dropped = dropped_file(WORLD, "/home/a/notes.md/", Point(5, 900), what=what, size_bytes=size)  # type: ignore[arg-type]
    assert isinstance(dropped, Remember)
    assert dropped.ask == words


@pytest.mark.parametrize(
    ("what", "size"), [("missing", 0), ("other", 0), ("file", 0), ("file", HUGE_BYTES + 1), ("folder", HUGE_BYTES + 1)]
)
def test_what_cannot_be_remembered_is_refused_with_what_can_be_done(what: str, size: int) -> None:
    dropped = dropped_file(WORLD, "/dev/x", Point(5, 900), what=what, size_bytes=size)  # type: ignore[arg-type]
    assert isinstance(dropped, Refuse)
    assert dropped.text.startswith("x ")
    assert dropped.next_step


def test_sizes_are_words() -> None:
    assert [in_words(each) for each in (0, 999, 1000, 12_345, 4_200_000, 3_000_000_000)] == [
        "0 bytes", "999 bytes", "1.0 kB", "12 kB", "4.2 MB", "3.0 GB",
    ]  # fmt: skip
