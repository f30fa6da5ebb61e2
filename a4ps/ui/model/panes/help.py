"""Help: what a hand and a key do here, and what each handle of the halo is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from a4ps.ui.model.blocks import Act, Block, Columns, Line, Rule, Span, Tabs, say
from a4ps.ui.model.chat import SLASH
from a4ps.ui.model.command_palette import COMMANDS
from a4ps.ui.model.halo import HANDLES
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Do, Effect, Keep, Need, Outcome, Seen, pane
from a4ps.ui.model.society import Society

TABS: Final = ("Hands", "Halo", "Keys", "Chat")

#: Kind of morph → what it is.
KINDS: Final[Mapping[str, str]] = {
    "persona": "One of the four minds. Its ring is its characterological dissonance, blue to red, the white arc inside "
    "the same figure as a length; its glow is its cognitive load.",
    "window": "A window on something living. Whatever is edited in it is edited in the thing itself.",
    "tool": "A function that a persona wrote. Drop a persona on it, or press ▶ in its halo, to use it.",
    "note": "A piece of text of yours. Windows and notes may be embedded in one another.",
    "placeholder": "Something that this version does not know. It is kept as it is, and written back unchanged.",
}
HANDS: Final = (
    ("middle click, Ctrl-click, or hold", "the halo of what lies there; again: of what lies beneath"),
    ("right click", "the menu of what lies there"),
    ("drag", "moves a persona by its face, a window by its title"),
    ("drag a corner", "makes a window larger or smaller"),
    ("drop a file on the world", "it is read and remembered"),
    ("drop a persona on a tool", "the tool is tried by it"),
)
KEYS: Final = (
    ("Tab, Shift-Tab", "to the next thing, or the one before"),
    ("Return", "does what it is for"),
    ("arrows; with Shift", "move what has the halo by 1; by 10"),
    ("Escape", "closes menu, halo, or leaves a field"),
    ("Ctrl-D, -P, -I", "in a workspace: do it, print it, inspect it"),
)


@pane
class Help:
    """State: `tab`; `about`, the kind of morph that was asked about."""

    name = "help"
    size = (460.0, 420.0)

    def title(self, seen: Seen) -> str:
        about = str(seen.state.get("about", ""))
        return f"Help: {about}" if about in KINDS else "Help"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - it needs nothing
        return ()

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(_blocks(seen.state))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        match act.verb:
            case "tab":
                return [Keep({**seen.state, "tab": str(act.about["value"])})]
            case "do":
                return [Do(COMMANDS[int(act.about["command"])].act)]
            case "tour":
                return [Do(Act("tour"))]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:  # noqa: ARG002 - it asks for nothing to be done
        return ()


def _blocks(state: State) -> Iterator[Block]:
    about = str(state.get("about", ""))
    if about in KINDS:
        yield say(KINDS[about])
        yield Rule()
    tab = str(state.get("tab", "Halo" if about in KINDS else TABS[0]))
    yield Tabs(TABS, tab, Act("tab"))
    match tab:
        case "Halo":
            for handle in HANDLES:
                name = {"context": "talk, run"}.get(handle.name, handle.name)
                yield Columns(
                    (Span(handle.sign, "strong"), Span(name, "strong"), Span(handle.help)), (0.08, 0.24, 0.68)
                )
        case "Keys":
            yield from _table(KEYS)
            for number, command in enumerate(COMMANDS):
                if command.hint:
                    yield Columns(
                        (Span(command.hint, mono=True), Span(command.label, "link")),
                        (0.36, 0.64),
                        Act("do", {"command": number}),
                    )
        case "Chat":
            yield say("A question goes to all four; what begins with / is a command.", "muted")
            for slash in SLASH:
                told = f"/{slash.name} {slash.takes}".rstrip()
                yield Columns((Span(told, mono=True), Span(slash.help)), (0.4, 0.6))
        case _:
            yield from _table(HANDS)
            yield Line((Span("The guided tour", "link"),), act=Act("tour"))


def _table(rows: Sequence[tuple[str, str]]) -> Iterator[Block]:
    return (Columns((Span(left, "strong"), Span(right)), (0.36, 0.64)) for left, right in rows)
