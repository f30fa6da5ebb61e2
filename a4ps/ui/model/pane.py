"""What fills a window: a pane, which turns what is known into blocks and what is pressed into effects. Pure.

A pane says what it `needs` of the backend: requests, and upon which kinds of durable rows they are asked again. The desk
asks, and calls `blocks` with the answers whenever one of them, the window's state or the society has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from a4ps.errors import CallerError
from a4ps.protocol.requests.base import Request
from a4ps.ui.model.blocks import Act, Block
from a4ps.ui.model.morph import State
from a4ps.ui.model.society import Society


@dataclass(frozen=True, slots=True)
class Need:
    """An answer that a pane shows, under a name; asked anew after commits with rows of these kinds, and when it changes.

    The kind "failed" stands for a live method that failed, of which no commit tells. `lasting`: where another request
    takes this one's place, what was answered last is shown until there is an answer, so that nothing flickers as somebody
    types; only for what may be seen beside a newer question.
    """

    name: str
    request: Request
    kinds: frozenset[str] = frozenset()
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a need: the newest object (None before the first), what went wrong, and whether it is asked anew."""

    value: Mapping[str, Any] | None = None
    fault: str = ""
    next_step: str = ""
    asking: bool = True


#: Need's name → answer.
Answers: TypeAlias = Mapping[str, Answer]


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a pane may look at."""

    state: State
    answers: Answers
    society: Society

    def answer(self, name: str) -> Answer:
        return self.answers.get(name, Answer())


# What comes of an act


@dataclass(frozen=True, slots=True)
class Keep:
    """The window's state is now this. `undoable`: as a step that can be undone, called `label`."""

    state: State
    undoable: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """Have the backend do something. Its outcome goes to the pane's `told`, and so do its steps where `follows`.

    `label` is shown while it lasts, with a way to stop it; `undoes`: where the outcome has a change's number, Ctrl-Z
    reverts that change.
    """

    request: Request
    label: str
    follows: bool = False
    undoes: bool = False
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Open:
    """Open a window on something, or bring forward the one that has the same pane and subject."""

    pane: str
    state: State = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notice:
    """A word to the user, which goes by itself; `next_step` says what they can do."""

    text: str
    next_step: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """Close this window."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Put a text on the clipboard."""

    text: str


@dataclass(frozen=True, slots=True)
class Refresh:
    """Ask anew what this window needs: for what no commit tells of."""


@dataclass(frozen=True, slots=True)
class Do:
    """Do an act of the world, as its menus and chords do: stop the turn, undo, go to another world."""

    act: Act


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel the command of this window that has this tag."""

    tag: str = ""


Effect: TypeAlias = Keep | Send | Open | Notice | Close | Copy | Refresh | Do | Stop


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command of the pane ended: its object, or what went wrong; or a step on its way."""

    tag: str
    value: Mapping[str, Any] | None = None
    fault: str = ""
    next_step: str = ""
    step: Mapping[str, Any] | None = None


class Pane(Protocol):
    """One kind of window. Its methods are pure, and quick: they run between two frames."""

    #: The name in scripts, menus and `Open`.
    name: str
    #: How large a new window is.
    size: tuple[float, float]

    def title(self, seen: Seen) -> str: ...

    def needs(self, state: State, society: Society) -> Sequence[Need]: ...

    def blocks(self, seen: Seen) -> Sequence[Block]: ...

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        """What pressing, choosing or entering something comes to."""
        ...

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        """What the outcome of a command, or a step of it, comes to."""
        ...


_PANES: dict[str, Pane] = {}


def pane(kind: Callable[[], Pane]) -> Callable[[], Pane]:
    """Registers a class of panes under its `name`."""
    made = kind()
    if made.name in _PANES:
        raise CallerError(f"two panes are called {made.name}")
    _PANES[made.name] = made
    return kind


def known_panes() -> Mapping[str, Pane]:
    """Name → pane of every kind of window, those of `a4ps.ui.model.panes` among them."""
    from a4ps.ui.model import panes  # noqa: F401 - whose import registers them

    return _PANES
