"""The acts of the world: what halos, menus, the command palette and chords ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from a4ps.errors import A4PSError
from a4ps.protocol.requests.image import Revert
from a4ps.protocol.requests.protos import Proto
from a4ps.ui.model.arrangement import PERSONAS, with_personas
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.halo import halo_of, name_of
from a4ps.ui.model.history import Back
from a4ps.ui.model.layout import changed_by
from a4ps.ui.model.menu import Item, colour_menu, command_menu, halo_menu, world_menu
from a4ps.ui.model.morph import ROOT, Morph

if TYPE_CHECKING:
    from a4ps.ui.desk import Desk

#: Chord → act of the world.
CHORDS: Mapping[str, Act] = {
    "ctrl-z": Act("undo"),
    "ctrl-shift-z": Act("redo"),
    "ctrl-y": Act("redo"),
    "ctrl-p": Act("commands"),
    "ctrl-shift-p": Act("commands"),
    "ctrl-k": Act("open", {"pane": "workspace"}),
    "ctrl-l": Act("ask"),
    "ctrl-.": Act("stop"),
    "ctrl-q": Act("leave"),
    "ctrl-+": Act("larger"),
    "ctrl-=": Act("larger"),
    "ctrl--": Act("smaller"),
    "ctrl-0": Act("normal"),
    "f1": Act("open", {"pane": "help"}),
}

#: What the names of tools' Protos begin with.
_TOOLS = "tool:"

#: Panes whose subject is a Proto.
_OF_PROTOS = frozenset({"inspector", "browser", "workspace", "debugger"})


class Doing:
    """Those of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def chord(self, chord: str) -> bool:
        """Do what a chord stands for in the whole world; False where that is nothing."""
        act = CHORDS.get(chord)
        if act is None:
            return False
        self.act(act)
        return True

    def act(self, act: Act) -> None:
        """Do it. Raises CallerError where it cannot be done."""
        desk, about = self._desk, act.about
        changed = changed_by(desk.world, act)
        if changed is not None:
            world, label = changed
            desk.undoing.stepped(label, desk.world, world)
        elif not (self._done_to_the_world(act.verb, about) or self._done_to_a_morph(act.verb, about)):
            desk.notice(f"This version cannot do {act.verb!r}.", bad=True)

    def _done_to_the_world(self, verb: str, about: Mapping[str, Any]) -> bool:
        """Whether that was an act of the world as a whole."""
        desk = self._desk
        match verb:
            case "nothing":
                pass
            case "undo":
                self._went_back(desk.undoing.undo(), "undo")
            case "redo":
                self._went_back(desk.undoing.redo(), "redo")
            case "commands":
                desk.scene.did("commands")
                desk.show_menu(command_menu(desk.world.root.rect, desk.font_scale, self._living()))
            case "open":
                state = {key: value for key, value in about.items() if key not in ("pane", "morph")}
                desk.effects.show(str(about.get("pane", "")), state)
            case "theme":
                desk.scene.other_theme(str(about.get("name", "")))
            case "larger":
                desk.scene.scale(1)
            case "smaller":
                desk.scene.scale(-1)
            case "normal":
                desk.scene.scale(0)
            case "note":
                self._new_note(about)
            case "personas":
                desk.undoing.stepped("bring the personas", desk.world, with_personas(desk.world, tuple(PERSONAS)))
            case "arrange":
                desk.undoing.stepped("tidy up", desk.world, desk.scene.tidied())
            case "worlds":
                desk.show_menu(desk.scene.menu(self._middle()))
            case "show-world":
                desk.scene.show(str(about["name"]))
            case "keep-world":
                desk.scene.save_as(str(about["name"]))
            case "new-world":
                desk.hands.chat("/world ")
            case "save-world":
                desk.hands.chat("/world save ")
            case "ask":
                desk.hands.chat("")
            case "stop":
                desk.chatting.stop()
            case "leave":
                desk.hands.leave()
            case "picture":
                desk.hands.picture()
            case "remember":
                desk.chatting.remember(str(about["path"]))
            case _:
                return desk.scene.toured(verb)
        return True

    def _done_to_a_morph(self, verb: str, about: Mapping[str, Any]) -> bool:
        """Whether that was an act of one morph."""
        desk = self._desk
        id = str(about.get("morph", ""))
        match verb:
            case "talk":
                name = str(about.get("persona", ""))
                text = str(about.get("text", ""))
                desk.hands.chat(f"{name}, {text}" if name in PERSONAS else text)
            case "run":
                persona = {"persona": about["persona"]} if about.get("persona") else {}
                desk.effects.show("tool_bench", {"subject": str(about.get("tool", "")), **persona})
            case "written":
                note = desk.world[id]
                state = {**note.state, "text": str(about.get("value", ""))}
                desk.undoing.stepped("write", desk.world, desk.world.put(replace(note, state=state)), f"write {id}")
            case "edit" | "use":
                desk.hands.focus(id)
            case "help":
                desk.effects.show("help", {"about": desk.world[id].kind} if id in desk.world else {})
            case "recolour":
                at = desk.halo["recolour"].at if desk.halo is not None else desk.world.rect(id).centre
                desk.show_menu(colour_menu(id, at, desk.font_scale))
            case "inspect":
                self._inspect(about)
            case "place-tool":
                self._place_tool(str(about["tool"]))
            case "evidence" | "show-tests" if tool := self._tool(id):
                desk.effects.show("tool_bench", {"subject": tool})
            case "evidence" | "history" | "plots" | "show-tests" | "pin-version":
                tab = {"show-tests": "evidence", "pin-version": "history"}.get(verb, verb)
                self._of_proto("inspector", about, tab=tab)
            case "export":
                self._export(about)
            case "browse":
                self._of_proto("browser", about)
            case "workspace":
                self._of_proto("workspace", about)
            case _:
                return False
        return True

    def open_menu(self, at: Point, morph: str) -> None:
        """The menu of a morph, "" for the world's."""
        desk = self._desk
        if not morph:
            desk.show_menu(world_menu(at, desk.font_scale))
            return
        halo = halo_of(desk.world, morph, desk.font_scale)
        of = desk.world[morph]
        lies_in = name_of(desk.world[of.parent]) if of.parent != ROOT else ""
        desk.show_menu(halo_menu(halo, at, proto=proto_of(of), lies_in=lies_in, scale=desk.font_scale))

    def _went_back(self, back: Back | None, what: str) -> None:
        desk = self._desk
        if back is None:
            waits = desk.undoing.history.waits
            desk.notice("The last change is still being undone." if waits else f"There is nothing to {what}.")
        elif back.revert is not None:
            self._revert(back.revert, f"{what} {back.label}")

    def _revert(self, change: int, label: str) -> None:
        """Revert a change of a living thing; the change that does it is what is reverted the other way."""
        desk = self._desk

        def ended(value: Mapping[str, Any] | None, error: A4PSError | None) -> None:
            made = [] if value is None else [each["change"] for each in value["changes"]]
            desk.undoing.reverted(max(made) if made else None)
            if error is not None:
                desk.failed(error)

        desk.calls.send(Revert(change=change, reason=label), ended, label=label)

    def _new_note(self, about: Mapping[str, Any]) -> None:
        desk = self._desk
        at = about.get("at")
        corner = at if isinstance(at, Point) else self._middle()
        id = desk.world.fresh_id("note")
        note = Morph(id, "note", Rect(corner.x, corner.y, 200, 120), {"text": ""})
        desk.undoing.stepped("new note", desk.world, desk.world.add(note))
        desk.give_focus(id)
        desk.hands.focus(id)

    def _middle(self) -> Point:
        """Where a menu opens that was asked for by name."""
        size = self._desk.world.root.rect
        return Point(size.width / 2 - 140, size.height / 4)

    def _tool(self, id: str) -> str:
        """The tool that a morph is, "" where it is none."""
        world = self._desk.world
        return str(world[id].state.get("name", "")) if id in world and world[id].kind == "tool" else ""

    def _of_proto(self, pane: str, about: Mapping[str, Any], **more: str) -> None:
        morph = self._morph(about)
        subject = str(about.get("proto") or (proto_of(morph) if morph is not None else ""))
        if subject:
            self._desk.effects.show(pane, {"subject": subject, **more})
        elif morph is not None:  # what there is of it is its own state
            state = json.dumps(dict(morph.state), ensure_ascii=False, indent=1)
            self._desk.effects.show("inspector", {"value": state, "of": f"the {morph.kind} {name_of(morph)}"})
        else:
            self._desk.notice("There is no living thing behind this.", "inspect a persona, or a tool")

    def _inspect(self, about: Mapping[str, Any]) -> None:
        """Look into it; where the last call of one of its methods failed, at that."""
        morph = self._morph(about)
        subject = str(about.get("proto") or (proto_of(morph) if morph is not None else ""))
        failed = self._desk.following.protos.get(subject, {}).get("failed", ())
        if failed:
            self._desk.effects.show("debugger", {"subject": subject, "method": str(failed[0])})
        else:
            self._of_proto("inspector", about)

    def _living(self) -> Sequence[Item]:
        """What the command palette has of living things: to look into each, and to put tools into the world."""
        items = []
        for name, proto in sorted(self._desk.following.protos.items()):
            items.append(Item(f"Inspect {name}", Act("inspect", {"proto": name}), also=str(proto["role"])))
            if proto["kind"] == "tool":
                tool = name.removeprefix(_TOOLS)
                items.append(Item(f"Put {tool} into the world", Act("place-tool", {"tool": tool}), also="tool morph"))
        return items

    def _place_tool(self, tool: str) -> None:
        """A morph of a tool, in the middle, to be run and to drop personas on."""
        desk = self._desk
        at = self._middle()
        id = desk.world.fresh_id(f"tool-{tool}")
        morph = Morph(id, "tool", Rect(at.x, at.y, 150, 44), {"name": tool})
        desk.undoing.stepped(f"put {tool} into the world", desk.world, desk.world.add(morph))
        desk.give_focus(id)

    def _export(self, about: Mapping[str, Any]) -> None:
        """All of a Proto as text, onto the clipboard."""
        desk, name = self._desk, str(about["proto"])

        def ended(value: Mapping[str, Any] | None, error: A4PSError | None) -> None:
            if error is not None:
                desk.failed(error)
                return
            desk.hands.copy(json.dumps(value, ensure_ascii=False, indent=1))
            desk.notice(f"{name} is on the clipboard as text.", "a4ps image export FOLDER writes the whole image")

        desk.calls.send(Proto(proto=name), ended)

    def _morph(self, about: Mapping[str, Any]) -> Morph | None:
        id = about.get("morph")
        return self._desk.world[id] if isinstance(id, str) and id in self._desk.world else None


def proto_of(morph: Morph) -> str:
    """The Proto that a morph shows: a persona's or a tool's own, a window's subject; "" where it shows none."""
    name, subject = str(morph.state.get("name", "")), str(morph.state.get("subject", ""))
    if morph.kind == "window":
        tool = morph.state.get("pane") == "tool_bench"
        return f"{_TOOLS}{subject}" if tool and subject else subject if morph.state.get("pane") in _OF_PROTOS else ""
    return name if morph.kind == "persona" else f"{_TOOLS}{name}" if morph.kind == "tool" and name else ""
