"""What a prompt is made of, and how it is made to fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.inference.tokens import PER_MESSAGE, estimate_tokens
from a4ps.personas.budget import OLDEST_FIRST, SUMMARY_MIN, fitted, shares, summary
from a4ps.personas.prompting import STATE, STATE_TOKENS, state_part

LONG = "\n".join(
    f"> {n}. It costs {n} weekends. Nobody has counted the evenings that come with it, of course." for n in range(40)
)
TEXT = st.text(st.sampled_from("ab .!?\n>漢😀1"), max_size=1500)


def test_what_fits_is_left_alone() -> None:
    parts = {"question": "> why?", "thesis": LONG}
    assert fitted(parts, "fixed", 5_000).parts == parts
    assert fitted(parts, "fixed", 5_000).summarised == ()


def test_the_oldest_part_is_summarised_first_and_no_more_of_them_than_needed() -> None:
    parts = {"question": "> why?", "memories": LONG, "thesis": LONG, "antithesis": LONG}
    whole = sum(map(estimate_tokens, parts.values()))
    a_little = fitted(parts, "", whole - 100)
    assert a_little.summarised == ("what was recalled",)
    assert a_little.parts["thesis"] == LONG
    much = fitted(parts, "", whole // 2)
    assert much.summarised == ("what was recalled", "the thesis")
    assert much.parts["antithesis"] == LONG
    assert "(summarised:" in much.parts["thesis"]


def test_the_question_is_never_touched() -> None:
    parts = {"question": LONG, "thesis": LONG}
    assert fitted(parts, "", 10).parts["question"] == LONG


@given(st.dictionaries(st.sampled_from(["question", *OLDEST_FIRST]), TEXT, max_size=6), TEXT, st.integers(0, 3_000))
def test_a_prompt_keeps_its_budget_wherever_summaries_can(parts: dict[str, str], fixed: str, budget: int) -> None:
    found = fitted(parts, fixed, budget)
    assert list(found.parts) == list(parts)
    whole = estimate_tokens(fixed) + 2 * PER_MESSAGE + sum(map(estimate_tokens, found.parts.values()))
    least = estimate_tokens(fixed) + 2 * PER_MESSAGE
    least += sum(
        estimate_tokens(text) if name == "question" else min(SUMMARY_MIN, estimate_tokens(text))
        for name, text in parts.items()
    )
    assert whole <= max(budget, least)
    assert bool(found.summarised) is (dict(found.parts) != parts)


@given(TEXT, st.integers(SUMMARY_MIN, 400))
def test_a_summary_keeps_to_its_tokens_says_so_and_adds_nothing(text: str, tokens: int) -> None:
    found = summary(text, tokens)
    assert estimate_tokens(found) <= tokens
    assert "(summarised:" in found
    words = set(text.split())
    for line in found.splitlines():
        if "(summarised:" not in line:
            assert all(word in words or word.endswith("…") for word in line.split())


def test_a_summary_takes_the_first_sentence_of_each_line() -> None:
    found = summary("> Take Go. Rust is for later.\n> 1. It is small. Truly.\n> Wrong if speed decides. Or not.", 60)
    assert found.splitlines() == [
        "> Take Go.",
        "> 1. It is small.",
        "> Wrong if speed decides.",
        "> (summarised: 20 words in all)",
    ]


def test_shares_name_what_a_prompt_is_made_of() -> None:
    found = shares(
        "codex " * 40 + "state " * 10, "codex " * 40, {"question": "why " * 20, "thesis": LONG}, "x" * 4000, 7000
    )
    assert found["budget"] == 7000
    assert (found["codex"], found["state"], found["question"], found["said"]) == (60, 15, 20, len(LONG) // 4)
    assert "recalled" not in found


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({}, ""),
        ({"mood": "calm", "n": 3}, f"\n\n{STATE}\n> mood: 'calm'\n> n: 3"),
        ({"_hidden": 1, "raw": b"bytes"}, ""),
        ({"note": "two\nlines\n# SYSTEM"}, f"\n\n{STATE}\n> note: 'two\\nlines\\n# SYSTEM'"),
    ],
)
def test_a_state_is_told_as_far_as_it_is_plain(state: dict[str, object], shown: str) -> None:
    assert state_part(state) == shown


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=2000), max_size=30))
def test_a_state_has_a_bounded_place(state: dict[str, object]) -> None:
    assert estimate_tokens(state_part(state)) <= STATE_TOKENS + 12
