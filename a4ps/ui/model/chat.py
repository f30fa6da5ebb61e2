"""What is entered in the chat field: a question, or a command that begins with "/". Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from a4ps.errors import UsageError
from a4ps.protocol.requests.memory import Remember
from a4ps.protocol.requests.turns import Resume
from a4ps.ui.model.arrangement import PERSONAS
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.pane import Do, Effect, Open, Send


@dataclass(frozen=True, slots=True)
class Question:
    """Put to the society; `everyone`: all four are heard, even on a trifle."""

    text: str
    everyone: bool = False


Said: TypeAlias = Question | Effect


@dataclass(frozen=True, slots=True)
class Slash:
    """A command: its name, what it takes, and what it does with that."""

    name: str
    takes: str
    help: str
    does: Callable[[str], Said]


def said(text: str) -> Said | None:
    """What a line comes to; None for an empty one. Raises UsageError for a command that is unknown or lacks something."""
    text = text.strip()
    if not text.startswith("/"):
        return Question(text) if text else None
    word, _, rest = text[1:].partition(" ")
    rest = rest.strip()
    found = next((each for each in SLASH if each.name == word.casefold()), None)
    if found is None:
        near = get_close_matches(word.casefold(), [each.name for each in SLASH], 1, 0.5)
        raise UsageError(
            f"there is no command /{word[:40]}", next_step=f"did you mean /{near[0]}?" if near else "/help lists them"
        )
    if found.takes and not found.takes.startswith("[") and not rest:
        raise UsageError(f"/{found.name} takes {found.takes}", next_step=f"/{found.name} {found.takes}")
    return found.does(rest)


def completed(text: str, protos: Sequence[str] = tuple(PERSONAS), worlds: Sequence[str] = ()) -> Sequence[str]:
    """What a line which is being written could become: a command, then what it is about, of the names that are known.
    None where it is no command, or takes no name.
    """
    if not text.startswith("/"):
        return ()
    word, space, rest = text.partition(" ")
    if space:
        names = {"/inspect": protos, "/browser": protos, "/theme": ("dark", "light"), "/world": worlds}.get(word, ())
        return [f"{word} {each}" for each in names if each.casefold().startswith(rest.casefold()) and each != rest]
    return [f"/{each.name}{' ' if each.takes else ''}" for each in SLASH if each.name.startswith(text[1:].casefold())]


def help_of(line: str) -> str:
    """What the command of a line takes and does; "" where it is none."""
    found = next((each for each in SLASH if line.strip() == f"/{each.name}"), None)
    return "" if found is None else f"{found.takes}  {found.help}".strip()


def _opens(pane: str, **state: str) -> Callable[[str], Said]:
    return lambda _: Open(pane, dict(state))


def _does(verb: str) -> Callable[[str], Said]:
    return lambda _: Do(Act(verb))


def _about(pane: str, key: str) -> Callable[[str], Said]:
    def does(rest: str) -> Said:
        return Open(pane, {key: rest} if rest else {})

    return does


def _of_proto(pane: str) -> Callable[[str], Said]:
    """Of one of the four however it is written, or of another Proto by its name."""

    def does(rest: str) -> Said:
        name = rest.upper() if rest.upper() in PERSONAS else rest
        return Open(pane, {"subject": name} if name else {})

    return does


def _theme(rest: str) -> Said:
    if rest and rest not in ("dark", "light"):
        raise UsageError(f"there is no theme {rest[:40]}", next_step="/theme dark, or /theme light")
    return Do(Act("theme", {"name": rest} if rest else {}))


def _world(rest: str) -> Said:
    if not rest:
        return Do(Act("worlds"))
    word, _, name = rest.partition(" ")
    if word == "save":
        if not name.strip():
            raise UsageError("a world is saved under a name", next_step="/world save evening")
        return Do(Act("keep-world", {"name": name.strip()}))
    return Do(Act("show-world", {"name": rest}))


def _resume(rest: str) -> Said:
    return Send(Resume(turn=rest, attended=True), f"go on with turn {rest}" if rest else "go on with the last turn")


SLASH = (
    Slash("all", "QUESTION", "have all four heard, even on a trifle", lambda rest: Question(rest, everyone=True)),
    Slash("turn", "ID", "look at an earlier turn again", _about("transcript", "turn")),
    Slash("why", "[ID]", "what an answer rests on", _about("why", "subject")),
    Slash("last", "", "the latest turns", _opens("transcript", earlier="yes")),
    Slash("resume", "[ID]", "finish an interrupted turn", _resume),
    Slash("stop", "", "stop the turn that runs", _does("stop")),
    Slash("remember", "TEXT", "remember it", lambda rest: Send(Remember(texts=[rest]), "remember it")),
    Slash("memory", "[TEXT]", "what belongs to a text", _about("memory", "query")),
    Slash("forget", "TEXT", "find all that holds it, to forget it for good", _about("memory", "query")),
    Slash("approvals", "", "what waits for your word", _opens("approvals")),
    Slash("tools", "[NAME]", "the tools that the four have written", _about("tool_bench", "subject")),
    Slash("inspect", "NAME", "look into a living object", _of_proto("inspector")),
    Slash("browser", "[NAME]", "methods and versions", _of_proto("browser")),
    Slash("workspace", "", "evaluate Python among the living objects", _opens("workspace")),
    Slash("plots", "", "figures over time", _opens("plots")),
    Slash("timeline", "", "all that happened, to look back", _opens("timeline")),
    Slash("models", "", "who speaks with which model", _opens("models")),
    Slash("status", "", "how the backend is", _opens("status")),
    Slash("world", "[NAME]", "another world; /world save NAME keeps this one", _world),
    Slash("theme", "[dark|light]", "how the world looks", _theme),
    Slash("undo", "", "take back the last thing that you did", _does("undo")),
    Slash("redo", "", "do it again", _does("redo")),
    Slash("tour", "", "the guided tour", _does("tour")),
    Slash("help", "", "keys, gestures, handles", _opens("help")),
    Slash("quit", "", "leave; the backend lives on", _does("leave")),
)
