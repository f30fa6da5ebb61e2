"""A window whose pane is driven over a real backend: presses, entries, and what comes of them, without a desk or a view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from a4ps.errors import A4PSError
from a4ps.governance.roles import Role
from a4ps.kernel.backend import Backend
from a4ps.kernel.dispatch import handler_of
from a4ps.kernel.serving.call import Call
from a4ps.protocol.requests.base import Request
from a4ps.ui.model.blocks import Act, Block, Buttons, Columns, Entry, Line, Span, Tabs
from a4ps.ui.model.pane import Answer, Effect, Keep, Outcome, Seen, Send, known_panes
from a4ps.ui.model.society import Society


class Driven:
    """One window. `Keep` and `Send` are carried out, all other effects kept; `changes` are those that could be undone."""

    def __init__(self, backend: Backend, pane: str, society: Society | None = None, **state: Any) -> None:
        self.pane = known_panes()[pane]
        self.state: Mapping[str, Any] = {"pane": pane, **state}
        self.society = society or Society()
        self.effects: list[Effect] = []
        self.changes: list[int] = []
        self.answers: dict[str, Answer] = {}
        self._backend = backend

    async def look(self) -> Sequence[Block]:
        """What the window shows once all it needs is answered."""
        self.answers = {}
        for need in self.pane.needs(self.state, self.society):
            try:
                self.answers[need.name] = Answer(await self._asked(need.request), asking=False)
            except A4PSError as error:
                self.answers[need.name] = Answer(None, error.message, error.next_step, asking=False)
        return self.pane.blocks(self.seen)

    @property
    def seen(self) -> Seen:
        return Seen(self.state, self.answers, self.society)

    @property
    def title(self) -> str:
        return self.pane.title(self.seen)

    async def texts(self) -> list[str]:
        """Each block's text, a line each."""
        return [text_of(block) for block in await self.look()]

    async def entry(self, key: str) -> Entry:
        found = [block for block in await self.look() if isinstance(block, Entry) and block.key == key]
        assert len(found) == 1, f"{len(found)} entries {key!r}"
        return found[0]

    async def enter(self, key: str, text: str, chord: str = "") -> None:
        """Enter `text` in a field, or press a chord in it with `text` chosen."""
        entry = await self.entry(key)
        act = entry.keys[chord] if chord else entry.act
        await self.do(act.with_value(text))

    async def press(self, label: str) -> None:
        """Press what is called so: a button, a tab, a line or a piece of text that begins so."""
        found = [act for said, act in pressables(await self.look()) if said.lstrip("▸▾ ").startswith(label)]
        assert found, f"nothing is called {label!r}"
        await self.do(found[0])

    async def do(self, act: Act) -> None:
        await self._carry_out(self.pane.acted(act, self.seen))

    async def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Keep(state):
                    self.state = {"pane": self.state["pane"], **state}
                case Send():
                    await self._send(effect)
                case _:
                    self.effects.append(effect)

    async def _send(self, sent: Send) -> None:
        try:
            value = await self._asked(sent.request)
        except A4PSError as error:
            outcome = Outcome(sent.tag, fault=error.message, next_step=error.next_step)
        else:
            outcome = Outcome(sent.tag, value)
            if sent.undoes and value.get("change") is not None:
                self.changes.append(value["change"])
        await self._carry_out(self.pane.told(outcome, self.seen))

    async def _asked(self, request: Request) -> Mapping[str, Any]:
        call: Call[Any] = Call(request, "key", Role.ARCHITECT, "test", lambda _: None)
        return await handler_of(type(request))(self._backend, call)


def text_of(block: Block) -> str:
    match block:
        case Line(spans):
            return "".join(span.text for span in spans)
        case Columns(cells):
            return " | ".join(span.text for span in cells)
        case Entry():
            return f"[{block.key}] {block.text}" + (f" ! {block.fault}" if block.fault else "")
        case Buttons(buttons, note):
            return " / ".join(each.label for each in buttons) + (f" {note.text}" if note is not None else "")
        case Tabs(names, chosen):
            return " ".join(f"<{name}>" if name == chosen else name for name in names)
        case _:
            return getattr(block, "text", "") or getattr(block, "title", "") or type(block).__name__


def pressables(blocks: Sequence[Block]) -> Iterator[tuple[str, Act]]:
    for block in blocks:
        match block:
            case Buttons(buttons):
                yield from ((each.label, each.act) for each in buttons if each.enabled)
            case Tabs(names, _, act):
                yield from ((name, act.with_value(name)) for name in names)
            case Line(spans) | Columns(spans):
                if block.act is not None:
                    yield text_of(block), block.act
                yield from _spans(spans)


def _spans(spans: Sequence[Span]) -> Iterator[tuple[str, Act]]:
    yield from ((span.text.strip(), span.act) for span in spans if span.act is not None)
