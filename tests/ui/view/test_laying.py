"""What is decided of the view without Kivy: how blocks are laid out, who answers whom, and whether there is a screen."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import CallerError, Unsupported
from a4ps.ui.__main__ import main
from a4ps.ui.app import size_of
from a4ps.ui.model.blocks import (
    Act,
    Bar,
    Block,
    Button,
    Buttons,
    Code,
    Columns,
    Entry,
    Line,
    Mark,
    Marks,
    Plot,
    Rule,
    SideBySide,
    Span,
    Tabs,
)
from a4ps.ui.model.geometry import Point
from a4ps.ui.model.palette import DARK
from a4ps.ui.view.environment import check_screen, prepare
from a4ps.ui.view.fonts import FILES
from a4ps.ui.view.items import Words
from a4ps.ui.view.laying import Layout
from a4ps.ui.view.links import Link, links
from a4ps.ui.view.png import png
from a4ps.ui.view.wrapping import CHARS_MAX, wrapped
from tests.ui.view.mock_desk import society


class SixWide:
    """Every character is 6 px wide, a line 14 high."""

    def width(self, text: str, face: Any, size: int) -> float:
        return 6.0 * len(text)

    def height(self, face: Any, size: int) -> float:
        return 14.0

    def cut(self, text: str, face: Any, size: int, width: float) -> str:
        room = int(width // 6)
        return text if len(text) <= room else text[: max(0, room - 1)] + "…"


def layout() -> Layout:
    return Layout(SixWide(), DARK, 1.0, lambda entry: entry.text)


def measure(text: str, _: int) -> float:
    return 6.0 * len(text)


# Texts


@given(st.lists(st.text(max_size=80), max_size=4), st.integers(10, 400))
def test_wrapping_loses_nothing_but_spaces_and_stays_within_the_width(texts: list[str], width: int) -> None:
    lines = wrapped(texts, width, measure)
    shown = "".join(run.text for line in lines for run in line)
    assert "".join(shown.split()) == "".join("".join(texts).split())
    for line in lines:
        for run in line:
            assert run.x + 6 * len(run.text.rstrip()) <= max(width, 6) + 0.5, (run, width)
            assert run.text in texts[run.span] or "\n" not in run.text


def test_a_line_break_is_kept_and_a_long_word_broken() -> None:
    lines = wrapped(["one\n\ntwo", "x" * 30], 60, measure)
    assert ["".join(run.text for run in line) for line in lines] == ["one", "", "two", "x" * 10, "x" * 10, "x" * 10]


def test_of_a_megabyte_the_beginning_is_laid_out_and_the_rest_counted() -> None:
    lines = wrapped(["word " * 200_000], 300, measure)
    assert sum(len(run.text) for line in lines for run in line) < CHARS_MAX + 100
    assert "940,000 more characters" in "".join(run.text for run in lines[-1])


# Blocks

EVERY: list[Block] = [
    Line((Span("a line"), Span("that is pressed", "link", act=Act("press"))), indent=2, act=Act("line")),
    Columns((Span("one"), Span("two " * 30)), (0.3, 0.7), Act("row"), chosen=True),
    Tabs(("Slots", "Methods", "A long name of a tab"), "Slots", Act("tab")),
    Buttons((Button("one", Act("one")), Button("two", Act("two"), "bad")), Span("a note that is said beside them")),
    Entry("key", "text", Act("set"), "label", fault="why it was refused"),
    Entry("page", "text\nof two lines", Act("set"), "label", lines=4, mono=True),
    Code("one\ntwo\n" + "x" * 300, 98, (99,)),
    SideBySide(("old", "new"), (("a", "b"), (None, "c"), ("same", "same"))),
    Bar(0.5, "half"),
    Bar(None),
    Plot("load", "load", ((0.0, 1.0),)),
    Marks((Mark(0.0, "ok", Act("first")), Mark(1.0, "bad", Act("last"), large=True, chosen=True)), Act("scrub")),
    Rule(),
]


@pytest.mark.parametrize("block", EVERY, ids=lambda block: type(block).__name__)
@pytest.mark.parametrize("width", [60, 200, 460, 1200])
def test_what_a_block_consists_of_lies_within_it(block: Block, width: int) -> None:
    laid = layout().laid(block, width)
    assert laid.height > 0
    for item in laid.items:
        assert item.rect.y >= -1
        assert item.rect.y <= laid.height, item
        if isinstance(item, Words) and not item.slides:
            assert item.rect.x + 6 * len(item.text.rstrip()) <= max(width, 100) + 1, item
    for part in laid.parts:
        assert part.rect.bottom <= laid.height + 1


def test_a_press_within_a_line_is_the_words_and_beside_them_the_lines() -> None:
    laid = layout().laid(EVERY[0], 460)
    words = next(each for each in laid.items if isinstance(each, Words) and "pressed" in each.text)
    inner, outer = laid.part_at(words.rect.corner + Point(5, 5)), laid.part_at(Point(400, 8))
    assert inner is not None
    assert inner.act == Act("press")
    assert outer is not None
    assert outer.act == Act("line")


def test_a_button_that_is_not_enabled_is_no_part() -> None:
    laid = layout().laid(Buttons((Button("no", Act("no"), enabled=False), Button("yes", Act("yes")))), 300)
    assert [each.act for each in laid.parts] == [Act("yes")]


def test_an_entry_that_fills_takes_the_height_that_is_left() -> None:
    block = Entry("page", "", Act("set"), lines=2, fills=True)
    assert layout().laid(block, 300, 400).height == 400
    assert layout().laid(block, 300, 10).height > 30


# Lines between personas


def test_the_two_who_argue_are_joined_by_their_dissonance_and_the_others_by_whom_they_answer() -> None:
    found = {(each.one, each.other): each for each in links(society())}
    assert found["BRICK", "ROBIN"] == Link("BRICK", "ROBIN", active=True, dissonance=0.31)
    assert found["ALFRED", "BABS"] == Link("ALFRED", "BABS")
    assert set(found) == {("BRICK", "ROBIN"), ("ALFRED", "BRICK"), ("ALFRED", "ROBIN"), ("ALFRED", "BABS")}


def test_nobody_is_joined_before_the_first_turn() -> None:
    known = society()
    assert not links(replace(known, turn=type(known.turn)()))


# The window of the system


def test_a_picture_is_a_png_whose_first_row_is_the_upper_one() -> None:
    low, high = bytes([1, 2, 3] * 2), bytes([9, 8, 7] * 2)
    data = png(low + high, 2, 2)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    size = struct.unpack(">II", data[16:24])
    start = data.index(b"IDAT") + 4
    length = struct.unpack(">I", data[start - 8 : start - 4])[0]
    assert size == (2, 2)
    assert zlib.decompress(data[start : start + length]) == b"\0" + high + b"\0" + low


def test_without_a_screen_it_is_said_what_to_do() -> None:
    with pytest.raises(Unsupported, match="no screen") as refused:
        check_screen({}, "linux")
    assert "--screenshot" in refused.value.next_step
    check_screen({"DISPLAY": ":0"}, "linux")
    check_screen({"WAYLAND_DISPLAY": "wayland-0"}, "linux")
    check_screen({}, "darwin")


def test_the_program_without_a_screen_ends_with_one_line_and_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert main([]) == 1
    told = capsys.readouterr().err
    assert told.startswith("a4ps: there is no screen")
    assert "Traceback" not in told


def test_kivy_gets_no_files_of_the_users_and_no_arguments() -> None:
    environ = {"SDL_VIDEODRIVER": "x11"}
    prepare(environ, offscreen=True, folder="/somewhere")
    assert environ["KIVY_NO_ARGS"] == environ["KIVY_NO_CONFIG"] == environ["KIVY_NO_FILELOG"] == "1"
    assert (environ["SDL_VIDEODRIVER"], environ["KIVY_HOME"]) == ("offscreen", "/somewhere")


@pytest.mark.parametrize("text", ["", "800", "800x", "x600", "10x10", "99999x99999", "-800x600", "800x600x2"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CallerError):
        size_of(text)


def test_the_fonts_and_their_licence_are_shipped() -> None:
    from pathlib import Path

    assert all(Path(each).is_file() for each in FILES.values())
    assert (Path(FILES["sans"]).parent / "LICENSE").is_file()
