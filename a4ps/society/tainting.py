"""Taint through a turn (I13): whatever a step says has the labels of all that was in its context.

It is done here, around every node, so that no node can forget it. The context of a step is the whole state, and what the
step itself brings in: recalled memories, a tool's result.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from langgraph.types import Command

from a4ps.governance.taint import as_plain, union

StepT = TypeVar("StepT", bound=Callable[..., Awaitable[Any]])


def tainted(node: StepT) -> StepT:
    """`node` with the labels of its context on all that it says."""

    @functools.wraps(node)
    async def step(state: Any, runtime: Any) -> Any:
        outcome = await node(state, runtime)
        if isinstance(outcome, Command):
            return replace(outcome, update=_labelled(state, outcome.update))
        return _labelled(state, outcome)

    return step  # type: ignore[return-value]


def _labelled(state: Any, update: Any) -> dict[str, Any]:
    memories = (memory["taint"] for memory in update.get("memories", ()))
    taint = as_plain(union(state["taint"], update.get("taint", ()), *memories))
    labelled = {name: value for name, value in update.items() if name != "taint"}
    if taint != state["taint"]:
        labelled["taint"] = taint
    if "said" in update:
        labelled["said"] = [{**said, "taint": taint} for said in update["said"]]
    return labelled
