"""The least loading that any order of calls needs, found by looking at all of them. It shares no code with the scheduler.

It knows everything beforehand: all turns are there from the start, and each turn's next call comes when the one before
has ended. Calls take no time here: only loads count.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import combinations

from a4ps.inference.calls import Model, SwitchCost

#: More calls than these are not searched: the work grows with the product of the turns' lengths.
CALLS_MAX = 16


def least_loading_s(turns: Sequence[Sequence[Model]], budget_bytes: int, cost: SwitchCost) -> float:
    """Seconds of loading that the best order of serving, loading and evicting needs, from empty memory.

    Dijkstra over (how far each turn is, what is in memory); a step serves one call or loads one model in place of any
    residents. Raises `ValueError` beyond `CALLS_MAX` calls and where a model exceeds the budget.
    """
    if sum(map(len, turns)) > CALLS_MAX:
        raise ValueError(f"more than {CALLS_MAX} calls")
    models = sorted({model for turn in turns for model in turn}, key=str)
    if any(model.need_bytes > budget_bytes for model in models):
        raise ValueError("a model exceeds the budget")
    start = (tuple(0 for _ in turns), frozenset[Model]())
    spent = {start: 0.0}
    frontier = [(0.0, 0, *start)]
    ticket = 0
    while True:
        so_far, _, places, memory = heapq.heappop(frontier)
        if so_far > spent[places, memory]:
            continue
        if all(place == len(turn) for place, turn in zip(places, turns, strict=True)):
            return so_far
        reached = [(so_far, after, memory) for after in _serve(places, turns, memory, cost)]
        reached += [
            (so_far + cost.seconds(model), places, after)
            for model in models
            for after in _load(model, memory, budget_bytes)
        ]
        for total, after, then in reached:
            if total < spent.get((after, then), float("inf")):
                spent[after, then] = total
                ticket += 1
                heapq.heappush(frontier, (total, ticket, after, then))


def loads_in_order(models: Sequence[Model], cost: SwitchCost) -> int:
    """The causal floor of calls that can come in one order only, with room for one model: the changes of model."""
    keys = [cost.key(model) for model in models]
    return sum(key != before for key, before in zip(keys, [None, *keys], strict=False))


def _serve(
    places: tuple[int, ...], turns: Sequence[Sequence[Model]], memory: frozenset[Model], cost: SwitchCost
) -> Iterator[tuple[int, ...]]:
    held = {cost.key(model) for model in memory}
    for number, turn in enumerate(turns):
        place = places[number]
        if place < len(turn) and cost.key(turn[place]) in held:
            yield (*places[:number], place + 1, *places[number + 1 :])


def _load(model: Model, memory: frozenset[Model], budget_bytes: int) -> Iterator[frozenset[Model]]:
    if model in memory:
        return
    others = [each for each in memory if each.base != model.base]
    for count in range(len(others) + 1):
        for kept in combinations(others, count):
            if sum(each.need_bytes for each in kept) + model.need_bytes <= budget_bytes:
                yield frozenset((*kept, model))
