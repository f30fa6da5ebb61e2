"""Text of others must not drive the terminal of the person who reads it."""

from __future__ import annotations

import pytest

from a4ps.cli.plain import plain, spelt_out


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
def test_controls_and_overrides_are_dropped_but_line_feed_and_tab(code: int) -> None:
    kept = chr(code) if chr(code) in "\n\t" else ""
    assert plain(f"a{chr(code)}b") == f"a{kept}b"


@pytest.mark.parametrize("text", ["naïve ░█ “quoted” …", "日本語", "עברית", "👩‍🚀 e\u0301", "\u2029\u2065"])
def test_all_other_text_is_kept(text: str) -> None:
    assert plain(text) == text


def test_a_text_to_be_judged_shows_what_would_not_be_seen() -> None:
    assert spelt_out("x = 1  # fine\rimport os\u202e\u3164\n") == "x = 1  # fine\\rimport os\\u202e\\u3164\n"
    assert spelt_out("ß 日本\t\n") == "ß 日本\t\n"
