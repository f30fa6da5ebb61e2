"""The chat field: questions, commands, the turn that is stopped, and files that are given to be remembered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a4ps.errors import A4PSError, ApprovalNeeded, Stopped
from a4ps.protocol.requests.memory import ReadIn
from a4ps.protocol.requests.turns import Ask
from a4ps.ui.model import projection
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.chat import Question, said
from a4ps.ui.model.dropping import HUGE_BYTES, Refuse, What, dropped_file
from a4ps.ui.model.geometry import Point
from a4ps.ui.model.menu import Item, Menu

if TYPE_CHECKING:
    from a4ps.ui.desk import Desk

#: A folder is looked through so far to find out how large it is.
_LOOKED_AT = 2_000

#: Requests that are answered by a turn.
_TURNS = ("ask", "resume", "rerun")


class Chatting:
    """That of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def asks(self) -> bool:
        """Whether a turn of ours has no answer yet."""
        return bool(self._desk.calls.under_way(*_TURNS))

    def say(self, text: str) -> None:
        """A question, or a /command. Raises UsageError for one that is unknown or lacks something."""
        match said(text):
            case None:
                pass
            case Question(question, everyone):
                self.ask(question, everyone=everyone)
            case effect:
                self._desk.effects.carry_out("", [effect])

    def wanted(self, step: Mapping[str, Any]) -> None:
        """A step of a command that waits for the Architect's word puts the approval before them; others are nothing."""
        match step:
            case {"step": "wanted", "approval": Mapping() as approval}:
                following = self._desk.following
                following.fold(projection.approval_wanted(following.society, approval))
                self._desk.effects.show("approvals", {}, undoable=False)

    def ask(self, question: str, *, everyone: bool = False) -> None:
        """Put a question to the society; what waits for the Architect's word is asked here."""
        desk, following = self._desk, self._desk.following

        def stepped(step: Mapping[str, Any]) -> None:
            self.wanted(step)
            match step:
                case {"step": "in_line", "ahead": int(ahead)}:
                    following.fold(projection.in_line(following.society, ahead))

        def ended(value: Mapping[str, Any] | None, error: A4PSError | None) -> None:
            if value is not None:
                following.fold(projection.answered(following.society, value))
            if error is None:
                return
            following.fold(projection.ended_badly(following.society, error.message, question))
            desk.failed(error)
            if isinstance(error, ApprovalNeeded):
                desk.effects.show("approvals", {}, undoable=False)

        desk.scene.did("asked")
        following.fold(projection.asked(following.society, question))
        request = Ask(text=question, everyone=everyone, attended=True)
        desk.calls.send(request, ended, stepped=stepped)

    def stop(self) -> None:
        """Stop the oldest turn of ours that has no answer."""
        if asked := self._desk.calls.under_way(*_TURNS):
            self._desk.calls.cancel(asked[0])
        elif self._desk.society.turn.running:
            self._desk.notice("Somebody else asked this; it is theirs to stop.", "or end the backend: a4ps down")
        else:
            self._desk.notice("Nothing is being answered.")

    def drop_file(self, path: str, at: Point) -> None:
        """A file or a folder is to be remembered; where that is much, it is asked first."""
        desk = self._desk
        path = str(Path(path).absolute())
        what, size_bytes = _looked_at(Path(path))
        found = dropped_file(desk.world, path, at, what=what, size_bytes=size_bytes)
        if isinstance(found, Refuse):
            desk.notice(found.text, found.next_step, bad=True)
        elif found.ask:
            yes, no = Item("Remember it", Act("remember", {"path": path})), Item("Leave it", Act("nothing"))
            desk.show_menu(Menu(at, found.ask, (yes, no)))
        else:
            self.remember(path)

    def remember(self, path: str) -> None:
        """Read a file or folder in, with its progress shown."""
        desk = self._desk
        name = Path(path).name

        def ended(value: Mapping[str, Any] | None, error: A4PSError | None) -> None:
            if error is not None:
                if not isinstance(error, Stopped):
                    desk.failed(error)
                return
            assert value is not None
            for each in value["failed"]:
                desk.notice(f"{Path(each['path']).name}: {each['why']}", "drop a text, Markdown or PDF file", bad=True)
            parts = sum(each["new"] for each in value["documents"])
            if value["documents"]:
                desk.notice(f"{name} is remembered: {parts} new parts." if parts else f"{name} was known already.")

        desk.calls.send(ReadIn(files=[path]), ended, label=f"Reading {name}")


def _looked_at(path: Path) -> tuple[What, int]:
    """What lies there, and how large it is; of a folder, as far as it was looked through."""
    try:
        if path.is_file():
            return "file", path.stat().st_size
        if not path.is_dir():
            return ("other" if path.exists() else "missing"), 0
        size_bytes = 0
        for number, each in enumerate(path.rglob("*")):
            if number >= _LOOKED_AT or size_bytes > HUGE_BYTES:
                break
            if each.is_file():
                size_bytes += each.stat().st_size
    except OSError:
        return "missing", 0
    return "folder", size_bytes
