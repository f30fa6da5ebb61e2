"""Sleep: when nobody asks anything, ALFRED merges what is remembered twice and distils turns into facts.

A model proposes, code decides: a fact counts only if it is from turns it was shown, and if most of its words are theirs; it
carries the taint of all that those turns were made from. Everything of a night is one commit at its end, so that who is
woken leaves nothing half done, and can be undone.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from pydantic import BaseModel

from a4ps.errors import PeerError
from a4ps.memory.consolidation import Consolidation, Night
from a4ps.memory.records import Memory, Records
from a4ps.memory.words import content_words, coverage
from a4ps.personas import prompting
from a4ps.tools.asking import Asker

_log = logging.getLogger(__name__)

#: Turns shown in one call, calls in a night, and characters of a turn.
EPISODES, CALLS, EPISODE_CHARS = 6, 5, 700

#: Facts of one call at most.
FACTS = 5

#: The share of a fact's words that its sources must contain, and how long it may be.
GROUNDED, FACT_CHARS = 0.6, 300


class FactShape(BaseModel):
    """One fact, as ALFRED proposes it."""

    text: str
    sources: list[str]


class FactsShape(BaseModel):
    """All he found in some turns."""

    facts: list[FactShape]


@dataclass(frozen=True, slots=True)
class Sleeper:
    """Consolidates one image's memory; one night at a time."""

    records: Records
    asker: Asker

    async def sleep(self) -> Night | None:
        """One night; None where there was nothing to do. Cancelled, nothing was done.

        An engine that fails, or is only rehearsing, leaves the turns for another night.
        """
        consolidation = Consolidation(self.records)
        merged = await asyncio.to_thread(consolidation.duplicates)
        facts: list[Memory] = []
        looked_at: list[str] = []
        if self.asker.engine.name != "rehearsal":
            episodes = await asyncio.to_thread(consolidation.episodes, EPISODES * CALLS)
            try:
                for first in range(0, len(episodes), EPISODES):
                    some = episodes[first : first + EPISODES]
                    facts += await self._distilled(some)
                    looked_at += [episode.id for episode in some]
            except PeerError as error:
                _log.warning("a night ended early: %s", error.message)
        return await asyncio.to_thread(consolidation.keep, merged, facts, looked_at)

    async def _distilled(self, episodes: list[Memory]) -> list[Memory]:
        shown = "\n".join(
            prompting.quote(f"[{episode.id}] {' '.join(episode.text.split())[:EPISODE_CHARS]}") for episode in episodes
        )
        proposed = await self.asker.shaped(
            "ALFRED", "distil", FactsShape.model_json_schema(), FactsShape.model_validate_json, episodes=shown
        )
        by_id = {episode.id: episode for episode in episodes}
        return await asyncio.to_thread(self._facts, proposed, by_id)

    def _facts(self, proposed: FactsShape, by_id: dict[str, Memory]) -> list[Memory]:
        return [self._fact(fact, by_id) for fact in proposed.facts[:FACTS] if grounded(fact, by_id)]

    def _fact(self, fact: FactShape, by_id: dict[str, Memory]) -> Memory:
        sources = tuple(dict.fromkeys(fact.sources))
        return self.records.note(
            fact.text.strip(),
            kind="fact",
            at=max(by_id[source].at for source in sources),
            origin=f"turn{'s' if len(sources) > 1 else ''} {', '.join(sources)}",
            persona="ALFRED",
            turn=sources[-1],
            taint=frozenset().union(*(self._taint_of(source, set()) for source in sources)),
            links=sources,
        )

    def _taint_of(self, id_: str, seen: set[str]) -> frozenset[str]:
        """The taint of a memory and of all that entered it, where nobody vouched for it."""
        memory = self.records.find(id_)
        if memory is None or id_ in seen:
            return frozenset()
        if memory.vouched:
            return memory.taint
        seen.add(id_)
        reply = self.records.log.reply(id_) if memory.kind == "turn" else None
        below = [used.id for used in reply.memories_used] if reply is not None else []
        return memory.taint.union(*(self._taint_of(each, seen) for each in (*below, *memory.links)))


def grounded(fact: FactShape, episodes: dict[str, Memory]) -> bool:
    """Whether a fact is from turns that were shown, and says what they say."""
    text = fact.text.strip()
    if not text or len(text) > FACT_CHARS or not fact.sources or not {*fact.sources} <= {*episodes}:
        return False
    said = " ".join(episodes[source].text for source in fact.sources)
    return coverage(content_words(text), said) >= GROUNDED
