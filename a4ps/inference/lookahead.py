"""How much loading is still ahead: a search over the calls that are known and those that turns have announced.

Pure. It knows chains of models, what is in memory, sizes and costs; no time, no priorities. Its model of the future is
simple: every announced call comes, whoever is next in its chain can be served as soon as its model is in memory, and a
load serves all who are next in line for it. What it finds is a lower bound where the search was cut, and otherwise the
least loading there is if the evictions of each load are chosen by farthest next use (Belady, "A study of replacement
algorithms for a virtual-storage computer", 1966).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from a4ps.inference.calls import Key

#: The models that one turn still has to call, in order. A chain whose next model is in memory moves on by itself.
Chain: TypeAlias = tuple[Key, ...]

#: Situations looked at before a search gives its bound so far. Three turns of five calls have fewer than 216.
SITUATIONS_MAX = 500


@dataclass(frozen=True, slots=True)
class Weight:
    """What a model takes: bytes when resident, seconds to load."""

    held_bytes: int
    load_s: float


def next_use(key: Key, chains: Iterable[Chain]) -> float:
    """In how many steps `key` is next called; infinite where nobody announced it."""
    return min((chain.index(key) for chain in chains if key in chain), default=math.inf)


def make_room(
    model: Key,
    held: Sequence[Key],
    evictable: Collection[Key],
    chains: Collection[Chain],
    weights: Mapping[Key, Weight],
    usable_bytes: int,
) -> tuple[Key, ...] | None:
    """What to evict for `model`, the farthest next use first, and nothing that need not go. None where it won't fit.

    `held` is in the order of last use, the longest ago first: that decides where nobody announced a next use. A resident
    with the same base always goes.
    """
    victims = [key for key in held if key[0] == model[0]]
    if not set(victims) <= set(evictable):
        return None
    room = usable_bytes - weights[model].held_bytes - sum(weights[key].held_bytes for key in held if key not in victims)
    farthest = sorted((key for key in evictable if key not in victims), key=held.index)
    farthest.sort(key=lambda key: -next_use(key, chains))
    chosen: list[Key] = []
    for key in farthest:
        if room >= 0:
            break
        chosen.append(key)
        room += weights[key].held_bytes
    if room < 0:
        return None
    for key in reversed(chosen.copy()):
        if room >= weights[key].held_bytes:
            chosen.remove(key)
            room -= weights[key].held_bytes
    return (*victims, *chosen)


def loading_ahead_s(
    chains: Iterable[Chain], held: Iterable[Key], weights: Mapping[Key, Weight], usable_bytes: int
) -> float:
    """The least seconds of loading until every chain has ended, with `held` in memory (in any order)."""
    memory = frozenset(held)
    left = served(chains, memory)
    best: dict[tuple[frozenset[Chain], frozenset[Key]], float] = {(left, memory): 0.0}
    frontier = [(_least_s(left, memory, weights), 0, 0.0, left, memory)]
    tick = 0
    while frontier:
        bound, _, spent, left, memory = heapq.heappop(frontier)
        if not left or tick >= SITUATIONS_MAX:
            return bound
        if spent > best[left, memory]:
            continue
        ordered = sorted(memory)
        for model in sorted({chain[0] for chain in left}):
            victims = make_room(model, ordered, ordered, left, weights, usable_bytes)
            if victims is None:
                continue
            then = memory.difference(victims) | {model}
            after = served(left, then)
            cost = spent + weights[model].load_s
            if cost < best.get((after, then), math.inf):
                best[after, then] = cost
                tick += 1
                heapq.heappush(frontier, (cost + _least_s(after, then, weights), tick, cost, after, then))
    return math.inf


def served(chains: Iterable[Chain], memory: Collection[Key]) -> frozenset[Chain]:
    """What is left of the chains once all that `memory` can serve has been served. Equal chains are one."""
    left = set()
    for chain in chains:
        at = next((index for index, key in enumerate(chain) if key not in memory), len(chain))
        if at < len(chain):
            left.add(chain[at:])
    return frozenset(left)


def _least_s(left: Iterable[Chain], memory: Collection[Key], weights: Mapping[Key, Weight]) -> float:
    """A bound from below: each model that is still called and not there is loaded once at least."""
    called = {key for chain in left for key in chain}
    return sum(weights[key].load_s for key in sorted(called.difference(memory)))
