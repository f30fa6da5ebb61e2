"""Keeps what somebody wrote from being read as a control token: text stays text, only the chat template sets marks.

llama.cpp renders messages and template into one text and then takes whatever in it looks like a control token for one.
Without this, a message that contains "<|im_end|>" would end, and what follows could be a turn of the system's.

Not covered: models whose templates mark turns with plain words, such as "[INST]" without a token of that name. There the
model itself cannot tell a mark from the same words in a message.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable
from pathlib import Path

from a4ps.inference.gguf import CONTROL, HEADER_BYTES, NORMAL, UNKNOWN, USER_DEFINED, read_vocabulary

#: U+2060, word joiner: not seen, no space, and part of no token's name.
JOINER = "\u2060"
_BARRED = re.compile(r"<[|\uff5c].*[|\uff5c]>", re.DOTALL)
_BRACKETED = re.compile(r"<[^\s<>]+>|\[[^\s\[\]]+\]")


class ControlTokens:
    """The texts that a model's tokenizer would read as marks. Immutable."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """`texts` have two characters or more, and no joiner among them."""
        self.texts = frozenset(texts)
        # The longest first, or "<|a|>b" would be left to the mark "<|a|>".
        marks = sorted(self.texts, key=len, reverse=True)
        self._found = re.compile("|".join(map(re.escape, marks))) if marks else None

    @classmethod
    def of(cls, vocabulary: Iterable[tuple[str, int]], template: str) -> ControlTokens:
        """From tokens with their types, and the chat template.

        Control tokens; and what a file calls ordinary or its user's own, though it is a mark: in bars ("<|end|>"; llama.cpp
        makes control tokens of some of these itself), or in brackets and set by the template. Other tokens of a user's own,
        such as "<table>" or two line breaks, are text.
        """
        return cls(
            text
            for text, kind in vocabulary
            if len(text) > 1 and JOINER not in text and (kind in (CONTROL, UNKNOWN) or _is_mark(text, kind, template))
        )

    @classmethod
    def read(cls, model: Path, template: str) -> ControlTokens:
        """Those of a GGUF file. Raises `ModelFileBad`, OSError."""
        with model.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            with mmap.mmap(file.fileno(), min(size, HEADER_BYTES), access=mmap.ACCESS_READ) as head:
                return cls.of(read_vocabulary(head, size), template)

    def as_text(self, written: str) -> str:
        """`written` with a joiner after the first character of each mark, so that none is left; else unchanged."""
        # Again, since marks may overlap; each pass breaks those that it finds and makes none.
        while self._found is not None and self._found.search(written):
            written = self._found.sub(lambda mark: f"{mark[0][0]}{JOINER}{mark[0][1:]}", written)
        return written


def _is_mark(text: str, kind: int, template: str) -> bool:
    if kind not in (NORMAL, USER_DEFINED):
        return False
    return bool(_BARRED.fullmatch(text) or (_BRACKETED.fullmatch(text) and text in template))
