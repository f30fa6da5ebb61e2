"""Vectors follow their memories: what the embedder of the settings has not seen is embedded, kept, and taken into the index.

In the background of whichever process has the image, the newest first. It goes on where it stopped: what has no vector in
the image is what is left. After a change of embedder that is everything. One memory that the embedder refuses is passed
over until the process ends; where it cannot embed at all, the next memory has it tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from a4ps.clock import Clock
from a4ps.errors import A4PSError, PeerError
from a4ps.image.rows import place_of
from a4ps.memory.records import MEMORY, REPLY, VECTOR, Memory, Records
from a4ps.memory.tuning import Options

if TYPE_CHECKING:  # numpy and LanceDB wait until there are vectors
    from a4ps.memory.embedding import Embedder, Embeds, Known
    from a4ps.memory.vector_index import VectorIndex

_log = logging.getLogger(__name__)

#: Memories embedded in one call: a question that comes meanwhile waits for one call. And vectors kept in one commit.
EMBEDDED_AT_ONCE, KEPT_AT_ONCE = 8, 64


@dataclass(frozen=True, slots=True)
class Means:
    """What vectors need: what embeds, a folder for the index, and how it is made.

    `floor` is the relevance under which a vector alone does not make a memory relevant; `prefixes` is what the embedder
    wants before a question and before a memory.
    """

    engine: Embeds
    folder: Path
    clock: Clock
    floor: float
    prefixes: tuple[str, str] = ("", "")
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class Following:
    """How far it is: memories embedded since it last began, those still to come, and how many a second."""

    done: int = 0
    left: int = 0
    per_s: float = 0.0


class Opened:
    """What is slow to import, measure and open, once it is."""

    def __init__(self, embedder: Embedder, known: Known, index: VectorIndex) -> None:
        self.embedder = embedder
        self.known = known
        self.index = index


class Backlog:
    """The memories without a vector, looked for in the image. From one thread at a time."""

    def __init__(self, records: Records, identity: str) -> None:
        self._records = records
        self._kind = VECTOR + identity
        newest = place_of(records.store.generation + 1, 0) - 1
        self._places = {REPLY: newest, MEMORY: newest}
        self._ids = deque(records.without_vector(identity))

    def __len__(self) -> int:
        return len(self._ids)

    def some(self, limit: int) -> list[Memory]:
        """The next ones, at most `limit`; none when all have their vectors. What is new comes first."""
        for kind, place in self._places.items():
            for row in self._records.rows(kind, place):
                self._places[kind] = row.place
                self._ids.appendleft(row.key)
        found: list[Memory] = []
        while self._ids and len(found) < limit:
            memory = self._records.find(self._ids.popleft())
            if memory is not None and self._records.store.head(self._kind, memory.id) is None:
                found.append(memory)
        return found


class Follower:
    """One image's vectors. One event loop; `run` is a task of its own.

    It ends when it is cancelled, or with a bug, and may then be called again.
    """

    def __init__(self, records: Records, means: Means) -> None:
        self.opened: Opened | None = None
        self.progress = Following()
        self.fault = ""
        self._records = records
        self._means = means
        self._backlog: Backlog | None = None
        self._woken = asyncio.Event()
        self._tried = asyncio.Event()
        self._even = asyncio.Event()

    def wake(self) -> None:
        """There is something new to remember."""
        self._even.clear()
        self._woken.set()

    async def tried(self) -> None:
        """Return once the index can be asked, whatever has still to be embedded, or it turned out that it cannot."""
        await self._tried.wait()

    async def even(self) -> None:
        """Return when all memories are embedded and in the index, or it turned out that they cannot be."""
        await self._even.wait()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            try:
                opened = await self._open()
                self._tried.set()
                await self._embed_all(opened)
                self.fault = ""
            except A4PSError as error:
                self.fault = error.message
                _log.warning("memories are not embedded: %s", error.message)
            except Exception as error:
                self.fault = f"the vectors failed: {error}"  # and full text serves on
                self._settle()
                raise
            self._settle()
            await self._woken.wait()

    def _settle(self) -> None:
        """Whoever waits for it need not wait for what has failed."""
        self._tried.set()
        if not self._woken.is_set():
            self._even.set()

    async def aclose(self) -> None:
        """Close the index, after `run` has ended."""
        opened, self.opened = self.opened, None
        if opened is not None:
            await asyncio.to_thread(opened.index.close)

    async def _open(self) -> Opened:
        if self.opened is None:
            embedder_of, index_of = await asyncio.to_thread(_imported)
            embedder = embedder_of(self._means.engine, self._records, self._means.prefixes)
            known = await embedder.known()
            index = index_of(self._means.folder, self._records, known.identity, known.dimensions, self._means.options)
            self.opened = Opened(embedder, known, index)
            try:
                await asyncio.wrap_future(index.open())
            except BaseException:
                await self.aclose()
                raise
        return self.opened

    async def _embed_all(self, opened: Opened) -> None:
        if self._backlog is None:
            self._backlog = await asyncio.to_thread(Backlog, self._records, opened.known.identity)
        began_s, done = self._means.clock.monotonic_s(), 0
        kept: dict[str, bytes] = {}
        while batch := await asyncio.to_thread(self._backlog.some, EMBEDDED_AT_ONCE):
            kept.update(await self._embedded(opened, batch))
            done += len(batch)
            seconds = max(1e-9, self._means.clock.monotonic_s() - began_s)
            self.progress = Following(done, len(self._backlog), done / seconds)
            if len(kept) >= KEPT_AT_ONCE or not len(self._backlog):
                await self._keep(opened, kept)
                kept = {}
        if kept:
            await self._keep(opened, kept)

    async def _embedded(self, opened: Opened, batch: Sequence[Memory]) -> dict[str, bytes]:
        """Id → vector; of a batch that is refused, those that are not refused alone.

        Raises `PeerError` where every one of them is, or none can be asked.
        """
        from a4ps.memory.vectors import to_payloads

        try:
            vectors = await opened.embedder.memories([memory.text for memory in batch])
            return dict(zip((memory.id for memory in batch), to_payloads(vectors), strict=True))
        except PeerError as refused:
            alone: dict[str, bytes] = {}
            for memory in batch if len(batch) > 1 else ():
                try:
                    alone[memory.id] = to_payloads(await opened.embedder.memories([memory.text]))[0]
                except PeerError as error:
                    _log.warning("memory %s is passed over: %s", memory.id, error.message)
            if not alone:
                self._backlog = None  # looked for anew, next time
                raise refused from None
            return alone

    async def _keep(self, opened: Opened, kept: dict[str, bytes]) -> None:
        await asyncio.to_thread(self._records.keep_vectors, opened.known.identity, kept)
        await asyncio.wrap_future(opened.index.follow())


def _imported() -> tuple[type[Embedder], type[VectorIndex]]:
    """In a thread: numpy takes a tenth of a second, LanceDB one or more."""
    import lancedb  # noqa: F401 - so that it is not the first search that waits for it

    from a4ps.memory.embedding import Embedder
    from a4ps.memory.vector_index import VectorIndex

    return Embedder, VectorIndex
