"""Words stay whole at the terminal's edge, however the text is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from a4ps.cli.wrapping import Wrapper

texts = st.text(alphabet=st.sampled_from("abc .\n"), max_size=300)


def wrapped(pieces: list[str], width: int) -> str:
    wrapper = Wrapper(width)
    return "".join([wrapper.feed(piece) for piece in pieces]) + wrapper.flush()


@given(texts, st.integers(20, 60), st.lists(st.integers(0, 300), max_size=6))
def test_no_word_is_broken_lost_or_moved_however_the_text_is_cut(text: str, width: int, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    shown = wrapped([text[a:b] for a, b in pairwise(places)], width)
    assert shown == wrapped([text], width)
    assert shown.split() == text.split()
    assert all(len(line) <= width or " " not in line.strip() for line in shown.split("\n"))
    assert shown.count("\n") >= text.count("\n")


def test_a_line_is_broken_at_a_blank() -> None:
    assert wrapped(["The quick brown fo", "x jumps over"], 20) == "The quick brown fox\njumps over"


def test_a_word_longer_than_the_line_is_left_whole() -> None:
    assert wrapped(["see " + "x" * 30 + " there"], 20) == "see\n" + "x" * 30 + "\nthere"
