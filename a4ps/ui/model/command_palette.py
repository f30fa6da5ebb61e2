"""What can be done in the world by name, and how what is typed finds it. Pure, and the same each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from a4ps.ui.model.blocks import Act

T = TypeVar("T")

# Points of a match. A word's start weighs most, then what follows the letter before; each letter skipped costs a little.
_START = 8
_NEXT = 5
_LETTER = 1
_FIRST = 4
#: So long a label is looked at: the worst case is its square.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that can be done: its label, what it does, its chord, and further words by which it is found."""

    label: str
    act: Act
    hint: str = ""
    also: str = ""
    #: In the world menu too, in the part of this number; 0: only by name.
    part: int = 0


def _opens(label: str, pane: str, also: str = "", hint: str = "") -> Command:
    return Command(label, Act("open", {"pane": pane}), hint, also, 1)


COMMANDS = (
    _opens("Transcript", "transcript", "turn conversation answer"),
    _opens("Approvals", "approvals", "allow deny permission"),
    _opens("Workspace", "workspace", "python evaluate code", "Ctrl-K"),
    _opens("Browser", "browser", "protos methods versions difference"),
    _opens("Inspector", "inspector", "slots state"),
    _opens("Debugger", "debugger", "error frames"),
    _opens("Tool bench", "tool_bench", "forge function"),
    _opens("Memory", "memory", "search scrapbook remember"),
    _opens("Timeline", "timeline", "history changes revert"),
    _opens("Plots", "plots", "dissonance load tokens latency vram"),
    _opens("Models", "models", "vram resident"),
    _opens("Status", "status", "health backend"),
    _opens("Help", "help", "keys manual", "F1"),
    Command("New note", Act("note"), "", "text write", 2),
    Command("Bring all personas here", Act("personas"), "", "alfred brick robin babs lost", 2),
    Command("Tidy up", Act("arrange"), "", "arrange layout default", 2),
    Command("Undo", Act("undo"), "Ctrl-Z", "", 3),
    Command("Redo", Act("redo"), "Ctrl-Shift-Z", "", 3),
    Command("Worlds …", Act("worlds"), "", "load switch layout", 4),
    Command("Save this world as …", Act("save-world"), "", "name layout", 4),
    Command("Light or dark", Act("theme"), "", "theme colours contrast", 5),
    Command("Larger type", Act("larger"), "Ctrl-+", "font scale zoom", 5),
    Command("Smaller type", Act("smaller"), "Ctrl--", "font scale zoom", 5),
    Command("Type as it was", Act("normal"), "Ctrl-0", "font scale reset", 0),
    Command("Guided tour", Act("tour"), "", "start introduction", 5),
    Command("Stop the turn", Act("stop"), "Ctrl-.", "cancel interrupt", 0),
    Command("Ask the society", Act("ask"), "Ctrl-L", "chat question talk", 0),
    Command("Save a picture of the world …", Act("picture"), "", "screenshot png", 0),
    Command("Leave", Act("leave"), "Ctrl-Q", "quit exit close", 6),
)


def score(query: str, label: str) -> int | None:
    """How well what is typed fits a label; None where its letters are not in it in this order. Case is ignored.

    Spaces in the query only part its letters. The best of all ways to find the letters counts.
    """
    letters = [each for each in query.casefold() if not each.isspace()]
    text = label.casefold()[:_LONGEST]
    if not letters:
        return 0
    # best[i]: the best score of the letters so far with the last of them at place i.
    best: list[int | None] = [None] * len(text)
    for number, letter in enumerate(letters):
        following: list[int | None] = [None] * len(text)
        behind: int | None = None
        for place, there in enumerate(text):
            if there == letter:
                starts = place == 0 or not text[place - 1].isalnum()
                worth = _LETTER + (_START if starts else 0) + (_FIRST if place == 0 else 0)
                if number == 0:
                    following[place] = worth
                else:
                    next_to = best[place - 1] if place else None
                    ways = [behind + worth] if behind is not None else []
                    if next_to is not None:
                        ways.append(next_to + _NEXT + worth)
                    if ways:
                        following[place] = max(ways)
            # A letter that is skipped costs one point, so that what lies together is worth more.
            reached = best[place - 1] if place else None
            candidates = [each for each in (None if behind is None else behind - 1, reached) if each is not None]
            behind = max(candidates) if candidates else None
        best = following
    reached_all = [each for each in best if each is not None]
    return max(reached_all) if reached_all else None


def ranked(
    query: str, items: Sequence[T], key: Callable[[T], str], also: Callable[[T], str] = lambda _: ""
) -> Sequence[T]:
    """Those that fit what is typed, the best first; of equals the shorter, then the earlier.

    `also` gives further words of an item, each of which counts for less than its label.
    """
    found = []
    for number, item in enumerate(items):
        fits = [score(query, key(item)), *(_less(score(query, word)) for word in also(item).split())]
        points = [each for each in fits if each is not None]
        if points:
            found.append((-max(points), len(key(item)), number, item))
    found.sort(key=lambda each: each[:3])
    return [item for *_, item in found]


def _less(points: int | None) -> int | None:
    return None if points is None else points - _START
