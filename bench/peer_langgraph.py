"""LangGraph as its documentation shows it: five nodes in a row, each adding one message, so five supersteps a turn.

The nodes return their text at once and call no chat model, which would cost LangGraph a millisecond each; they neither
recall nor index nor sign anything. Savers have their default settings and threads are never deleted.
"""

from __future__ import annotations

import os

os.environ.update(LANGSMITH_TRACING="false", LANGCHAIN_TRACING_V2="false", LANGCHAIN_TRACING="false")

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from bench.meter import TakeTurn
from bench.texts import TurnText

STEPS = ("plan", "thesis", "antithesis", "findings", "synthesis")


class _Script:
    """What the nodes say in the turn at hand."""

    text: TurnText

    def node(self, step: str) -> Any:
        async def speak(state: MessagesState) -> dict[str, Any]:
            del state
            return {"messages": [AIMessage(getattr(self.text, step), name=step)]}

        return speak


def _graph(saver: AsyncSqliteSaver | None, thread_of: Callable[[TurnText], str]) -> TakeTurn:
    script = _Script()
    graph = StateGraph(MessagesState)
    for step in STEPS:
        graph.add_node(step, script.node(step))
    graph.add_edge(START, STEPS[0])
    for before, after in pairwise(STEPS):
        graph.add_edge(before, after)
    compiled = graph.compile(checkpointer=saver)

    async def take(text: TurnText) -> None:
        script.text = text
        question: Any = {"messages": [HumanMessage(text.question)]}
        end = await compiled.ainvoke(question, {"configurable": {"thread_id": thread_of(text)}})
        assert end["messages"][-1].content == text.synthesis

    return take


@asynccontextmanager
async def bare(home: Path) -> AsyncIterator[TakeTurn]:
    """No checkpointer: nothing is kept."""
    del home
    yield _graph(None, lambda text: str(text.number))


@asynccontextmanager
async def fresh_threads(home: Path) -> AsyncIterator[TakeTurn]:
    """AsyncSqliteSaver, a new thread for each turn."""
    async with AsyncSqliteSaver.from_conn_string(str(home / "checkpoints.sqlite")) as saver:
        yield _graph(saver, lambda text: str(text.number))


@asynccontextmanager
async def one_thread(home: Path) -> AsyncIterator[TakeTurn]:
    """AsyncSqliteSaver, one thread for the whole conversation, in which messages add up."""
    async with AsyncSqliteSaver.from_conn_string(str(home / "checkpoints.sqlite")) as saver:
        yield _graph(saver, lambda _: "conversation")
