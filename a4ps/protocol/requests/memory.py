"""Requests about memory: what is remembered beside the conversations, how it is found, and what is said of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from a4ps.governance.roles import Role
from a4ps.protocol.objects import (
    EmbeddedObject,
    MemoriesObject,
    MemoryPinnedObject,
    MemoryRebuiltObject,
    MemorySearchObject,
    NightObject,
    ReadInObject,
    RememberedObject,
    VouchedObject,
)
from a4ps.protocol.requests.base import FilePath, Request

#: No bound, as bounded ones refuse what is no UTF-8: that there is no such memory is said in its own words.
MemoryId = str


class Remember(Request, name="remember", gives=RememberedObject):
    """Remember texts, each as a memory of its own. Those whose places are in `untrusted` may be anybody's, as what came
    through a pipe.
    """

    texts: Annotated[list[str], Field(min_length=1, max_length=10_000)]
    untrusted: Annotated[list[int], Field(max_length=10_000)] = Field(default_factory=list)


class ReadIn(Request, name="read_in", gives=ReadInObject, needs=Role.ARCHITECT, again=True):
    """Remember files, and all files of folders. Done again, it goes on where it was.

    Where it is one file, and that is unreadable, the request fails; of several, each that is is in `failed`.
    """

    files: Annotated[list[FilePath], Field(min_length=1, max_length=50_000)]


class Embed(Request, name="embed", gives=EmbeddedObject, again=True):
    """Wait until every memory has its vector; `embeds` says whether there is anything that makes them."""


class Search(Request, name="search", gives=MemorySearchObject, needs=Role.GUEST, again=True):
    """What belongs to a text, as a turn would find it."""

    query: str
    limit: Annotated[int, Field(ge=1, le=100)] = 10


class Pin(Request, name="pin", gives=MemoryPinnedObject, needs=Role.ARCHITECT):
    """Mark a memory as important; with `off`, let it weigh again what it weighs by itself."""

    id: MemoryId
    off: bool = False


class Vouch(Request, name="vouch", gives=VouchedObject, needs=Role.ARCHITECT):
    """Vouch for memories or whole documents that are marked as untrusted; `off` takes it back."""

    ids: Annotated[list[MemoryId], Field(min_length=1, max_length=10_000)]
    off: bool = False


class Memories(Request, name="memories", gives=MemoriesObject, again=True):
    """Some memories, the oldest first, the turns before the others. Go on with the `kind` and `after` that are returned;
    the `kind` is "" after the last.
    """

    kind: Literal["reply", "memory"] = "reply"
    after: Annotated[int, Field(ge=-1, lt=1 << 63)] = -1


class Rebuild(Request, name="rebuild", gives=MemoryRebuiltObject, again=True):
    """Make anew what memory is searched with, embedding what has no vector yet."""


class Sleep(Request, name="sleep", gives=NightObject):
    """Consolidate memory now. Stopped, nothing is changed."""


class UndoNight(Request, name="undo_night", gives=NightObject):
    """Take back what the last night did."""
