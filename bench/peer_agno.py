"""agno with its SqliteDb and a model that answers at once. Runs in the peers' environment; telemetry is off.

Two shapes: one agent that says all five contributions in one call (agno at its leanest), and a workflow of five steps
with an agent each. Both keep one session, as a conversation does, with the defaults for history.
"""

from __future__ import annotations

import os

os.environ.update(AGNO_TELEMETRY="false", OTEL_SDK_DISABLED="true")

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agno.agent import Agent  # type: ignore[import-not-found,unused-ignore]
from agno.db.sqlite import SqliteDb  # type: ignore[import-not-found,unused-ignore]
from agno.models.base import Model  # type: ignore[import-not-found,unused-ignore]
from agno.models.response import ModelResponse  # type: ignore[import-not-found,unused-ignore]
from agno.workflow import Step, Workflow  # type: ignore[import-not-found,unused-ignore]

from bench.meter import TakeTurn
from bench.texts import TurnText


class _Scripted(Model):  # type: ignore[misc,unused-ignore]
    """Says the lines of `said`, one a call."""

    said: Iterator[str] = iter(())

    async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
        del args, kwargs
        return ModelResponse(role="assistant", content=next(_Scripted.said))

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def ainvoke_stream(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> Any:
        del kwargs
        return response

    def _parse_provider_response_delta(self, response: Any) -> Any:
        return response


@asynccontextmanager
async def one_agent(home: Path) -> AsyncIterator[TakeTurn]:
    """One call a turn."""
    database = SqliteDb(db_file=str(home / "agno.sqlite"))
    agent = Agent(model=_Scripted(id="scripted"), db=database, session_id="conversation", telemetry=False)

    async def take(text: TurnText) -> None:
        whole = "\n\n".join(text.contributions)
        _Scripted.said = iter([whole])
        run = await agent.arun(text.question)
        assert run.content == whole

    yield take


@asynccontextmanager
async def five_steps(home: Path) -> AsyncIterator[TakeTurn]:
    """A workflow: five steps, each an agent, five calls a turn."""
    database = SqliteDb(db_file=str(home / "agno.sqlite"))
    names = ("plan", "thesis", "antithesis", "findings", "synthesis")
    steps = [Step(name=name, agent=Agent(name=name, model=_Scripted(id="scripted"), telemetry=False)) for name in names]
    workflow = Workflow(name="turn", db=database, steps=steps, session_id="conversation", telemetry=False)

    async def take(text: TurnText) -> None:
        _Scripted.said = iter(text.contributions)
        run = await workflow.arun(text.question)
        assert run.content == text.synthesis

    yield take
