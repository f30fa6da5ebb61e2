"""Each persona's prompt: codex, state, what was recalled and what was said, within a budget that can be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import UsageError
from a4ps.inference.engine import ChatRequest
from a4ps.inference.tokens import estimate_prompt
from a4ps.kernel.kernel import Kernel
from a4ps.kernel.why import why
from a4ps.society.progress import Noted, Progress
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import LINES, ScriptedEngine

QUESTION = "I have two free weekends: should I learn Rust or Go to write a command-line tool?"
LONG = "Take Go.\n" + "\n".join(
    f"{n}. It costs {n} weekends and no more. The evenings that come with it were never counted by anybody, "
    f"though they ought to have been counted by somebody, and which of them would be free was asked by nobody at all."
    for n in range(1, 8)
)


def ignore(progress: Progress) -> None:
    del progress


async def grown(kernel: Kernel, name: str, words: int) -> None:
    async with kernel.society.manager.transaction(reason="it grew") as change:
        proto = change.edit(name)
        proto.codex = replace(proto.codex, system_prompt="You are ALFRED. " + "Weigh it well. " * words)


async def test_a_state_is_in_its_personas_prompts_alone(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with open_kernel(tmp_path, engine) as kernel:
        async with kernel.society.manager.transaction(reason="a mood") as change:
            change.edit("ROBIN").state["mood"] = "calm"
        answered = await kernel.ask(QUESTION, ignore)
    with_mood = [request.persona for request in engine.requests if "mood: 'calm'" in request.messages[0].content]
    assert with_mood == ["ROBIN"]
    robin = next(said for said in answered.reply.contributions if said.persona == "ROBIN")
    assert robin.shares is not None
    assert robin.shares["state"] > 0


async def test_what_each_prompt_was_made_of_is_kept_and_shown(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine()) as kernel:
        answered = await kernel.ask(QUESTION, ignore)
        found = why(kernel.records, answered.turn.id).as_json()
    for prompt in found["prompts"]:
        shares = dict(prompt["shares"])
        assert shares.pop("budget") == 8192 - 400
        assert {"codex", "question", "instructions"} <= set(shares)
        assert sum(shares.values()) < 8192 - 400
    synthesis = found["prompts"][-1]["shares"]
    assert synthesis["said"] > synthesis["question"]


async def test_the_oldest_parts_are_summarised_and_it_is_said(tmp_path: Path) -> None:
    """A codex that grew takes the room; what it takes it from says so, in the prompt, to the listener and in the reply."""

    async def talks(request: ChatRequest) -> str | Mapping[str, Any] | None:
        if request.step == "antithesis":
            return {"stances": [{"point": 1, "stance": "agree", "weight": 1}], "say": LONG}
        return LONG if request.step == "thesis" else None

    engine = ScriptedEngine(talks)
    heard: list[Progress] = []
    async with open_kernel(tmp_path, engine, num_ctx=3400, reply_tokens=400) as kernel:
        await grown(kernel, "ALFRED", 478)
        answered = await kernel.ask(QUESTION, heard.append)
    synthesis = engine.requests[-1]
    assert estimate_prompt(synthesis.messages) <= 3400 - 400
    thesis, antithesis = synthesis.messages[-1].content.split("ROBIN's antithesis:")
    assert "(summarised:" in thesis
    assert "It costs 7 weekends and no more." in thesis
    assert "nobody at all" not in thesis
    assert "nobody at all" in antithesis
    note = "To fit its context, ALFRED (synthesis) was given the thesis in summary."
    assert note in answered.reply.notes
    assert Noted(note) in heard
    assert answered.reply.answer == LINES["synthesis"]


async def test_a_codex_that_leaves_no_room_is_refused_before_anything_is_accepted(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine(), num_ctx=3000, reply_tokens=200) as kernel:
        await grown(kernel, "ALFRED", 900)
        with pytest.raises(UsageError, match="ALFRED's system prompt is about"):
            await kernel.ask(QUESTION, ignore)
        assert kernel.log.count() == 0
