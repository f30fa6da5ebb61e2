"""Why a turn was answered as it was, and the same question asked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import NoSuchTurn
from a4ps.image.codex import Codex
from a4ps.image.model_ledger import ModelLedger
from a4ps.image.proto import Proto
from a4ps.image.turns import Contribution, Reply, Turn
from a4ps.inference.engine import ChatRequest
from a4ps.kernel.compared import compared
from a4ps.kernel.why import why
from a4ps.society.progress import Progress
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import MODEL, ScriptedEngine

QUESTION = "I have two free weekends: should I learn Rust or Go to write a command-line tool?"


def ignore(progress: Progress) -> None:
    del progress


async def test_a_turn_names_the_versions_that_spoke_and_what_made_them(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine()) as kernel:
        manager = kernel.society.manager
        async with manager.transaction(author="architect", reason="too sweet", evidence={"case": 7}) as change:
            robin = change.edit("ROBIN")
            robin.codex = replace(robin.codex, system_prompt="You are ROBIN, and plain.")
        spoke = manager.get_proto("ROBIN").version
        answered = await kernel.ask(QUESTION, ignore)
        async with manager.transaction(reason="later") as change:
            change.edit("ROBIN").state["mood"] = "calm"
        found = why(kernel.records, answered.turn.id)
    voices = {voice.persona: voice for voice in found.voices}
    assert list(voices) == ["ALFRED", "BRICK", "ROBIN", "BABS"]
    assert voices["ROBIN"].version == spoke
    assert voices["ROBIN"].change is not None
    assert (voices["ROBIN"].change.reason, voices["ROBIN"].change.evidence) == ("too sweet", {"case": 7})
    assert voices["ALFRED"].steps == ("plan", "synthesis")
    assert voices["BRICK"].change is not None
    assert voices["BRICK"].change.author == "package"


async def test_a_model_is_told_by_the_weights_it_had_then(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine()) as kernel:
        ledger = ModelLedger(kernel.store)
        first = await kernel.ask(QUESTION, ignore)
        ledger.check(MODEL, "sha256:old")
        second = await kernel.ask("Tea or coffee?", ignore)
        ledger.check(MODEL, "sha256:new")
        found = [why(kernel.records, each.turn.id).voices[0].models for each in (first, second)]
    assert found == [{MODEL: ""}, {MODEL: "sha256:old"}]


async def test_memories_come_with_score_and_source(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine()) as kernel:
        first = await kernel.ask(QUESTION, ignore)
        second = await kernel.ask("And should the command-line tool be in Rust or Go after two weekends?", ignore)
        found = why(kernel.records, second.turn.id)
    assert [memory.id for memory in found.memories] == [first.turn.id]
    assert found.memories == second.memories
    assert found.memories[0].score > 0
    assert found.memories[0].source


@pytest.mark.parametrize("files", ["", "(of 1 file that it wanted written, 1 was)\n"])
async def test_a_tool_call_is_told_with_the_version_and_evidence_of_then(tmp_path: Path, files: str) -> None:
    async with open_kernel(tmp_path, ScriptedEngine()) as kernel:
        manager, log = kernel.society.manager, kernel.log
        made = Proto("tool:add", Codex("tool", "", "adds"))
        manager.register_proto(made, author="BRICK", reason="verified", evidence={"checks": 5})
        version = manager.get_proto("tool:add").version
        turn = await log.accept(Turn("", QUESTION, datetime.now(UTC), "scripted", {}, kernel.society.cast().versions))
        said = (
            Contribution("BABS", "tool", f"{files}add(a=1, b=2) gave:\n3", "", 0, 0, 4.0),
            Contribution("ALFRED", "synthesis", "Three.", MODEL, 9, 1, 1.0),
        )
        await log.answer(turn, Reply(said, 0.0, False, 1, 1.0, 1.0))
        async with manager.transaction(reason="mended", evidence={"checks": 9}) as change:
            change.edit("tool:add").state["version"] = 2
        found = why(kernel.records, turn.id)
    assert [(call.tool, call.version, call.ms) for call in found.tools] == [("add", version, 4.0)]
    assert found.tools[0].change is not None
    assert found.tools[0].change.evidence == {"checks": 5}
    assert "3" in found.tools[0].text


async def test_why_of_what_was_not_answered_says_so(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine()) as kernel:
        with pytest.raises(NoSuchTurn):
            why(kernel.records, "1")


async def test_a_rerun_asks_todays_personas_with_what_was_known_then(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with open_kernel(tmp_path, engine) as kernel:
        first = await kernel.ask(QUESTION, ignore)
        async with kernel.society.manager.transaction(reason="plainer") as change:
            brick = change.edit("BRICK")
            brick.codex = replace(brick.codex, system_prompt="You are BRICK, and whisper.")

        async def otherwise(request: ChatRequest) -> str | None:
            return "Take Rust for this tool, and keep Go for the winter." if request.step == "synthesis" else None

        engine.script = otherwise
        engine.requests.clear()
        again = await kernel.rerun(first.turn.id, ignore)
        beside = compared(kernel.records, again)
        assert kernel.log.turn(again.turn.id).again == first.turn.id
    assert again.turn.id != first.turn.id
    assert again.memories == ()  # the first answer is no memory of the second
    assert "whisper" in next(r for r in engine.requests if r.step == "thesis").messages[0].content
    assert list(beside.personas) == ["BRICK"]
    assert beside.models == {}
    assert 0 < beside.likeness < 1
    assert beside.before.reply == first.reply


async def test_a_rerun_knows_what_was_known_then_and_means_the_days_of_then(tmp_path: Path, clock: ManualClock) -> None:
    """What was noted since is not recalled, and "yesterday" is the day before the question."""
    engine = ScriptedEngine()
    async with open_kernel(tmp_path, engine, clock) as kernel:
        day = await kernel.ask("Which lanterns should the ferry crew buy?", ignore)
        clock.advance(86_400)
        kernel.records.add([kernel.records.note("The harbour pilot wants green lanterns.")])
        first = await kernel.ask("Which lanterns does the harbour pilot want?", ignore)
        asked = await kernel.ask("What did I ask yesterday?", ignore)
        kernel.records.add([kernel.records.note("The harbour pilot wants red lanterns.")])
        clock.advance(10 * 86_400)
        again = await kernel.rerun(first.turn.id, ignore)
        days = await kernel.rerun(asked.turn.id, ignore)
        now = await kernel.ask("Which lanterns does the harbour pilot want, now?", ignore)
    assert [memory.id for memory in again.memories] == [memory.id for memory in first.memories]
    assert "m1" in {memory.id for memory in again.memories}
    assert "m2" in {memory.id for memory in now.memories}
    assert [memory.id for memory in asked.memories] == [memory.id for memory in days.memories] == [day.turn.id]


async def test_a_rerun_of_nothing_says_so(tmp_path: Path) -> None:
    async with open_kernel(tmp_path, ScriptedEngine()) as kernel:
        with pytest.raises(NoSuchTurn):
            await kernel.rerun("4", ignore)
        assert kernel.log.count() == 0
