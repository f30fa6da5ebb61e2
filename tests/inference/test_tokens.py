"""The estimate of tokens: an upper guess that grows with the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.inference.engine import Message
from a4ps.inference.tokens import PER_MESSAGE, estimate_prompt, estimate_tokens

# What Qwen's, Llama's and GPT-4's tokenizers give for such texts lies between the two figures.
SAMPLES = [
    ("Should I learn Rust or Go to write a command-line tool?", 12, 20),
    ("the quick brown fox jumps over the lazy dog " * 10, 80, 120),
    ("def f(x): return {k: v for k, v in x.items()}", 18, 40),
    ("我应该学习 Rust 还是 Go?", 7, 16),
    ("x" * 400, 50, 200),
]


@pytest.mark.parametrize(("text", "least", "most"), SAMPLES)
def test_known_texts_are_about_right(text: str, least: int, most: int) -> None:
    assert least <= estimate_tokens(text) <= most


@given(st.text())
def test_only_the_empty_text_is_nothing(text: str) -> None:
    assert (estimate_tokens(text) == 0) is (text == "")


@given(st.text(), st.text(min_size=1))
def test_a_longer_text_is_never_fewer_tokens(text: str, more: str) -> None:
    assert estimate_tokens(f"{text} {more}") >= estimate_tokens(text)


@given(st.text())
def test_no_token_is_shorter_than_a_character_nor_longer_than_four_bytes(text: str) -> None:
    tokens = estimate_tokens(text)
    assert len(text.encode("utf-8", "replace")) // 4 <= tokens <= 1.15 * len(text) + 1


def test_broken_characters_are_counted_not_refused() -> None:
    assert estimate_tokens("\ud83d\udcff") > 0


@given(st.lists(st.text(), max_size=4))
def test_a_chat_is_its_messages_and_what_the_template_adds(texts: list[str]) -> None:
    messages = [Message("user", text) for text in texts]
    assert estimate_prompt(messages) == sum(estimate_tokens(text) + PER_MESSAGE for text in texts)
