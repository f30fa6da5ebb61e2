"""A count of tokens without a tokenizer, for limits and for engines that have none.

An estimate: byte-pair vocabularies give about 1.3 tokens a word of English prose and more for other scripts, where a
token covers three to four bytes. The larger of both is taken, so that it errs towards too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from a4ps.inference.engine import Message

_PIECE = re.compile(r"\w+|[^\w\s]")

#: What a chat template adds to each message, in tokens.
PER_MESSAGE = 4


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` is; 0 only for the empty text."""
    return max(int(len(_PIECE.findall(text)) * 1.15), len(text.encode("utf-8", "replace")) // 4) + bool(text)


def estimate_prompt(messages: Iterable[Message]) -> int:
    """About how many tokens a chat of these messages is."""
    return sum(estimate_tokens(message.content) + PER_MESSAGE for message in messages)
