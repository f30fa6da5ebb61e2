"""Text of others made safe to show: what a model, a server, a file or a stored question says must not drive a terminal."""

from __future__ import annotations

from a4ps.governance.trust import hidden_character

# Control characters begin escape sequences; bidirectional overrides make a line read as something it is not
# (CVE-2021-42574).
_DROPPED = {
    code: None
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\n\t"
}


def spelt_out(text: str) -> str:
    """A text that a person is to judge, with an escape in the place of each character that would not be seen."""
    if not hidden_character(text):
        return text
    return "".join(ascii(each)[1:-1] if hidden_character(each) else each for each in text)


def plain(text: str) -> str:
    """`text` without control characters, but for line feed and tab, and without bidirectional overrides."""
    return text.translate(_DROPPED)
