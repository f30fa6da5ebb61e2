"""What is to be forgotten, as a value: the words by which it is found, and the things that are it. Pure.

Words are found whatever their case, and in the ways in which JSON and Python spell them, one inside the other: a text in
the arguments of a call that was written down as JSON is found as well. Not found: words that are compressed, enciphered,
in another encoding than UTF-8, or written otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

BAR: Final = "⟦forgotten⟧"
"""What stands for the words in a text of which the rest is kept."""

Thing = tuple[str, str]
"""What is forgotten whole: a kind and a key, such as ("turn", "7")."""

_DEPTH = 2
_WRITTEN: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: repr(text)[1:-1],
)


@dataclass(frozen=True)
class Sought:
    """Whatever holds one of `texts` holds what is to be forgotten; `whole` are texts that count only where an entry is
    nothing else, as they are too short to be looked for. `things` are to be forgotten with all that derives from them,
    or, where `spare_derived` says so, alone.
    """

    texts: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()
    spare_derived: bool = False

    def in_text(self, text: str) -> bool:
        folded = text.casefold()
        return any(each in folded for each in self._spelt)

    def in_bytes(self, data: bytes) -> bool:
        return self.in_text(data.decode("utf-8", "replace"))

    def is_entry(self, text: str) -> bool:
        """Whether an entry of something that was typed or logged is to be forgotten."""
        return text.strip() in self.whole or self.in_text(text)

    def barred(self, text: str) -> str:
        """`text` with a bar in the place of the words."""
        if not self.in_text(text):
            return text
        left = self._pattern.sub(BAR, text)
        return BAR if self.in_text(left) else left

    def barred_value(self, value: Any) -> Any:
        """A copy of JSON data, and of sets and tuples in it, with bars; aliases are kept. Anything else stays as it is.

        Raises RecursionError where it is nested too deeply.
        """
        return self._barred(value, {})

    def to_json(self) -> bytes:
        fields = {"texts": self.texts, "whole": self.whole, "things": self.things, "spare_derived": self.spare_derived}
        return json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")

    @classmethod
    def from_json(cls, data: bytes) -> Sought:
        fields = json.loads(data)
        things = tuple((kind, key) for kind, key in fields["things"])
        return cls(tuple(fields["texts"]), tuple(fields["whole"]), things, fields["spare_derived"])

    @cached_property
    def _spelt(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.casefold() for text in self.texts for each in spellings(text)))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        spelt = sorted({each for text in self.texts for each in spellings(text)}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, spelt)), re.IGNORECASE)

    def _barred(self, value: Any, done: dict[int, tuple[Any, Any]]) -> Any:
        if isinstance(value, str):
            return self.barred(value)
        if isinstance(value, bytes):
            return BAR.encode() if self.in_bytes(value) else value
        if id(value) in done:
            return done[id(value)][1]
        if isinstance(value, Mapping):
            copied: dict[Any, Any] = {}
            done[id(value)] = value, copied
            copied.update((self._barred(key, done), self._barred(item, done)) for key, item in value.items())
            return copied
        if isinstance(value, list):
            items: list[Any] = []
            done[id(value)] = value, items
            items.extend(self._barred(item, done) for item in value)
            return items
        if type(value) in (tuple, set, frozenset):
            return type(value)(self._barred(item, done) for item in value)
        return value


def spellings(text: str) -> Iterator[str]:
    """`text`, and as it stands in JSON or in Python's spelling, and those once more."""
    spelt = {text}
    for _ in range(_DEPTH):
        spelt |= {write(each) for each in spelt for write in _WRITTEN}
    yield from spelt
