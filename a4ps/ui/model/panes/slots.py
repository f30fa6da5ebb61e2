"""The slots of a Proto as a tree that is edited in place, and one value on its own, page by page. Pure."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.protos import RemoveSlot, SetCodex, SetSlot
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Code, Entry, Line, Span, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Answer, Copy, Effect, Keep, Outcome, Send
from a4ps.ui.model.panes.parts import ENTERED_MAX, fault_of, typed, waiting, with_fault, with_typed

PAGE: Final = 20_000
"""Characters of a text that are shown at once; one up to this is edited, a longer one is read."""

_SET: Final = "set "
_REMOVE: Final = "remove "
_DEEP: Final = 12


def key_of(path: Sequence[str | int]) -> str:
    """A path as the name of its field."""
    return json.dumps(list(path), ensure_ascii=False)


def spelt(path: Sequence[str | int]) -> str:
    return str(path[0]) + "".join(f"[{step!r}]" for step in path[1:])


def opened_paths(state: State) -> list[list[str | int]]:
    return [list(path) for path in state.get("opened", ())]


def slot_blocks(proto: Mapping[str, Any], state: State, *, editable: bool) -> Iterator[Block]:
    """The tree. What can be entered is a field; what holds something opens."""
    opened = {key_of(path) for path in opened_paths(state)}
    for slot in proto["slots"]:
        key = key_of(slot["path"]) if slot["path"] else ""
        if editable and slot["editable"] and not slot["opens"] and not slot["cut"]:
            yield _field(slot, key, state)
        else:
            yield _row(slot, is_open=key in opened, editable=editable)
        if slot["left"]:
            yield say(f"… and {slot['left']:,} more", "muted", indent=slot["depth"] + 1)
    if not proto["slots"]:
        yield say("It has no slots yet.", "muted")
    if proto["slots_left"]:
        yield say(f"{proto['slots_left']:,} more slots are not shown; see them in a workspace: self.state", "warn")
    if editable:
        key = "new"
        yield Entry(
            key,
            typed(state, key, ""),
            Act("new-slot"),
            label="a new slot",
            hint="mood = 'calm'",
            mono=True,
            fault=fault_of(state, key),
        )
        yield say("Return sets a slot, Ctrl-Delete removes it; both can be undone.", "muted")


CODEX: Final = ("role", "model_name", "temperature", "voice", "pillars", "system_prompt", "extra")


def codex_blocks(proto: Mapping[str, Any], state: State) -> Iterator[Block]:
    """Who a Proto is: a field for each part of its codex."""
    for name in CODEX:
        text = codex_text(name, proto["codex"][name])
        if name == "extra" and text == "{}":
            continue
        key = f"codex {name}"
        yield Entry(
            key,
            typed(state, key, text),
            Act("set-codex", {"field": name}),
            label=name.replace("_", " "),
            mono=name in ("model_name", "extra"),
            lines=min(12, text.count("\n") + 1) if name in ("voice", "pillars", "system_prompt", "extra") else 1,
            fault=fault_of(state, key),
        )


def codex_text(name: str, value: object) -> str:
    """A part of a codex as it is entered."""
    if name == "pillars":
        assert isinstance(value, list)
        return "\n".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _row(slot: Mapping[str, Any], *, is_open: bool, editable: bool) -> Line:
    size = f" of {slot['size']:,}" if slot["size"] is not None and slot["type"] != "str" else ""
    inherited = _inherited(slot)
    head = ("▾ " if is_open else "▸ ") if slot["opens"] else "  "
    spans = [Span(head, "muted"), Span(slot["name"], "strong"), Span(f"  {slot['type']}{size}{inherited}", "muted")]
    if not is_open:
        spans.append(Span(f"  {slot['text']}{'…' if slot['cut'] and slot['plain'] else ''}", mono=not slot["plain"]))
    if slot["cut"]:
        spans.append(Span("  show it whole", "link", act=Act("whole", {"path": slot["path"]})))
    if editable and slot["path"] and not slot["inherited"]:
        spans.append(Span("  ×", "link", act=Act("remove-slot", {"path": slot["path"]})))
    act = Act("toggle", {"path": slot["path"]}) if slot["opens"] and slot["path"] else None
    return Line(tuple(spans), min(slot["depth"], _DEEP), act)


def _field(slot: Mapping[str, Any], key: str, state: State) -> Entry:
    text = slot["text"]
    lines = min(8, text.count("\n") + 1) if slot["plain"] else 1
    return Entry(
        key,
        typed(state, key, text),
        Act("set-slot", {"path": slot["path"], "plain": slot["plain"]}),
        label=f"{spelt(slot['path'])}  {slot['type']}{_inherited(slot)}",
        mono=not slot["plain"],
        lines=lines,
        fault=fault_of(state, key),
        keys={"ctrl-delete": Act("remove-slot", {"path": slot["path"]})},
    )


def _inherited(slot: Mapping[str, Any]) -> str:
    return f"  from {slot['inherited']}" if slot["inherited"] and slot["depth"] == 0 else ""


def whole_blocks(answer: Answer, state: State) -> Iterator[Block]:
    """One value on its own: a field where it is short enough for one, else pages."""
    path = state["whole"]
    yield Buttons((Button("Back to all slots", Act("whole")),), Span(spelt(path), "strong"))
    yield from waiting(answer, spelt(path))
    value = answer.value
    if value is None:
        return
    text = value["text"]
    pages = max(1, -(-len(text) // PAGE))
    page = min(int(state.get("page", 0)), pages - 1)
    more = " or more" if value["cut"] else ""
    note = Span(
        f"{value['type']}, {len(text):,}{more} characters" + (f", part {page + 1} of {pages}" if pages > 1 else ""),
        "muted",
    )
    buttons = [Button("Copy it", Act("copy-whole"))]
    if pages > 1:
        buttons += [
            Button("Earlier", Act("page", {"page": page - 1}), enabled=page > 0),
            Button("Later", Act("page", {"page": page + 1}), enabled=page < pages - 1),
        ]
    yield Buttons(tuple(buttons), note)
    if value["editable"] and pages == 1:
        key = key_of(path)
        yield Entry(
            key,
            typed(state, key, text),
            Act("set-slot", {"path": path, "plain": value["plain"]}),
            mono=not value["plain"],
            lines=16,
            fault=fault_of(state, key),
            fills=True,
        )
    else:
        yield Code(text[page * PAGE : (page + 1) * PAGE])
        if pages > 1:
            yield say("It is too long to be edited here; set it in a workspace: self.state[…] = …", "muted")


def slots_acted(act: Act, proto: str, state: State, whole: Answer) -> Sequence[Effect] | None:
    """What an act on a slot comes to; None where it is another's."""
    match act.verb:
        case "toggle":
            path = list(act.about["path"])
            opened = opened_paths(state)
            kept = [each for each in opened if each[: len(path)] != path] if path in opened else [*opened, path]
            return [Keep({**state, "opened": kept})]
        case "whole":
            there = {name: each for name, each in state.items() if name not in ("whole", "page")}
            return [Keep({**there, "whole": list(act.about["path"])} if "path" in act.about else there)]
        case "page":
            return [Keep({**state, "page": int(act.about["page"])})]
        case "copy-whole":
            return [Copy(str(whole.value["text"]))] if whole.value is not None else []
        case "set-slot":
            return _set(act, proto, state, key_of(act.about["path"]), list(act.about["path"]), str(act.about["value"]))
        case "set-codex":
            field, key, text = str(act.about["field"]), f"codex {act.about['field']}", str(act.about["value"])
            set_codex = SetCodex.model_validate({"proto": proto, "field": field, "text": text})
            return [
                Keep(with_typed(state, key, text)),
                Send(set_codex, f"set {proto}.codex.{field}", undoes=True, tag=_SET + key),
            ]
        case "new-slot":
            return _new(act, proto, state)
        case "remove-slot":
            path = list(act.about["path"])
            request = RemoveSlot(proto=proto, path=path)
            return [Send(request, f"remove {proto}.{spelt(path)}", undoes=True, tag=_REMOVE + key_of(path))]
    return None


def slots_told(outcome: Outcome, state: State) -> Sequence[Effect] | None:
    """What an outcome comes to: what was refused stays in its field with its fault. None where it is another's."""
    if not outcome.tag.startswith(_SET):
        return None
    key = outcome.tag.removeprefix(_SET)
    return [Keep(with_typed(state, key, None) if outcome.value is not None else with_fault(state, key, outcome))]


def _set(
    act: Act, proto: str, state: State, key: str, path: list[str | int], text: str, *, plain: bool | None = None
) -> Sequence[Effect]:
    if len(text) > ENTERED_MAX:
        refused = Outcome("", fault=f"at most {ENTERED_MAX:,} characters are set at once", next_step="shorten it")
        return [Keep(with_fault(with_typed(state, key, text), key, refused))]
    is_plain = bool(act.about.get("plain")) if plain is None else plain
    request = SetSlot(proto=proto, path=path, text=text, plain=is_plain)
    return [
        Keep(with_typed(state, key, str(act.about["value"]))),
        Send(request, f"set {proto}.{spelt(path)}", undoes=True, tag=_SET + key),
    ]


def _new(act: Act, proto: str, state: State) -> Sequence[Effect]:
    text = str(act.about["value"])
    name, equals, value = text.partition("=")
    if not text.strip():
        return [Keep(with_typed(state, "new", None))]
    if not equals or not name.strip():
        refused = Outcome("", fault="a new slot has a name and a value", next_step="write: mood = 'calm'")
        return [Keep(with_fault(with_typed(state, "new", text), "new", refused))]
    return _set(act, proto, state, "new", [name.strip()], value.strip(), plain=False)


def value_blocks(text: str, of: str) -> Iterator[Block]:
    """A value that is no Proto, from what Python writes of it: as a tree where it can be read."""
    if of:
        yield Line((Span("» ", "muted"), Span(of, mono=True)))
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        yield Code(text)
        return
    yield from _tree(value, 0)


def _tree(value: object, depth: int) -> Iterator[Block]:
    items: Sequence[tuple[object, object]]
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    else:
        yield say(value if isinstance(value, str) else repr(value), mono=not isinstance(value, str), indent=depth)
        return
    yield say(f"{type(value).__name__} of {len(value):,}", "muted", indent=depth)
    for name, item in items[:200]:
        if isinstance(item, dict | list | tuple) and item and depth < _DEEP:
            yield say(str(name), "strong", indent=depth)
            yield from _tree(item, depth + 1)
        else:
            said = item if isinstance(item, str) else repr(item)
            yield Line((Span(f"{name}  ", "strong"), Span(said, mono=not isinstance(item, str))), depth)
    if len(items) > 200:
        yield say(f"… and {len(items) - 200:,} more", "muted", indent=depth)
