"""Where a text may run: by its author and its recorded promotion alone (I5, I10)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import PromotionRefused
from a4ps.governance.trust import (
    Level,
    Place,
    Trust,
    digest_of,
    hidden_character,
    level_named,
    need_readable,
    needs_promotion,
    place_of,
    place_of_text,
)

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
TEXT = "def f(self): return 1"
TEXTS = st.text(alphabet="abc\n \ud800é", max_size=4)
AUTHORS = st.sampled_from(["architect", "package", "ROBIN", "model:qwen", "import:architect", "Architect", ""])


def a_trust(text: str = TEXT, level: Level = Level.IN_PROCESS, **changed: Any) -> Trust:
    folders = ("/data",) if level is Level.GRANTED else ()
    fields = {"folders": folders, "by": "architect", "reason": "read", "at": AT, "text_author": "ROBIN", **changed}
    return Trust(**{"digest": digest_of(text), "level": level, **fields})


def test_a_text_of_a_model_begins_sandboxed_and_runs_where_it_was_promoted_to() -> None:
    assert place_of("ROBIN", TEXT, {}) == Place(Level.SANDBOXED)
    for level, folders in ((Level.SANDBOXED, ()), (Level.GRANTED, ("/data",)), (Level.IN_PROCESS, ())):
        trust = a_trust(level=level)
        assert place_of("ROBIN", TEXT, {trust.digest: trust}) == Place(level, folders)


@given(AUTHORS, TEXTS, st.dictionaries(TEXTS, st.sampled_from(Level), max_size=3))
def test_trust_is_of_the_very_text(author: str, text: str, promoted: dict[str, Level]) -> None:
    """I5: in this process run the Architect's and the package's texts, and of others those promoted to the letter."""
    trusts = {digest_of(each): a_trust(each, level) for each, level in promoted.items()}
    place = place_of(author, text, trusts)
    if author in ("architect", "package", ""):
        assert place.in_process
    else:
        assert needs_promotion(author)
        assert place.level is promoted.get(text, Level.SANDBOXED)
        assert bool(place.folders) == (place.level is Level.GRANTED)


@pytest.mark.parametrize("by", ["ALFRED", "package", "import:architect", "Architect", ""])
def test_only_the_architect_promotes(by: str) -> None:
    with pytest.raises(PromotionRefused, match="cannot promote"):
        a_trust(by=by)


def test_a_granted_folder_is_read_only_unless_it_is_said_to_be_writable() -> None:
    trust = a_trust(level=Level.GRANTED, folders=("/data", "/out"), writable=("/out",))
    place = place_of("ROBIN", TEXT, {trust.digest: trust})
    assert (place.folders, place.writable) == (("/data", "/out"), ("/out",))
    assert str(place) == "granted /data /out (rw)"
    with pytest.raises(PromotionRefused, match="writable"):
        a_trust(level=Level.GRANTED, folders=("/data",), writable=("/out",))


@pytest.mark.parametrize("author", ["architect", "package", "", "BRICK"])
def test_where_no_author_is_to_be_believed_the_promotion_alone_counts(author: str) -> None:
    assert place_of_text(TEXT, {}) == Place(Level.SANDBOXED)
    trust = a_trust(text_author=author)
    assert place_of_text(TEXT, {trust.digest: trust}).in_process


@pytest.mark.parametrize("digest", ["", "ab", "A" * 64, "0" * 63, "0" * 64 + "\n", "f" * 65, "\ud800" * 64])
def test_a_promotion_names_a_digest(digest: str) -> None:
    with pytest.raises(PromotionRefused, match="digest"):
        a_trust(digest=digest)


@pytest.mark.parametrize(
    "folder", ["", "data", "/", "//", "//data", "/a/../b", "/a/", "/a//b", "/a\n", ".", "~/x", "/\0"]
)
def test_what_is_granted_is_an_absolute_folder(folder: str) -> None:
    with pytest.raises(PromotionRefused):
        a_trust(level=Level.GRANTED, folders=(folder,))


def test_folders_go_with_granted_and_with_nothing_else() -> None:
    with pytest.raises(PromotionRefused, match="needs a folder"):
        a_trust(level=Level.GRANTED, folders=())
    for level in (Level.SANDBOXED, Level.IN_PROCESS):
        with pytest.raises(PromotionRefused, match="takes no folders"):
            a_trust(level=level, folders=("/data",))


def test_a_promotion_has_a_time_of_everywhere() -> None:
    with pytest.raises(PromotionRefused, match="time zone"):
        a_trust(at=AT.replace(tzinfo=None))


def test_levels_have_three_names() -> None:
    assert [level_named(name) for name in ("sandboxed", "granted", "in-process")] == list(Level)
    with pytest.raises(PromotionRefused, match="no level"):
        level_named("trusted")


def test_a_place_shows_its_folders() -> None:
    assert str(Place(Level.GRANTED, ("/a", "/b"))) == "granted /a /b"
    assert str(Place(Level.SANDBOXED)) == "sandboxed"


@pytest.mark.parametrize(
    "hidden", ["\r", "\x1b", "\x00", "\u202e", "\u200b", "\ufeff", "\u2028", "\u3164", "\ud800", "\ue000"]
)
def test_a_text_that_is_not_what_a_reader_sees_does_not_come_into_the_process(hidden: str) -> None:
    """To Python a carriage return ends a comment; on a terminal the line goes on."""
    text = f"def f(self):\n    return 1  # fine{hidden}import os\n"
    assert hidden_character(text) == hidden
    with pytest.raises(PromotionRefused, match="does not see"):
        need_readable(text, Level.IN_PROCESS)
    need_readable(text, Level.GRANTED)  # the sandbox cares for no looks
    need_readable(text, Level.SANDBOXED)


@pytest.mark.parametrize("text", ["", TEXT, "\tx = 'Ünïcode ß 日本 😀'\n", "a\u0301"])
def test_letters_of_all_languages_are_seen(text: str) -> None:
    need_readable(text, Level.IN_PROCESS)
