"""What it means to drop something somewhere: a file on the world, a persona on a tool, a tool on a persona. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from a4ps.ui.model.geometry import Point
from a4ps.ui.model.hit import topmost_at
from a4ps.ui.model.morph import World

#: A file that is larger is asked about before it is remembered.
LARGE_BYTES = 1_000_000
#: One that is larger than that is refused: reading it in would take hours.
HUGE_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class RunTool:
    """A persona and a tool came together: the user is asked for the arguments, and the run is the persona's affair."""

    tool: str
    persona: str


Dropped: TypeAlias = RunTool


def dropped_on(world: World, id: str, at: Point) -> Dropped | None:
    """What letting go of a morph there means beside lying there; None where it means nothing more."""
    under = topmost_at(world, at, without=id)
    if under is None:
        return None
    kinds = {world[id].kind: world[id], world[under].kind: world[under]}
    if set(kinds) != {"persona", "tool"}:
        return None
    return RunTool(str(kinds["tool"].state.get("name", "")), str(kinds["persona"].state.get("name", "")))


@dataclass(frozen=True, slots=True)
class Remember:
    """A file is to be remembered. `ask` is the question that comes first, "" for none; `persona` to whom it was given."""

    path: str
    ask: str = ""
    persona: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """It cannot be taken in; why, and what can be done."""

    text: str
    next_step: str


What: TypeAlias = Literal["file", "folder", "missing", "other"]


def dropped_file(world: World, path: str, at: Point, *, what: What, size_bytes: int) -> Remember | Refuse:
    """What dropping a file comes to. `what` lies at the path, and `size_bytes` is its size, or that of all in the folder."""
    name = path.rstrip("/").rpartition("/")[2] or path
    if what == "missing":
        return Refuse(f"{name} is not there any more", "drop it again from where it lies now")
    if what == "other":
        return Refuse(
            f"{name} is neither a file nor a folder", "drop a text, Markdown or PDF file, or a folder of such"
        )
    if what == "file" and size_bytes == 0:
        return Refuse(f"{name} is empty", "drop a file that has text in it")
    if size_bytes > HUGE_BYTES:
        return Refuse(
            f"{name} is {in_words(size_bytes)}: too much to remember in one go",
            f"drop a part of it, at most {in_words(HUGE_BYTES)}",
        )
    under = topmost_at(world, at)
    persona = str(world[under].state.get("name", "")) if under is not None and world[under].kind == "persona" else ""
    ask = ""
    if what == "folder":
        ask = f"Remember all texts in {name}, {in_words(size_bytes)}?"
    elif size_bytes > LARGE_BYTES:
        ask = f"{name} is {in_words(size_bytes)}. Remember all of it?"
    return Remember(path, ask, persona)


def in_words(size_bytes: int) -> str:
    """A size as people say it: "312 kB", "4.2 MB"."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
