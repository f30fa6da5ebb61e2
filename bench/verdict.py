"""A bar and what was found: how the benches say whether a promise is kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bar: what was found against `bar`, which is the most (`<=`) or the least (`>=`); None where not measured."""

    about: str
    found: float | None
    sign: str
    bar: float
    words: str = ""

    @property
    def meets(self) -> bool | None:
        if self.found is None:
            return None
        return self.found <= self.bar if self.sign == "<=" else self.found >= self.bar

    def __str__(self) -> str:
        judged = {True: "meets", False: "MISSES", None: "not judged"}[self.meets]
        number = "-" if self.found is None else f"{self.found:.3g}"
        return f"{judged:10}  {self.about:58} {number:>8}  bar {self.sign} {self.bar:g}{self.words and f'  | {self.words}'}"
