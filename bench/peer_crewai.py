"""CrewAI with a language model that answers at once: four agents, five tasks in a row. Runs in the peers' environment.

The crew is made anew for each turn, because a task's description holds the question; memory, planning and verbosity are
off, as by default. Telemetry and tracing are off; CrewAI's own records are sent to the bench's folder and counted.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.meter import TakeTurn
from bench.texts import TurnText

TASKS = (
    ("ALFRED", "Plan the answer"),
    ("BRICK", "Give your thesis"),
    ("ROBIN", "Give your antithesis"),
    ("BABS", "Report your findings"),
    ("ALFRED", "Judge and answer"),
)


@asynccontextmanager
async def four_agents(home: Path) -> AsyncIterator[TakeTurn]:
    """Five calls a turn."""
    os.environ.update(
        CREWAI_DISABLE_TELEMETRY="true",
        CREWAI_DISABLE_TRACKING="true",
        CREWAI_TRACING_ENABLED="false",
        OTEL_SDK_DISABLED="true",
        ANONYMIZED_TELEMETRY="false",
        CREWAI_STORAGE_DIR=str(home / "crewai"),
        HOME=str(home),
        XDG_DATA_HOME=str(home / "data"),
        XDG_CACHE_HOME=str(home / "cache"),
        XDG_CONFIG_HOME=str(home / "config"),
    )
    from crewai import Agent, BaseLLM, Crew, Process, Task  # type: ignore[import-not-found,unused-ignore]

    said: Iterator[str] = iter(())

    class Scripted(BaseLLM):  # type: ignore[misc,unused-ignore]
        def call(self, *args: Any, **kwargs: Any) -> str:
            del args, kwargs
            return f"Thought: I now can give a great answer\nFinal Answer: {next(said)}"

        async def acall(self, *args: Any, **kwargs: Any) -> str:
            return self.call(*args, **kwargs)

    def crew(question: str) -> Any:
        model = Scripted(model="scripted")
        agents = {
            name: Agent(role=name, goal="A good answer", backstory="One of four.", llm=model) for name, _ in TASKS
        }
        tasks = [
            Task(description=f"{order}: {question}", expected_output="At most 150 words.", agent=agents[name])
            for name, order in TASKS
        ]
        return Crew(agents=list(agents.values()), tasks=tasks, process=Process.sequential)

    async def take(text: TurnText) -> None:
        nonlocal said
        said = iter(text.contributions)
        answer = await crew(text.question).akickoff()
        assert answer.raw == text.synthesis, answer.raw

    yield take
