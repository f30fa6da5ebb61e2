"""Word wrap for text that arrives in pieces: no word is broken at the edge of the terminal, and none waits for a line."""

from __future__ import annotations


class Wrapper:
    """Breaks lines at blanks so that none is longer than `width` columns, as far as words allow.

    A word is held back until its end is seen: `flush` gives what is held. Width is counted in characters; wide scripts
    are left to the terminal.
    """

    def __init__(self, width: int) -> None:
        self._width = max(width, 20)
        self._column = 0
        self._word = ""
        self._blanks = ""

    def feed(self, text: str) -> str:
        """What can be shown after `text` has arrived."""
        out: list[str] = []
        for character in text:
            if character == "\n":
                out += [self._settle(), "\n"]
                self._column = 0
            elif character in " \t":
                out.append(self._settle())
                self._blanks += " "
            else:
                self._word += character
        return "".join(out)

    def flush(self) -> str:
        """The held word, if any."""
        return self._settle()

    def _settle(self) -> str:
        if not self._word:
            return ""
        blanks, word = self._blanks, self._word
        self._blanks = self._word = ""
        if self._column and self._column + len(blanks) + len(word) > self._width:
            self._column = len(word)
            return f"\n{word}"
        self._column += len(blanks) + len(word)
        return blanks + word
