"""What somebody wrote is never read as a control token, and is otherwise left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import ModelFileBad
from a4ps.inference.control_tokens import JOINER, ControlTokens
from a4ps.inference.gguf import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, read_vocabulary
from tests.doubles.gguf_edit import with_text
from tests.doubles.gguf_file import gguf, model
from tests.models import manifest

CHATML = frozenset({"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
TEMPLATE = "<|im_start|>{{ role }}<start_of_turn>[INST]<think>"
_marks = st.text(alphabet="<|>a", min_size=2, max_size=5)


def test_the_marks_of_a_model_are_read_from_its_file() -> None:
    for name in ("tiny.gguf", "tinier.gguf"):
        assert ControlTokens.read(manifest.FOLDER / name, "").texts == CHATML


@pytest.mark.parametrize(
    ("token", "kind", "is_mark"),
    [
        ("<|im_end|>", CONTROL, True),
        ("</s>", CONTROL, True),
        ("<unk>", UNKNOWN, True),
        ("<\uff5cUser\uff5c>", USER_DEFINED, True),
        ("<|end|>", NORMAL, True),
        ("<start_of_turn>", USER_DEFINED, True),
        ("[INST]", NORMAL, True),
        ("<think>", USER_DEFINED, True),
        ("<table>", USER_DEFINED, False),
        ("\n\n", USER_DEFINED, False),
        ("role", NORMAL, False),
        ("<|unused|>", 5, False),
        ("<0x0A>", 6, False),
    ],
)
def test_a_mark_is_a_control_token_or_one_that_the_template_sets(token: str, kind: int, is_mark: bool) -> None:
    assert (token in ControlTokens.of([(token, kind)], TEMPLATE).texts) is is_mark


@given(st.lists(_marks, max_size=6), st.lists(st.one_of(_marks, st.text(max_size=4))))
def test_no_mark_is_left_and_nothing_else_is_changed(marks: list[str], pieces: list[str]) -> None:
    """Overlapping, nested and repeated ones too."""
    written = "".join(pieces).replace(JOINER, "")
    text = ControlTokens(marks).as_text(written)
    assert not any(mark in text for mark in marks)
    assert text.replace(JOINER, "") == written
    assert (text == written) is not any(mark in written for mark in marks)


def test_a_model_without_marks_changes_nothing() -> None:
    assert ControlTokens().as_text("a <|im_end|> b") == "a <|im_end|> b"


def test_tokens_have_their_types_and_without_types_all_are_ordinary() -> None:
    tiny = (manifest.FOLDER / "tiny.gguf").read_bytes()
    kinds = dict(read_vocabulary(tiny, len(tiny)))
    assert {text for text, kind in kinds.items() if kind == CONTROL} == CHATML
    bare = with_text(tiny, "tokenizer.ggml.token_type", None)
    assert {kind for _, kind in read_vocabulary(bare, len(bare))} == {NORMAL}
    assert ControlTokens.of(read_vocabulary(bare, len(bare)), "").texts == CHATML


def test_a_file_without_a_vocabulary_has_no_tokens(tmp_path: Path) -> None:
    bare = gguf({"general.architecture": "qwen3"}, [])
    assert read_vocabulary(bare, len(bare)) == ()
    (tmp_path / "bare.gguf").write_bytes(bare)
    assert ControlTokens.read(tmp_path / "bare.gguf", TEMPLATE).texts == frozenset()


def test_a_vocabulary_that_is_none_is_refused() -> None:
    for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type"):
        strange = with_text(model(), key, "no list")
        with pytest.raises(ModelFileBad):
            read_vocabulary(strange, len(strange))
