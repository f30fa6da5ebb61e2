"""What a desk needs of its view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _nothing(*_: object) -> None:
    """A window that is not there does nothing."""


@dataclass(slots=True)
class Hands:
    """What only the view can do; it puts its own functions here."""

    #: Put a text on the clipboard.
    copy: Callable[[str], None] = _nothing
    #: Give the chat field the keys, with this text in it.
    chat: Callable[[str], None] = _nothing
    #: Give an entry of the window of that id the keys.
    focus: Callable[[str], None] = _nothing
    #: Ask where, and save a picture of the world.
    picture: Callable[[], None] = _nothing
    #: Close the window of the system.
    leave: Callable[[], None] = _nothing
