"""Views of one's own: what an inspector shows of some Protos beside its own tabs.

    @view("Notes", of=lambda proto: proto["name"] == "NOTE")
    def notes(proto: Shown) -> Sequence[Block]:
        return [say(slot["text"]) for slot in proto["slots"] if slot["name"] == "notes"]

A view is given the object of the request `proto`, and gives blocks. It is called whenever the Proto has changed, between two
frames, so it should be quick; one that fails is shown as such, and harms nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from a4ps.errors import CallerError
from a4ps.ui.model.blocks import Block, Line, Rule, Span, say

#: A Proto as the request `proto` gives it (protocol/proto_objects.py, ProtoObject).
Shown: TypeAlias = Mapping[str, Any]

Draw: TypeAlias = Callable[[Shown], Sequence[Block]]

#: Titles that an inspector's own tabs have.
OWN = ("Slots", "Codex", "Methods", "Plots", "History", "Evidence")


@dataclass(frozen=True, slots=True)
class View:
    """A tab: its title, the Protos that it is for, and what it shows of one."""

    title: str
    fits: Callable[[Shown], bool]
    draw: Draw

    def blocks(self, proto: Shown) -> Sequence[Block]:
        """What it shows, or that it failed."""
        try:
            return tuple(self.draw(proto))
        except Exception as error:  # noqa: BLE001 - somebody's own code; the inspector goes on
            return (
                say(f"The view {self.title} failed: {type(error).__name__}: {error}"[:500], "bad"),
                say("Correct it where it is registered, with @view.", "muted"),
            )


_VIEWS: dict[str, View] = {}

_log = logging.getLogger(__name__)


def view(title: str, *, of: Callable[[Shown], bool]) -> Callable[[Draw], Draw]:
    """Registers a function as a tab of the Protos for which `of` holds; one of the same title is replaced.

    Raises CallerError for the title of an inspector's own tab.
    """
    if title in OWN:
        raise CallerError(f"every inspector has a tab {title}", next_step="give the view another title")

    def register(draw: Draw) -> Draw:
        _VIEWS[title] = View(title, of, draw)
        return draw

    return register


def views_of(proto: Shown) -> list[View]:
    """The views for this Proto, in the order in which they were registered; one that cannot say is not for it."""
    found = []
    for each in tuple(_VIEWS.values()):
        try:
            fits = each.fits(proto)
        except Exception:  # noqa: BLE001 - somebody's own code
            _log.debug("the view %s cannot say whether it is for %s", each.title, proto.get("name"), exc_info=True)
            continue
        if fits:
            found.append(each)
    return found


def is_persona(proto: Shown) -> bool:
    """Whether it has what speaks: a system prompt and a voice."""
    return bool(proto["codex"]["system_prompt"] and proto["codex"]["voice"])


def paragraphs(text: str) -> Sequence[str]:
    """Those of a text that was broken into lines for a file: an empty line, a bullet or an indent begins another."""
    found: list[str] = []
    begins = True
    for line in text.split("\n"):
        if begins or not line.strip() or line[0] in " \t-*·#":
            found.append(line)
        else:
            found[-1] = f"{found[-1]} {line}"
        begins = not line.strip()
    return [each for each in found if each.strip()]


@view("Persona", of=is_persona)
def persona(proto: Shown) -> Sequence[Block]:
    """Who a persona is, as a page to read."""
    codex = proto["codex"]
    moods = [slot["text"] for slot in proto["slots"] if slot["name"] == "mood" and slot["depth"] == 0]
    mood = f", {moods[0]}" if moods else ""
    return [
        Line((Span(proto["name"], "strong", persona=proto["name"]), Span(f"  {codex['role']}{mood}", "muted"))),
        Line((Span(codex["model_name"], mono=True), Span(f"  temperature {codex['temperature']:g}", "muted"))),
        say(codex["voice"]),
        *(say(f"· {pillar}", indent=1) for pillar in codex["pillars"]),
        Rule(),
        *(say(part) for part in paragraphs(codex["system_prompt"])),
    ]
