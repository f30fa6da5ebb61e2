"""In which order a Proto's ancestors are asked: the C3 linearisation of its parents' names. Pure.

C3 is Python's own order of base classes (Barrett et al., "A monotonic superclass linearization for Dylan", 1996): a
child comes before its parents, and parents keep the order in which each child names them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from a4ps.errors import CycleRefused

ParentsOf = Callable[[str], Sequence[str]]


def linearise(name: str, parents_of: ParentsOf) -> tuple[str, ...]:
    """`name` and its ancestors, in the order in which they are asked.

    Raises CycleRefused where the parents lead back to a child or contradict each other's order, and whatever
    `parents_of` raises for a name that it does not know.
    """
    orders: dict[str, tuple[str, ...]] = {}
    path: dict[str, None] = {}
    # A stack of our own: a chain of parents may be longer than Python's recursion.
    waiting = [name]
    while waiting:
        current = waiting[-1]
        if current in orders:
            waiting.pop()
            continue
        parents = tuple(parents_of(current))
        path[current] = None
        missing = [parent for parent in parents if parent not in orders]
        for parent in missing:
            if parent in path:
                raise CycleRefused(
                    f"{current} cannot have {parent} as its parent: {parent} descends from it",
                    next_step="choose parents that do not lead back",
                )
        if missing:
            waiting.append(missing[0])
            continue
        orders[current] = (current, *_merge(current, [*(orders[parent] for parent in parents), parents]))
        del path[current]
        waiting.pop()
    return orders[name]


def _merge(name: str, orders: Sequence[Sequence[str]]) -> Sequence[str]:
    if len(orders) == 2:
        return orders[0]  # of one parent
    merged: list[str] = []
    rest = [list(order) for order in orders if order]
    while rest:
        head = next((order[0] for order in rest if not any(order[0] in other[1:] for other in rest)), None)
        if head is None:
            names = ", ".join(sorted({order[0] for order in rest}))
            raise CycleRefused(
                f"the parents of {name} contradict each other about the order of {names}",
                next_step="name the parents in the order in which their own parents name them",
            )
        merged.append(head)
        rest = [[each for each in order if each != head] for order in rest]
        rest = [order for order in rest if order]
    return merged
