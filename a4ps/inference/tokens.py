"""A count of tokens without a tokenizer, for limits and for engines that have none.

An estimate: byte-pair vocabularies give about 1.3 tokens a word of English prose and more for other scripts, where a
token covers three to four bytes. The larger of both is taken, so that it errs towards too many.
"""

from __future__ import annotations

from collections.abc import Iterable

from a4ps.inference.engine import Message

#: Each first byte of a character, by its kind: "a" of a word, " " between words, "!" a piece of its own. What begins with
#: 0xE2 is typographic punctuation and signs, as good as always; any other letter that is not ASCII is one of a word.
_KINDS = bytes(
    ord(
        "!"
        if number == 0xE2
        else "a"
        if number > 127 or chr(number).isalnum() or chr(number) == "_"
        else " "
        if chr(number).isspace()
        else "!"
    )
    for number in range(256)
)
_FOLLOWING = bytes(range(0x80, 0xC0))

#: What a chat template adds to each message, in tokens.
PER_MESSAGE = 4


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` is; 0 only for the empty text.

    Called some dozen times in a turn, on whole prompts: so it counts bytes, with no look at any one of them in Python.
    """
    data = text.encode("utf-8", "replace")
    kinds = data.translate(_KINDS, _FOLLOWING)
    pieces = kinds.count(b"!") + len(kinds.replace(b"!", b" ").split())
    return max(int(pieces * 1.15), len(data) // 4) + bool(text)


def estimate_prompt(messages: Iterable[Message]) -> int:
    """About how many tokens a chat of these messages is."""
    return sum(estimate_tokens(message.content) + PER_MESSAGE for message in messages)
