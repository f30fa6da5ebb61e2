"""The loop guard: a reply that repeats itself is noticed soon, and nothing that a person writes is taken for one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.inference.loop_guard import ENDED, EQUAL_PIECES, REPEATED_CHARS, LoopGuard
from tests.doubles.ollama.replies import split_tokens
from tests.doubles.recordings import steps

REFRAIN = """Row, row, row your boat, gently down the stream,
merrily, merrily, merrily, merrily, life is but a dream.
"""
BIRDS = {"wren": "elm", "rook": "oak", "lark": "ash", "kite": "fir", "dove": "yew", "crow": "box"}
POEM = "".join(
    f"The {bird} sang from the {tree} tree,\nand nobody answered, and nobody came.\n{REFRAIN}\n"
    for bird, tree in BIRDS.items()
)
TABLE = "| option | speed | price | risk |\n|--------|-------|-------|------|\n" + "".join(
    f"| {name} | yes | no | no |\n" for name in "Go Rust Zig C Ada Nim D Lua Java Perl Ruby Julia".split()
)
ROWS = [", ".join("1" if row == column else "0" for column in range(10)) for row in range(10)]
MATRIX = "[\n" + "".join(f"  [{row}],\n" for row in ROWS) + "]\n"
CODE = """def total(rows):
    for row in rows:
        if row is None:
            continue
        for cell in row:
            if cell is None:
                continue
            yield cell
            }
        }
    }
}
assert total([]) == 0
assert total([]) == 0
assert total([]) == 0
""" + "".join(f"    case {number}:\n        return handlers[{number}](state)\n" for number in range(40))
PARTS = "deck piers cables joints rails paint drains lamps bolts beams signs ramps".split()
LIST = "".join(f"{number}. Check the {part} of the bridge.\n" for number, part in enumerate(PARTS, 1))
JSON = '{"stances": [' + ", ".join(f'{{"point": {n}, "stance": "agree", "weight": 0.5}}' for n in range(30)) + "]}"
RULES = ("-" * 78 + "\n" + "a heading of its own kind\n" + "=" * 78 + "\n\n\n") * 3
CHINESE = "问题是，桥应该建在哪里？第一，河的宽度；第二，地质；第三，费用。" * 3


def noticed(pieces: Iterable[str]) -> tuple[str, int]:
    """What the guard says, and after how many characters; over a text that ends, ("", its length)."""
    guard, chars = LoopGuard(), 0
    for piece in pieces:
        chars += len(piece)
        if note := guard.feed(piece):
            return note, chars
    return "", chars


@pytest.mark.parametrize(
    "text", [POEM, TABLE, MATRIX, CODE, LIST, JSON, RULES, CHINESE, REFRAIN * 4, "no " * 20 + "it is not.", ""],
    ids="poem table matrix code list json rules chinese refrain noes nothing".split(),
)  # fmt: skip
@pytest.mark.parametrize("cut", [split_tokens, lambda text: re.findall(r"\s*\S+|\s+$", text)], ids=["tokens", "words"])
def test_what_people_write_is_no_loop(text: str, cut: object) -> None:
    assert callable(cut)
    assert noticed(cut(text))[0] == ""


@pytest.mark.parametrize(
    "again",
    ["and so on ", "The bridge is old. The bridge must be renewed.\n", "ha", "- again\n- and again\n", "x = x + 1\n",
     "一二三四五", "First the aim, then the price, then the aim of the price, and in the end what the town can bear. " * 2],
)  # fmt: skip
def test_a_loop_is_noticed_soon(again: str) -> None:
    """After a sensible beginning, and long before the usual limit of a reply."""
    beginning = "It depends on the river, on the town, and on who is asked. "
    note, chars = noticed(split_tokens(beginning + again * 2000))
    assert note.startswith(ENDED)
    assert chars <= len(beginning) + max(7 * len(again), 2 * REPEATED_CHARS)


def test_equal_tokens_are_ended_where_ollama_ends_them() -> None:
    """The recorded stream of 31 equal tokens ends without an end; the guard speaks at its last."""
    recorded = [line["json"]["response"] for line in steps("21")[3]["response"]["lines"]]
    assert set(recorded) == {","}
    assert noticed(repeat(",", EQUAL_PIECES))[0] == ""
    note, chars = noticed(repeat(","))
    assert "more than 30 times" in note
    assert chars == EQUAL_PIECES + 1


def test_what_was_said_once_is_said_again() -> None:
    guard = LoopGuard()
    notes = [guard.feed("again ") for _ in range(40)]
    assert notes[-1]
    assert guard.feed("something else") == notes[-1]


@given(st.lists(st.sampled_from(["a", "bridge", "of", "stone", " ", ", ", "\n", "the ", "река", "0"]), max_size=60))
def test_how_a_text_is_cut_into_pieces_matters_not(words: list[str]) -> None:
    """Where no pieces are equal: the rest is judged by the text alone."""
    text = "".join(words) * 30 + "."
    whole = LoopGuard().feed(text)
    text += "After that it said what it had never said: few winters, grey gulls, one ladder."  # nothing of it is late
    cut, _ = noticed(text[at : at + 7] for at in range(0, len(text), 7))
    assert cut == whole or "in a row" in cut


def test_a_long_reply_may_come_back_to_its_words() -> None:
    assert noticed(f"word{number % 997} and{number} " for number in range(20_000))[0] == ""
