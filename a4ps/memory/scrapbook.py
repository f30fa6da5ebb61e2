"""Sidekick's Scrapbook: long-term memory as the society uses it. What is remembered is in `records.py`; here it is found.

Full text serves at once. Vectors follow in the background (`following.py`) and are used where they are ready: a question
waits a moment for an index that is just being opened and for its own vector, and is else answered from full text. Without
`Means` there are no vectors, and full text serves alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from a4ps.errors import A4PSError
from a4ps.memory.following import Follower, Following, Means
from a4ps.memory.recall import CANDIDATES_EACH, Near, Nearest, Recalled, cut_to_passage, recall
from a4ps.memory.records import Records

if TYPE_CHECKING:  # numpy waits until there are vectors
    from a4ps.memory.vector_index import Rebuilt
    from a4ps.memory.vectors import Vectors

_log = logging.getLogger(__name__)

#: How long a question waits in all: what asks once and ends, as `a4ps ask`, would never find by vectors otherwise.
QUESTION_WAIT_S = 2.0

#: The index is asked for so many at least: some of what it finds may be of another time, or rehearsed.
NEAREST_MIN = 30


@dataclass(frozen=True, slots=True)
class ScrapbookStatistics:
    """How many memories there are and how many are found by vector; how many are left to embed, and how many a second are.

    `embedder` is the identity of what embeds, "" while none does; `fault` says why there are no (new) vectors.
    """

    memories: int
    vectors: int
    left: int
    per_s: float
    embedder: str
    fault: str


#: Runs what goes on in the background under a name, as long as it is not cancelled, and sees to what becomes of it.
Watch: TypeAlias = Callable[[str, Callable[[], Awaitable[None]]], Coroutine[Any, Any, None]]


async def unwatched(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Where nobody looks after it: what ends it is logged."""
    try:
        await run()
    except Exception:
        _log.exception("%s has ended", name)
        raise


class Scrapbook:
    """The memory of one open image. One event loop; `aclose` before the image is closed."""

    def __init__(self, records: Records, means: Means | None = None, watch: Watch = unwatched) -> None:
        """Starts nothing."""
        self._watch = watch
        self.records = records
        self._means = means
        self._follower: Follower | None = None
        self._task: asyncio.Task[None] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._asked: set[asyncio.Task[Vectors]] = set()
        self._counted = -1, 0  # a generation, and how many memories it had

    async def recall(
        self,
        question: str,
        now: datetime,
        *,
        limit: int,
        floor: float,
        rehearsed: bool,
        before: int | None = None,
        passage_chars: int = 0,
    ) -> tuple[Recalled, ...]:
        """The memories that belong to `question`, best first: see `recall.recall`.

        With `passage_chars`, of what is no turn only the passage that has most to do with the question.
        """

        def look(near: Nearest | None = None, near_floor: float = 1.0) -> tuple[Recalled, ...]:
            found = recall(
                self.records,
                question,
                now,
                limit=limit,
                floor=floor,
                rehearsed=rehearsed,
                before=before,
                near=near,
                near_floor=near_floor,
            )
            return (
                tuple(cut_to_passage(memory, question, passage_chars) for memory in found) if passage_chars else found
            )

        vector = await self._vector_of(question) if limit else None
        opened = self._follower.opened if self._follower is not None else None
        if vector is None or opened is None or self._pool is None or self._means is None:
            return look()
        wanted = max(NEAREST_MIN, limit * CANDIDATES_EACH)

        def nearest() -> Sequence[Near] | None:
            found = opened.index.near(vector, wanted)
            return None if found is None else [Near(id_, opened.known.relevance(cosine)) for id_, cosine in found]

        # Both look at the same time: neither holds Python's lock for long while it does.
        searching = self._pool.submit(nearest)
        return await asyncio.wrap_future(self._pool.submit(look, searching.result, self._means.floor))

    # Vectors

    @property
    def has_vectors(self) -> bool:
        """Whether a question is searched for by its vector now."""
        opened = self._follower.opened if self._follower is not None else None
        return opened is not None and opened.index.ready

    @property
    def embeds(self) -> bool:
        """Whether there is anything that embeds."""
        return self._means is not None

    @property
    def embedder(self) -> str:
        """The identity of what embeds, "" while there is none in use."""
        opened = self._follower.opened if self._follower is not None else None
        return "" if opened is None else opened.known.identity

    @property
    def following(self) -> Following:
        """How far the vectors are."""
        return self._follower.progress if self._follower is not None else Following()

    @property
    def fault(self) -> str:
        """Why there are no vectors, or no new ones; "" where all is well."""
        return self._follower.fault if self._follower is not None else ""

    def statistics(self) -> ScrapbookStatistics:
        """How it is now. Counts in the image where that has changed since the last time. Raises what reading raises."""
        generation = self.records.store.generation
        if self._counted[0] != generation:
            self._counted = generation, self.records.count()
        state = self._follower.opened.index.state if self._follower is not None and self._follower.opened else None
        vectors = 0 if state is None else state.rows
        following = self.following
        return ScrapbookStatistics(
            self._counted[1], vectors, following.left, following.per_s, self.embedder, self.fault
        )

    def start(self) -> None:
        """Begin to open the index and to embed what has no vector. Nothing without means; idempotent."""
        if self._means is not None and self._follower is None:
            self._follower = Follower(self.records, self._means)
            self._pool = ThreadPoolExecutor(2, "a4ps-recall")
            self._task = asyncio.create_task(self._watch("memory", self._follower.run), name="memory")

    def wake(self) -> None:
        """There is something new to remember."""
        if self._follower is not None:
            self._follower.wake()

    async def ready(self) -> None:
        """Return once the index can be asked, or turned out to be of no use: `fault` says why. Starts it."""
        self.start()
        if self._follower is not None:
            await self._follower.tried()

    async def even(self) -> None:
        """Return when every memory is embedded and in the index, or that turned out to be impossible. Starts it."""
        self.start()
        if self._follower is not None:
            await self._follower.even()

    async def rebuild(self) -> Rebuilt | None:
        """Make the index anew from the vectors in the image; None where there are none to be had: `fault` says why."""
        await self.ready()
        opened = self._follower.opened if self._follower is not None else None
        if opened is None:
            return None
        return await asyncio.wrap_future(opened.index.rebuild())

    async def purge(self, ids: Iterable[str]) -> int:
        """Rewrite the index without these, no older version left. For whoever forgets, once the image has forgotten them.

        Returns how many damaged tables, put aside earlier, were removed with it: nobody can look into them.
        """
        if self._means is None:
            return 0
        opened = self._follower.opened if self._follower is not None else None
        if opened is not None:
            return await asyncio.wrap_future(opened.index.purge(ids))
        from a4ps.memory.vector_index import remove_all

        return await asyncio.to_thread(remove_all, self._means.folder)  # made anew when it is next wanted

    async def aclose(self) -> None:
        """End what is under way; what was embedded and not kept is embedded again. Idempotent."""
        for task in (self._task, *self._asked):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        self._task = None
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown)
            self._pool = None
        if self._follower is not None:
            await self._follower.aclose()

    async def _vector_of(self, question: str) -> Vectors | None:
        """The question's vector, None where there is none to be had in time."""
        if self._follower is None:
            return None
        try:
            async with asyncio.timeout(QUESTION_WAIT_S):
                await self._follower.tried()
                opened = self._follower.opened
                if opened is None or not opened.index.ready:
                    return None
                asked = asyncio.create_task(opened.embedder.question(question))
                self._asked.add(asked)
                asked.add_done_callback(self._settled)
                return await asyncio.shield(asked)  # what embeds may be killed where it is cancelled
        except (TimeoutError, A4PSError):
            return None

    def _settled(self, asked: asyncio.Task[Vectors]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled() and (error := asked.exception()) is not None:
            _log.warning("a question could not be embedded: %s", error)
