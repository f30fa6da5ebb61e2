"""A note: a text that a person has remembered as it is. What can be one, and how long it may be."""

from __future__ import annotations

from a4ps.errors import UsageError

#: A longer text is a document: write it into a file.
NOTE_CHARS = 20_000


def checked_note(text: str) -> str:
    """The text without the space around it. Raises `UsageError` for one that cannot be a note."""
    if not text.strip():
        raise UsageError("there is nothing to remember", next_step='a4ps memory add "The key is under the mat"')
    if len(text) > NOTE_CHARS:
        raise UsageError(
            f"the text has {len(text):,} characters; a note has {NOTE_CHARS:,} at most", next_step="add it as a file"
        )
    if "\x00" in text or text.encode("utf-8", "replace").decode() != text:
        raise UsageError("this is no text (NUL or undecodable bytes)", next_step="give it as text")
    return text.strip()
