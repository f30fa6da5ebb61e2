"""Story 3, two models, one card: three ask at once, one model is in memory at a time, and each is told who goes first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from tests.doubles.household import Household
from tests.doubles.ollama.runners import Runner
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.standing import backend_of, following, standing, wait_until

QUESTIONS = (
    "Should the greenhouse face south or west?",
    "Is a gravel path worth its weeds?",
    "Which apple keeps until April?",
)
DUO = {"nemotron-3-nano:4b", "qwen3.5:4b"}


@dataclass
class Card:
    """What stands in the server's memory, as it comes and goes."""

    now: list[str] = field(default_factory=list)
    most: int = 0
    loads: list[str] = field(default_factory=list)

    async def come_up(self, runner: Runner) -> None:
        self.now.append(runner.model.name)
        self.loads.append(runner.model.name)
        self.most = max(self.most, len(self.now))

    def gone(self, runner: Runner) -> None:
        if runner.model.name in self.now:
            self.now.remove(runner.model.name)


async def test_three_at_once_on_a_card_for_one_model(tmp_path: Path) -> None:
    person = Household(tmp_path, {"A4PS_PROFILE": "duo", "A4PS_RESIDENCY": "sequential"})
    card = Card()
    async with OllamaServer(models=tuple(DUO), delay_s=0.002, load_s=0.05) as server:
        server.runners.process = card
        person.environ["OLLAMA_HOST"] = server.url
        await asyncio.to_thread(play, person)
    assert card.most == 1
    assert set(card.loads) == DUO


def play(person: Household) -> None:
    with standing(person), following(person) as events:
        wait_until(lambda: backend_of(person)["sessions"] > 1)  # it follows, besides who asks for the status
        asking = [person.start("ask", question) for question in QUESTIONS]
        said = [b"".join(process.communicate(timeout=60)).decode() for process in asking]
        assert [process.returncode for process in asking] == [0, 0, 0], said
        answered = {person.json("ask", "--turn", str(number))["question"] for number in (1, 2, 3)}
        events.until(lambda told: any(row["kind"] == "reply" and row["key"] == "3" for row in told.get("rows", ())))
    assert answered == set(QUESTIONS)
    waited = sorted(
        text.count("question before this one") + 2 * text.count("questions before this one") for text in said
    )
    assert waited == [0, 1, 2]  # the first asks at once, and each of the others knows for how many it waits
    loading = [told for told in events.seen if told.get("step") == "loading"]
    assert {told["model"] for told in loading} == DUO
    assert {told["persona"] for told in loading} >= {"ALFRED", "BRICK"}
    turns = [told["turn"] for told in events.seen if told.get("step") == "accepted"]
    assert turns == ["1", "2", "3"]  # one after the other, in the order in which they were asked
