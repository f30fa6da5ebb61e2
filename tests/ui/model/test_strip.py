from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.society import LinkState, Persona, Society
from a4ps.ui.model.strip import age, strip_of

GB = 1_000_000_000


def society(*, engine: dict[str, Any] | None = None, image: dict[str, Any] | None = None, **more: Any) -> Society:
    status = {
        "image": {
            "path": "/home/a/image.a4ps",
            "generation": 1204,
            "file_bytes": 4_200_000,
            "read_only": "",
            **(image or {}),
        },
        "engine": {"name": "ollama", "budget_bytes": 8 * GB, "residents": [], "waiting": 0, **(engine or {})},
    }
    return Society(link="live", status=status, **more)


ONE = {"name": "qwen3.5:9b", "size_bytes": 7 * GB, "vram_bytes": int(6.6 * GB), "num_ctx": 8192}


def test_the_image_says_how_many_changes_it_has_and_how_long_ago_the_last_was() -> None:
    piece = strip_of(society(last_commit_at=1000.0), 1000.0 + 130).image
    assert piece.text == "image 1,204 changes · saved 2 min ago"
    assert "4.2 MB" in piece.detail
    assert strip_of(society(sequence=1300), 0.0).image.text == "image 1,300 changes"
    assert strip_of(Society(sequence=1), 0.0).image.text == "image 1 change"


def test_an_image_that_cannot_be_written_says_so_loudly() -> None:
    piece = strip_of(society(image={"read_only": "the disk is full"}), 0.0).image
    assert piece.tone == "bad"
    assert "read-only" in piece.text
    assert "the disk is full" in piece.detail


def test_models_say_what_is_used_of_how_much_and_who_is_resident() -> None:
    piece = strip_of(society(engine={"residents": [ONE]}), 0.0).models
    assert piece.text == "VRAM 6.6 / 8.0 GB · qwen3.5:9b resident"
    assert piece.fraction == pytest.approx(0.825)
    two = strip_of(society(engine={"residents": [ONE, {**ONE, "name": "b"}]}), 0.0).models
    assert "2 resident" in two.text
    assert two.detail == "qwen3.5:9b, b"
    assert two.fraction == 1.0


def test_who_waits_for_a_model_is_told() -> None:
    personas = {
        "ROBIN": Persona("ROBIN", "", activity="waits for gemma"),
        "BRICK": Persona("BRICK", "", activity="argues"),
    }
    piece = strip_of(society(engine={"residents": [ONE], "waiting": 2}, personas=personas), 0.0).models
    assert piece.text.endswith("2 waiting")
    assert piece.tone == "warn"
    assert "ROBIN waits" in piece.detail


def test_without_a_card_it_is_memory_and_without_a_budget_there_is_no_bar() -> None:
    piece = strip_of(society(engine={"residents": [{**ONE, "vram_bytes": 0}], "budget_bytes": None}), 0.0).models
    assert piece.text == "memory 7.0 GB · qwen3.5:9b resident"
    assert piece.fraction is None


def test_a_rehearsal_is_never_taken_for_a_model() -> None:
    piece = strip_of(society(engine={"name": "rehearsal"}), 0.0).models
    assert piece.text == "rehearsal: no model"
    assert piece.tone == "warn"


@pytest.mark.parametrize(
    ("link", "tone"), [("connecting", "muted"), ("live", "ok"), ("lost", "bad"), ("refused", "bad")]
)
def test_the_link_is_told_in_words_too(link: LinkState, tone: str) -> None:
    piece = strip_of(replace(society(), link=link), 0.0).link
    assert (piece.text, piece.tone) == (link, tone)
    assert piece.detail
    assert strip_of(replace(society(), link=link, link_detail="no such socket"), 0.0).link.detail == "no such socket"


def test_before_anything_is_known_it_says_so() -> None:
    strip = strip_of(Society(), 5.0)
    assert (strip.image.text, strip.models.text, strip.next_s) == ("image …", "models …", None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "just now"), (0, "just now"), (59.9, "just now"), (60, "1 min ago"), (3599, "59 min ago"), (3600, "1 h ago"),
     (86399, "23 h ago"), (86400, "yesterday"), (2 * 86400, "2 days ago"), (400 * 86400, "400 days ago")],
)  # fmt: skip
def test_ages_are_words(seconds: float, words: str) -> None:
    assert age(seconds) == words


@given(st.integers(0, 10**7))
def test_between_now_and_the_next_time_the_strip_says_the_same_and_then_something_else(passed: int) -> None:
    about = society(last_commit_at=1000.0)
    now = 1000.0 + passed
    strip = strip_of(about, now)
    assert strip.next_s is not None
    assert strip.next_s > now
    assert strip_of(about, (now + strip.next_s) / 2).image == strip.image
    assert strip_of(about, strip.next_s).image != strip.image


@given(st.dictionaries(st.sampled_from(["image", "engine"]), st.none() | st.integers() | st.lists(st.integers())))
def test_a_status_of_another_shape_breaks_nothing(status: dict[str, Any]) -> None:
    assert strip_of(Society(status=status), 0.0).image.text
